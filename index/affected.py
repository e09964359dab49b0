"""Which past licences would not be given today: withdrawn, denied or run out since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from index.catalog import Catalog
from index.findings import Finding
from index.ledger import Credit, TermUsed
from index.terms import Decision


@dataclass(frozen=True, slots=True)
class Touched:
    """One work of a licensed upload, and what its rightsholders say today.

    denying: those who allowed it and no longer do; empty: it would still be licensed.
    """

    credit: Credit
    track_id: str
    title: str
    terms: tuple[TermUsed, ...]
    denying: tuple[Finding, ...]

    @property
    def is_allowed(self) -> bool:
        return not self.denying


def affected(
    catalog: Catalog, *, term_id: str | None = None, track_id: str | None = None, at: datetime | None = None
) -> Iterator[Touched]:
    """The works of the licensed verdicts that stand, judged again by the terms of now (or of `at`).

    With a term: only works that rest on it, allowed or not. Without: all works.
    """
    known: dict[tuple[Any, ...], tuple[Finding, ...]] = {}
    for credit in catalog.ledger.standing(term_id=term_id, track_id=track_id):
        document = credit.document
        who = (
            document.get("uploader") or "",
            tuple(document.get("licences") or ()),
            document.get("distributor"),
            document.get("ai_tool"),
            document.get("territory"),
        )
        for work in document.get("works") or ():
            terms = tuple(used for used in credit.terms if used.track_id == work["track_id"])
            if term_id is not None and all(used.term_id != term_id for used in terms):
                continue
            if track_id is not None and work["track_id"] != track_id:
                continue
            case = (work["track_id"], document["use"], *who)
            if case not in known:
                uploader, licences, distributor, ai_tool, territory = who
                known[case] = catalog.findings(
                    work["track_id"],
                    document["use"],
                    uploader=uploader,
                    licences=licences,
                    distributor=distributor,
                    ai_tool=ai_tool,
                    territory=territory,
                    at=at,
                )
            denying = tuple(found for found in known[case] if found.decision is Decision.DENY)
            yield Touched(credit, work["track_id"], work["title"], terms, denying)
