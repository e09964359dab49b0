"""The queue as a reviewer sees it: filtered, searched, most urgent first, a page at a time."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select

from review.intake import fold
from review.leases import claimable, eligible, states_for
from review.policy import DeskPolicy
from review.priority import priority
from review.roles import May, Person, Role
from review.states import LIVE, Kind, State
from review.tables import case_rightsholders, case_tracks, cases
from soundalike.errors import ReviewError

PAGE = 50
MAX_PAGE = 200

Show = Literal["todo", "mine", "lead", "documents", "appeals", "closed", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """What to list. `todo`: what this person may decide; `text`: every word has to occur."""

    show: Show = "todo"
    text: str = ""
    rule: str | None = None
    uploader: str | None = None
    track_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseLine:
    """One line of the queue."""

    case_id: str
    kind: str
    state: str
    upload_id: str
    title: str
    artist: str
    uploader: str | None
    rule: str
    reason: str
    coverage: float | None
    ai_probability: float | None
    harm: float
    priority: float
    opened_at: datetime
    due_at: datetime
    leased_by: str | None
    leased_until: datetime | None


@dataclass(frozen=True, slots=True)
class Page:
    lines: tuple[CaseLine, ...]
    next_cursor: str | None


def visible(person: Person) -> ColumnElement[bool]:
    """Which cases this person may know of at all."""
    person.require(May.READ_CASES)
    own_golden = and_(cases.c.kind == Kind.GOLDEN, cases.c.assigned_to == person.user_id)
    conditions = [or_(cases.c.kind != Kind.GOLDEN, own_golden)]
    if person.role is Role.RIGHTS_OPS:
        holder = case_rightsholders
        conditions.append(
            exists(
                select(1).where(
                    holder.c.case_id == cases.c.case_id, holder.c.rightsholder == (person.rightsholder or "")
                )
            )
        )
    return and_(*conditions)


def list_cases(
    connection: Connection,
    person: Person,
    wanted: QueueFilter,
    *,
    now: datetime,
    policy: DeskPolicy,
    limit: int = PAGE,
    cursor: str | None = None,
) -> Page:
    """Raises NotPermitted, ReviewError for a cursor that is none of ours."""
    conditions = [visible(person), _condition(person, wanted, now)]
    if cursor is not None:
        rank_then, id_then = _read_cursor(cursor)
        # The first half is implied by the second; it lets the index skip the pages before.
        conditions += [
            cases.c.rank <= rank_then,
            or_(cases.c.rank < rank_then, and_(cases.c.rank == rank_then, cases.c.case_id > id_then)),
        ]
    limit = max(1, min(limit, MAX_PAGE))
    states = _states(person, wanted.show)
    rows = _most_urgent(connection, select(cases).where(*conditions), states, limit=limit + 1)
    lines = tuple(to_line(row, person, now=now, policy=policy) for row in rows[:limit])
    more = len(rows) > limit
    return Page(lines, _write_cursor(rows[limit - 1]) if more else None)


def count_cases(connection: Connection, person: Person, wanted: QueueFilter, *, now: datetime) -> int:
    query = select(func.count()).select_from(cases).where(visible(person), _condition(person, wanted, now))
    return int(connection.execute(query).scalar_one())


def next_case(connection: Connection, person: Person, wanted: QueueFilter, *, now: datetime) -> str | None:
    """The most urgent case that this person can claim and nobody holds."""
    free = or_(cases.c.lease_until.is_(None), cases.c.lease_until <= now)
    person.require(May.DECIDE)
    query = select(cases.c.case_id, cases.c.rank).where(
        visible(person), _condition(person, wanted, now), claimable(person, now), free
    )
    rows = _most_urgent(connection, query, _states(person, wanted.show), limit=1)
    return str(rows[0].case_id) if rows else None


def floods(connection: Connection, *, at_least: int) -> list[tuple[str, int]]:
    """References with many live cases, most first: perhaps the reference is at fault, not the uploads."""
    count = func.count().label("live")
    rows = connection.execute(
        select(case_tracks.c.track_id, count)
        .join(cases, cases.c.case_id == case_tracks.c.case_id)
        .where(cases.c.state.in_(LIVE), cases.c.kind == Kind.FLAG)
        .group_by(case_tracks.c.track_id)
        .having(func.count() >= at_least)
        .order_by(count.desc())
        .limit(10)
    )
    return [(row.track_id, int(row.live)) for row in rows]


def to_line(row: Row[Any], person: Person, *, now: datetime, policy: DeskPolicy) -> CaseLine:
    leased = row.lease_until is not None and row.lease_until > now
    return CaseLine(
        case_id=row.case_id,
        kind=shown_kind(row.kind),
        state=shown_state(row.state, person),
        upload_id=row.upload_id,
        title=row.title,
        artist=row.artist,
        uploader=row.uploader,
        rule=row.rule,
        reason=row.reason,
        coverage=row.coverage,
        ai_probability=row.ai_probability,
        harm=row.harm,
        priority=priority(row.harm, row.opened_at, now, sla_s=policy.sla_s),
        opened_at=row.opened_at,
        due_at=row.due_at,
        leased_by=row.lease_user if leased else None,
        leased_until=row.lease_until if leased else None,
    )


def shown_kind(kind: str) -> str:
    """A golden case looks like any other."""
    return Kind.FLAG.value if kind == Kind.GOLDEN else kind


def shown_state(state: str, person: Person) -> str:
    """Whoever judges second must not see that somebody judged first."""
    return State.OPEN.value if state == State.SECOND and not person.may(May.SEE_OPINIONS) else state


def _most_urgent(
    connection: Connection, query: Select[Any], states: tuple[State, ...], *, limit: int
) -> list[Row[Any]]:
    """The first rows of `query` by rank, asked state by state: one state is one run of the index on (state,
    rank) that ends after `limit` rows, while `state IN (…)` makes both databases read and sort all cases."""
    found: list[Row[Any]] = []
    for state in states:
        of_state = query.where(cases.c.state == state)
        found += connection.execute(of_state.order_by(cases.c.rank.desc(), cases.c.case_id).limit(limit))
    return sorted(found, key=lambda row: (-row.rank, row.case_id))[:limit]


def _condition(person: Person, wanted: QueueFilter, now: datetime) -> ColumnElement[bool]:
    conditions = [cases.c.state.in_(_states(person, wanted.show)), *_shown(person, wanted.show, now)]
    for word in fold(wanted.text).split():
        escaped = word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        conditions.append(cases.c.search_text.like(f"%{escaped}%", escape="\\"))
    if wanted.rule is not None:
        conditions.append(cases.c.rule == wanted.rule)
    if wanted.uploader is not None:
        conditions.append(cases.c.uploader == wanted.uploader)
    if wanted.track_id is not None:
        here = case_tracks.c.case_id == cases.c.case_id
        conditions.append(exists(select(1).where(here, case_tracks.c.track_id == wanted.track_id)))
    return and_(*conditions)


def _states(person: Person, show: Show) -> tuple[State, ...]:
    states: dict[Show, tuple[State, ...]] = {
        "todo": states_for(person) if person.may(May.DECIDE) else LIVE,
        "mine": LIVE,
        "lead": (State.LEAD,),
        "documents": (State.DOCUMENTS,),
        "appeals": LIVE,
        "closed": (State.CLOSED, State.SUPERSEDED),
        "all": tuple(State),
    }
    return states[show]


def _shown(person: Person, show: Show, now: datetime) -> list[ColumnElement[bool]]:
    """What a tab asks for beyond the state."""
    if show == "todo" and person.may(May.DECIDE):
        return [eligible(person, now)]
    if show == "mine":
        return [cases.c.lease_user == person.user_id, cases.c.lease_until > now]
    if show == "appeals":
        return [cases.c.kind == Kind.APPEAL]
    return []


def _write_cursor(row: Row[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps([row.rank, row.case_id]).encode()).decode("ascii")


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        rank_then, id_then = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii", errors="replace")))
        return float(rank_then), str(id_then)
    except (ValueError, TypeError) as error:
        raise ReviewError("the cursor is not one that this list gave; start from the first page") from error
