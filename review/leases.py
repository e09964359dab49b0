"""Who works on a case: a lease with a token, taken and renewed by compare-and-swap.

The one statement that takes a lease also states every condition under which it may be taken, so two
reviewers can't both succeed, whatever the timing; a lease that lapsed counts as none.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from review.audit import append
from review.policy import DeskPolicy
from review.roles import May, Person
from review.states import FOR_LEADS, FOR_REVIEWERS, Kind, State
from review.tables import cases, opinions
from soundalike.errors import CaseTaken

JUDGING = ("confirm", "dismiss", "uphold", "overturn")
"""Actions that take a side: who took one can't judge the same case again."""


@dataclass(frozen=True, slots=True)
class Lease:
    case_id: str
    token: str
    until: datetime


def claimable(person: Person, now: datetime) -> ColumnElement[bool]:
    """The condition under which `person` may take a case now: eligible, and nobody else holds it."""
    return and_(
        eligible(person, now),
        or_(cases.c.lease_until.is_(None), cases.c.lease_until <= now, cases.c.lease_user == person.user_id),
    )


def states_for(person: Person) -> tuple[State, ...]:
    """The states in which a case is for `person` to decide."""
    return FOR_LEADS if person.may(May.LEAD) else FOR_REVIEWERS


def eligible(person: Person, now: datetime) -> ColumnElement[bool]:
    """The condition under which a case is for `person` to decide at all."""
    earlier = opinions.alias("earlier")
    own = and_(
        earlier.c.reviewer == person.user_id, earlier.c.undone_at.is_(None), earlier.c.action.in_(JUDGING)
    )
    return and_(
        cases.c.state.in_(states_for(person)),
        cases.c.available_at <= now,
        or_(cases.c.assigned_to.is_(None), cases.c.assigned_to == person.user_id),
        ~exists(select(1).where(earlier.c.case_id == cases.c.case_id, own)),
        # An appeal goes to somebody who did not decide on this upload before.
        or_(
            cases.c.kind != Kind.APPEAL,
            ~exists(select(1).where(earlier.c.upload_id == cases.c.upload_id, own)),
        ),
    )


def claim(
    connection: Connection, case_id: str, person: Person, *, now: datetime, policy: DeskPolicy
) -> Lease:
    """Take the case, or renew one's own lease on it. Raises NotPermitted, CaseTaken."""
    person.require(May.DECIDE)
    token, until = secrets.token_urlsafe(24), now + policy.lease
    held = and_(cases.c.lease_user == person.user_id, cases.c.lease_until > now)
    renewed = connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, held, claimable(person, now))
        .values(lease_until=until)
        .returning(cases.c.lease_token)
    ).scalar_one_or_none()
    if renewed is not None:
        return Lease(case_id, renewed, until)
    taken = connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, claimable(person, now))
        .values(lease_token=token, lease_user=person.user_id, lease_until=until)
    )
    if taken.rowcount != 1:
        raise CaseTaken(_why_not(connection, case_id, person, now))
    append(connection, at=now, actor=person.user_id, action="case.claimed", subject=case_id)
    return Lease(case_id, token, until)


def renew(
    connection: Connection, case_id: str, person: Person, token: str, *, now: datetime, policy: DeskPolicy
) -> Lease:
    """Raises CaseTaken when the lease has lapsed, even if nobody took the case since: claim it again."""
    until = now + policy.lease
    renewed = connection.execute(
        update(cases).where(cases.c.case_id == case_id, holds(person, token, now)).values(lease_until=until)
    )
    if renewed.rowcount != 1:
        raise CaseTaken("your lease on this case has lapsed; claim it again")
    return Lease(case_id, token, until)


def release(connection: Connection, case_id: str, person: Person, token: str, *, now: datetime) -> None:
    """Give the case back. A lease that is gone already is no error: the result is the same."""
    given = connection.execute(
        update(cases)
        .where(cases.c.case_id == case_id, holds(person, token, now))
        .values(lease_token=None, lease_user=None, lease_until=None)
    )
    if given.rowcount == 1:
        append(connection, at=now, actor=person.user_id, action="case.released", subject=case_id)


def holds(person: Person, token: str, now: datetime) -> ColumnElement[bool]:
    """The condition that this person's lease is the one in force."""
    return and_(cases.c.lease_token == token, cases.c.lease_user == person.user_id, cases.c.lease_until > now)


def _why_not(connection: Connection, case_id: str, person: Person, now: datetime) -> str:
    row = connection.execute(select(cases).where(cases.c.case_id == case_id)).first()
    if row is None or row.assigned_to not in {None, person.user_id}:
        return f"there is no case {case_id}"
    if row.lease_user not in {None, person.user_id} and row.lease_until > now:
        return f"{row.lease_user} is working on this case until {row.lease_until:%H:%M:%S} UTC"
    if row.state not in states_for(person):
        return f"this case is {row.state}; there is nothing to claim"
    if row.available_at > now:
        return "this case was decided a moment ago and can still be taken back; try again in half a minute"
    return "you have judged this before; somebody else has to"
