"""Documents that a reviewer asked the uploader for: they come, or the time for them passes.

What they are (a licence, a contract) stays with whoever received it; the desk keeps what was sent in words or
addresses, shows it on the case and opens the case again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from review.audit import append
from review.policy import DeskPolicy
from review.states import State
from review.tables import cases, opinions, papers
from soundalike.errors import DecisionRefused

SYSTEM = "system"


def documents_received(connection: Connection, case_id: str, *, actor: str, note: str, now: datetime) -> None:
    """The uploader answered: the case is open again and shows the answer. Raises DecisionRefused."""
    if not _reopen(connection, case_id, now=now):
        raise DecisionRefused(f"case {case_id} is not waiting for documents")
    note = note.replace("\0", "").strip()
    _keep(connection, case_id, actor=actor, note=note, now=now)
    append(connection, at=now, actor=actor, action="case.documents", subject=case_id, detail={"note": note})


def reopen_overdue(connection: Connection, *, now: datetime, policy: DeskPolicy) -> int:
    """Open the cases again that waited in vain for `policy.documents_s`; returns how many."""
    asked = (
        select(opinions.c.case_id)
        .where(opinions.c.state_after == State.DOCUMENTS, opinions.c.undone_at.is_(None))
        .where(opinions.c.created_at > now - policy.documents)
    )
    waiting = connection.execute(
        select(cases.c.case_id).where(cases.c.state == State.DOCUMENTS, cases.c.case_id.not_in(asked))
    ).scalars()
    overdue = list(waiting)
    for case_id in overdue:
        if _reopen(connection, case_id, now=now):
            days = policy.documents_s / 86_400
            note = f"Nothing came within {days:g} days."
            _keep(connection, case_id, actor=SYSTEM, note=note, now=now)
            append(connection, at=now, actor=SYSTEM, action="case.documents_overdue", subject=case_id)
    return len(overdue)


def _reopen(connection: Connection, case_id: str, *, now: datetime) -> bool:
    reopened = connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, cases.c.state == State.DOCUMENTS)
        .values(state=State.OPEN, closed_at=None, available_at=now)
    )
    return reopened.rowcount == 1


def _keep(connection: Connection, case_id: str, *, actor: str, note: str, now: datetime) -> None:
    connection.execute(insert(papers).values(case_id=case_id, actor=actor[:200], note=note, received_at=now))
