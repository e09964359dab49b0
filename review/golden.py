"""Golden cases: closed cases with a known answer, dealt to reviewers now and then, to measure accuracy.

A golden case looks like any other, belongs to one reviewer, and its decision is never published. Each
reviewer gets each golden case once.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from pipeline.evidence import Evidence
from review.audit import append
from review.intake import Flag, open_case
from review.policy import DeskPolicy
from review.ports import Reference
from review.reasons import Action
from review.roles import Person
from review.states import LIVE, Kind, State
from review.tables import case_audio, cases, flags, golden, opinions
from soundalike.errors import DecisionRefused, UnknownCase


def make_golden(
    connection: Connection, case_id: str, *, action: Action, reason_code: str, actor: str, now: datetime
) -> None:
    """Keep a closed case as a question with this answer. Raises UnknownCase, DecisionRefused."""
    case = connection.execute(select(cases.c.kind, cases.c.state).where(cases.c.case_id == case_id)).first()
    if case is None or case.kind == Kind.GOLDEN:
        raise UnknownCase(f"there is no case {case_id}")
    if case.state != State.CLOSED:
        raise DecisionRefused("only a closed case can become a golden one: its answer has to be known")
    if action not in {Action.CONFIRM, Action.DISMISS}:
        raise DecisionRefused("the answer to a golden case is confirm or dismiss")
    connection.execute(golden.delete().where(golden.c.case_id == case_id))
    connection.execute(
        insert(golden).values(case_id=case_id, action=action, reason_code=reason_code, created_by=actor,
                              created_at=now)
    )  # fmt: skip
    append(connection, at=now, actor=actor, action="golden.made", subject=case_id,
           detail={"action": action, "reason": reason_code})  # fmt: skip


def retire_golden(connection: Connection, case_id: str, *, actor: str, now: datetime) -> None:
    """Deal it no more; what was measured with it stays. Raises UnknownCase."""
    changed = connection.execute(
        update(golden)
        .where(golden.c.case_id == case_id, golden.c.retired_at.is_(None))
        .values(retired_at=now)
    )
    if changed.rowcount != 1:
        raise UnknownCase(f"{case_id} is no golden case")
    append(connection, at=now, actor=actor, action="golden.retired", subject=case_id)


def deal_golden(connection: Connection, person: Person, *, now: datetime, policy: DeskPolicy) -> str | None:
    """Perhaps a golden case for this reviewer's next: by a hash of how many decisions they have made, so that
    asking again does not draw again."""
    decided = connection.execute(
        select(func.count()).select_from(opinions).where(opinions.c.reviewer == person.user_id)
    ).scalar_one()
    digest = hashlib.sha256(f"golden:{person.user_id}:{decided}".encode()).digest()
    if int.from_bytes(digest[:8], "big") / 2**64 >= policy.golden_share:
        return None
    seen = cases.alias("seen")
    row = connection.execute(
        select(golden.c.case_id, flags)
        .join(cases, cases.c.case_id == golden.c.case_id)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .where(
            golden.c.retired_at.is_(None),
            # Not one's own case, and none dealt before.
            ~exists(
                select(1).where(opinions.c.case_id == golden.c.case_id, opinions.c.reviewer == person.user_id)
            ),
            ~exists(
                select(1).where(seen.c.golden_of == golden.c.case_id, seen.c.assigned_to == person.user_id)
            ),
        )
        .order_by(golden.c.created_at)
        .limit(1)
    ).first()
    if row is None:
        return None
    evidence = Evidence.model_validate_json(row.evidence)
    case_id = "c-" + secrets.token_hex(10)
    known = _references(connection, row.case_id)
    open_case(connection, Flag(row.event_id, row.event_time, evidence, row.evidence), case_id=case_id,
              kind=Kind.GOLDEN, known=known, now=now, policy=policy, assigned_to=person.user_id,
              golden_of=row.case_id)  # fmt: skip
    _share_audio(connection, row.case_id, case_id)
    return case_id


def waiting_golden(connection: Connection, person: Person) -> str | None:
    """A golden case that was dealt to this reviewer and is still open."""
    return connection.execute(
        select(cases.c.case_id)
        .where(cases.c.kind == Kind.GOLDEN, cases.c.assigned_to == person.user_id, cases.c.state.in_(LIVE))
        .limit(1)
    ).scalar_one_or_none()


def _references(connection: Connection, case_id: str) -> dict[str, Reference | None]:
    rows = connection.execute(select(case_audio).where(case_audio.c.case_id == case_id))
    return {
        row.track_id: Reference(row.track_id, row.title, uri=row.uri, withdrawn=row.withdrawn) for row in rows
    }


def _share_audio(connection: Connection, source: str, target: str) -> None:
    """The copies that the source case has: a golden case must not wait for audio when others don't."""
    rows = connection.execute(select(case_audio).where(case_audio.c.case_id == source)).all()
    for row in rows:
        connection.execute(
            update(case_audio)
            .where(case_audio.c.case_id == target, case_audio.c.track_id == row.track_id)
            .values(state=row.state, detail=row.detail, sha256=row.sha256)
        )
