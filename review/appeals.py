"""Appeals: the uploader disagrees, and somebody who did not decide looks again."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, desc, insert, select

from pipeline.evidence import Evidence
from review.audit import append
from review.intake import Flag, open_case, references_of
from review.policy import DeskPolicy
from review.ports import References
from review.states import LIVE, Kind
from review.tables import appeals, cases, flags, outcomes
from soundalike.errors import DecisionRefused, UnknownCase

MAX_STATEMENT_CHARACTERS = 10_000


def file_appeal(
    connection: Connection,
    upload_id: str,
    statement: str,
    *,
    actor: str,
    references: References,
    now: datetime,
    policy: DeskPolicy,
) -> str:
    """Open an appeal case on the decision that stands; returns its id.

    Raises UnknownCase if nothing was ever flagged, DecisionRefused if there is nothing (left) to appeal.
    """
    statement = statement.replace("\0", "").strip()
    if not statement or len(statement) > MAX_STATEMENT_CHARACTERS:
        raise DecisionRefused(f"an appeal says why, in 1 to {MAX_STATEMENT_CHARACTERS} characters")
    standing = connection.execute(
        select(outcomes.c.decision)
        .where(outcomes.c.upload_id == upload_id, outcomes.c.undone_at.is_(None))
        .order_by(desc(outcomes.c.revision))
        .limit(1)
    ).scalar_one_or_none()
    row = connection.execute(
        select(flags)
        .join(cases, cases.c.event_id == flags.c.event_id)
        .where(flags.c.upload_id == upload_id, cases.c.kind == Kind.FLAG)
        .order_by(desc(flags.c.event_time))
        .limit(1)
    ).first()
    if row is None:
        raise UnknownCase(f"there is no case on upload {upload_id}")
    if standing != "confirm":
        raise DecisionRefused(f"upload {upload_id} has no confirmed flag: there is nothing to appeal against")
    pending = connection.execute(
        select(cases.c.case_id).where(
            cases.c.upload_id == upload_id, cases.c.kind == Kind.APPEAL, cases.c.state.in_(LIVE)
        )
    ).scalar_one_or_none()
    if pending is not None:
        raise DecisionRefused(f"an appeal on upload {upload_id} is being looked at already: {pending}")
    appeal_id = "a-" + secrets.token_hex(10)
    evidence = Evidence.model_validate_json(row.evidence)
    flag = Flag(row.event_id, row.event_time, evidence, row.evidence)
    open_case(connection, flag, case_id=appeal_id, kind=Kind.APPEAL,
              known=references_of(evidence, references), now=now, policy=policy)  # fmt: skip
    connection.execute(
        insert(appeals).values(appeal_id=appeal_id, upload_id=upload_id, statement=statement, received_at=now)
    )
    append(connection, at=now, actor=actor, action="appeal.filed", subject=appeal_id,
           detail={"upload_id": upload_id})  # fmt: skip
    return appeal_id
