"""Deciding and taking back.

A decision is one transaction: the opinion, the case's next state, the outcome with its revision, the event in
the outbox and the audit entry are all kept or none is. The event is written down at once, with its final id,
and sent when the time for taking it back has passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, insert, or_, select, update

from pipeline.events import Decision, decision_event
from review.audit import append
from review.leases import Lease, claim, holds
from review.policy import DeskPolicy
from review.reasons import PUBLISHED_AS, Action, check_decision
from review.roles import May, Person
from review.scoring import rescore
from review.states import Kind, State, Step, actions_for, step
from review.tables import appeals, cases, opinions, outbox, outcomes
from soundalike.errors import CaseTaken, DecisionRefused, UnknownCase


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reviewer says."""

    action: Action
    reason_code: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """undo_until: until when the reviewer can take it back."""

    opinion_id: int
    case_id: str
    undo_until: datetime


def decide(
    connection: Connection,
    case_id: str,
    person: Person,
    *,
    token: str,
    answer: Answer,
    now: datetime,
    policy: DeskPolicy,
) -> Decided:
    """Raises NotPermitted, UnknownCase, CaseTaken (no lease in force), DecisionRefused."""
    person.require(May.DECIDE)
    case = connection.execute(select(cases).where(cases.c.case_id == case_id)).first()
    if case is None:
        raise UnknownCase(f"there is no case {case_id}")
    kind, state = Kind(case.kind), State(case.state)
    if not actions_for(kind, state) or case.lease_token != token:
        raise CaseTaken("you do not hold this case (any more); claim it again")
    action = answer.action
    note = check_decision(action, answer.reason_code, answer.note, allowed=actions_for(kind, state),
                          note_required=policy.note_required)  # fmt: skip
    answer = Answer(action, answer.reason_code, note)
    first = _first_opinion(connection, case_id) if state is State.SECOND else None
    taken = step(kind, state, action, needs_second=case.needs_second, first_action=first)
    _advance(connection, case_id, holds(person, token, now), state, taken=taken, now=now, policy=policy)
    opinion_id = int(
        connection.execute(
            insert(opinions)
            .values(
                case_id=case_id, upload_id=case.upload_id, reviewer=person.user_id, round=taken.round,
                action=action, reason_code=answer.reason_code, note=note, state_before=state,
                state_after=taken.state, created_at=now,
            )
            .returning(opinions.c.opinion_id)
        ).scalar_one()
    )  # fmt: skip
    if taken.published:
        _write_outcome(connection, case, opinion_id, person, answer, now=now, policy=policy)
    if kind is Kind.APPEAL:
        result = "overturned" if action is Action.OVERTURN else "upheld"
        connection.execute(update(appeals).where(appeals.c.appeal_id == case_id).values(result=result))
    append(connection, at=now, actor=person.user_id, action="case.decided", subject=case_id,
           detail={"action": action, "reason": answer.reason_code, "opinion": opinion_id,
                   "round": taken.round, "state": taken.state})  # fmt: skip
    return Decided(opinion_id, case_id, now + policy.undo)


def undo(
    connection: Connection, opinion_id: int, person: Person, *, now: datetime, policy: DeskPolicy
) -> Lease:
    """Take one's own decision back and hold the case again. Raises UnknownCase, DecisionRefused."""
    person.require(May.DECIDE)
    row = connection.execute(select(opinions).where(opinions.c.opinion_id == opinion_id)).first()
    if row is None or row.reviewer != person.user_id:
        raise UnknownCase(f"you made no decision {opinion_id}")
    if row.undone_at is not None:
        raise DecisionRefused("this decision was taken back already")
    if now > row.created_at + policy.undo:
        raise DecisionRefused(f"a decision can be taken back for {policy.undo_s:g} s; an appeal can undo it")
    later = opinions.alias("later")
    reopened = connection.execute(
        update(cases)
        .where(
            cases.c.case_id == row.case_id,
            cases.c.state == row.state_after,
            or_(cases.c.lease_until.is_(None), cases.c.lease_until <= now),
            ~exists(
                select(1).where(
                    later.c.case_id == row.case_id,
                    later.c.opinion_id > opinion_id,
                    later.c.undone_at.is_(None),
                )
            ),
        )
        .values(state=row.state_before, closed_at=None, available_at=now)
    )
    if reopened.rowcount != 1:
        raise DecisionRefused("the case has moved on: a colleague or a newer flag came in between")
    waiting = and_(outbox.c.opinion_id == opinion_id, outbox.c.cancelled_at.is_(None))
    connection.execute(update(outbox).where(waiting, outbox.c.taken_at.is_(None)).values(cancelled_at=now))
    if connection.execute(select(outbox.c.seq).where(waiting)).first() is not None:
        raise DecisionRefused("the decision has been published; an appeal can undo it")
    connection.execute(update(opinions).where(opinions.c.opinion_id == opinion_id).values(undone_at=now))
    connection.execute(update(outcomes).where(outcomes.c.opinion_id == opinion_id).values(undone_at=now))
    connection.execute(update(appeals).where(appeals.c.appeal_id == row.case_id).values(result=None))
    case = connection.execute(select(cases.c.uploader).where(cases.c.case_id == row.case_id)).one()
    if case.uploader is not None:
        rescore(connection, cases.c.uploader == case.uploader, policy=policy)
    append(connection, at=now, actor=person.user_id, action="case.undone", subject=row.case_id,
           detail={"opinion": opinion_id})  # fmt: skip
    return claim(connection, row.case_id, person, now=now, policy=policy)


def _advance(
    connection: Connection,
    case_id: str,
    leased: ColumnElement[bool],
    state: State,
    *,
    taken: Step,
    now: datetime,
    policy: DeskPolicy,
) -> None:
    """The compare-and-swap that makes the decision: only from this state, only under this lease."""
    advanced = connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, cases.c.state == state, leased)
        .values(
            state=taken.state,
            lease_token=None,
            lease_user=None,
            lease_until=None,
            closed_at=now if taken.state is State.CLOSED else None,
            available_at=now + policy.undo,
        )
    )
    if advanced.rowcount != 1:
        raise CaseTaken("your lease on this case has lapsed; claim it again")


def _first_opinion(connection: Connection, case_id: str) -> Action:
    row = connection.execute(
        select(opinions.c.action)
        .where(
            opinions.c.case_id == case_id,
            opinions.c.state_after == State.SECOND,
            opinions.c.undone_at.is_(None),
        )
        .order_by(opinions.c.opinion_id.desc())
        .limit(1)
    ).scalar_one()
    return Action(row)


def _write_outcome(
    connection: Connection,
    case: Row[tuple[object, ...]],
    opinion_id: int,
    person: Person,
    answer: Answer,
    *,
    now: datetime,
    policy: DeskPolicy,
) -> None:
    """The outcome and its event. A revision that was taken back is never used again, nor its event id."""
    last = connection.execute(
        select(func.max(outcomes.c.revision)).where(outcomes.c.upload_id == case.upload_id)
    ).scalar_one()
    decision = Decision(
        upload_id=case.upload_id,
        flag_id=case.event_id,
        revision=(last or 0) + 1,
        decision=PUBLISHED_AS[answer.action],
        decided_by=person.user_id,
        reason=_reason_text(answer),
    )
    event = decision_event(decision, time=now)
    connection.execute(
        insert(outcomes).values(
            upload_id=case.upload_id, revision=decision.revision, case_id=case.case_id, opinion_id=opinion_id,
            decision=decision.decision, reason_code=answer.reason_code, note=answer.note,
            decided_by=person.user_id, created_at=now,
        )
    )  # fmt: skip
    connection.execute(
        insert(outbox).values(
            event_id=event.id, opinion_id=opinion_id, key=case.upload_id, body=event.to_bytes().decode(),
            not_before=now + policy.undo,
        )
    )  # fmt: skip
    if case.uploader is not None:
        rescore(connection, cases.c.uploader == case.uploader, policy=policy)


def _reason_text(answer: Answer) -> str:
    code = f"documents:{answer.reason_code}" if answer.action is Action.DOCUMENTS else answer.reason_code
    return f"{code}: {answer.note}" if answer.note else code
