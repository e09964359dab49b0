"""Who may do what: five roles for people, one for machines, as sets of capabilities.

An admin manages accounts and reads, but decides nothing: who can make accounts should not also be able to
decide cases under them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from soundalike.errors import NotPermitted


class Role(StrEnum):
    REVIEWER = "reviewer"
    LEAD = "lead"
    RIGHTS_OPS = "rights_ops"  # a rightsholder's operations: reads the cases of its own catalog
    AUDITOR = "auditor"
    ADMIN = "admin"
    SERVICE = "service"  # a program with a token: appeals, documents, reach


class May(StrEnum):
    READ_CASES = "read_cases"
    SEE_OPINIONS = "see_opinions"  # of open cases too; reviewers judge blindly
    DECIDE = "decide"
    LEAD = "lead"
    READ_QUALITY = "read_quality"
    READ_AUDIT = "read_audit"
    EXPORT = "export"
    MANAGE_USERS = "manage_users"
    FILE_APPEALS = "file_appeals"
    SET_REACH = "set_reach"


_READS = {May.READ_CASES, May.SEE_OPINIONS, May.READ_QUALITY, May.READ_AUDIT, May.EXPORT}

CAPABILITIES: dict[Role, frozenset[May]] = {
    Role.REVIEWER: frozenset({May.READ_CASES, May.DECIDE}),
    Role.LEAD: frozenset(
        {
            May.READ_CASES, May.SEE_OPINIONS, May.DECIDE, May.LEAD, May.READ_QUALITY, May.EXPORT,
            May.FILE_APPEALS, May.SET_REACH,
        }
    ),
    Role.RIGHTS_OPS: frozenset({May.READ_CASES}),
    Role.AUDITOR: frozenset(_READS),
    Role.ADMIN: frozenset(_READS | {May.MANAGE_USERS}),
    Role.SERVICE: frozenset({May.FILE_APPEALS, May.SET_REACH}),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """Who makes a request."""

    user_id: str
    display_name: str
    role: Role
    rightsholder: str | None = None

    def may(self, what: May) -> bool:
        return what in CAPABILITIES[self.role]

    def require(self, what: May) -> None:
        """Raises NotPermitted."""
        if not self.may(what):
            raise NotPermitted(f"the role {self.role} may not {what.replace('_', ' ')}")
