"""References that the pipeline quarantined, put before a lead.

A reference that suddenly matches too many uploads accuses nobody until a person has looked. The decision is
the catalog's own record (who, when, why); the desk adds what it knows from its cases, which show and play the
matches, and an entry in its audit log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, desc, func, select

from pipeline.evidence import Evidence, Match
from review.audit import append
from review.desk import Desk
from review.ports import Quarantine, Quarantines
from review.roles import Person
from review.tables import case_tracks, cases, flags
from soundalike.errors import DeskBusy, ReviewError

CASES_LOOKED_AT = 100
"""Newest cases from which the common span is taken."""
COMMON_TO = 0.9
"""The span is that which this share of the cases has matched."""


@dataclass(frozen=True, slots=True)
class QuarantineLine:
    """One quarantine as a lead sees it.

    cases: of the desk in which the reference is matched; span_s: seconds of the reference that nine of ten of
    the newest of them have in common, None if there is no such span: where a loop or a silent intro would be.
    accused, set_aside: upload ids before and since.
    """

    quarantine_id: str
    track_id: str
    title: str
    artists: tuple[str, ...]
    reason: str
    since: datetime
    cases: int
    span_s: tuple[float, float] | None
    accused: tuple[str, ...]
    set_aside: tuple[str, ...]


def waiting(desk: Desk) -> list[QuarantineLine]:
    """Those that wait for a person, oldest first; none on a desk without a catalog."""
    if desk.quarantines is None:
        return []
    found = desk.quarantines.waiting()
    with desk.database.read() as connection:
        return [_line(connection, desk, one) for one in found]


def count_waiting(desk: Desk) -> int | None:
    """None while the catalog does not answer: the queue works without it."""
    try:
        return 0 if desk.quarantines is None else len(desk.quarantines.waiting())
    except DeskBusy:
        return None


def keep(
    desk: Desk,
    person: Person,
    quarantine_id: str,
    *,
    reason: str,
    start_s: float | None = None,
    end_s: float | None = None,
) -> None:
    """The machine was right: the reference, or the span of it, stays out of matching for this reason.

    Raises DecisionRefused if there is no such quarantine or span, DeskBusy if the catalog does not answer.
    """
    _quarantines(desk).keep(quarantine_id, reason=reason, by=person.user_id, start_s=start_s, end_s=end_s)
    with desk.database.write() as connection:
        append(
            connection,
            at=desk.now(),
            actor=person.user_id,
            action="quarantine.kept",
            subject=quarantine_id,
            detail={"reason": reason, "start_s": start_s, "end_s": end_s},
        )


def release(desk: Desk, person: Person, quarantine_id: str, *, reason: str) -> tuple[str, ...]:
    """The reference accuses again; returns the uploads that went by, which have to be judged again.

    Raises DecisionRefused if there is no such quarantine, DeskBusy if the catalog does not answer.
    """
    missed = _quarantines(desk).release(quarantine_id, reason=reason, by=person.user_id)
    with desk.database.write() as connection:
        append(connection, at=desk.now(), actor=person.user_id, action="quarantine.released",
               subject=quarantine_id, detail={"reason": reason, "went_by": len(missed)})  # fmt: skip
    return missed


def common_span(spans: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    """The seconds that at least `COMMON_TO` of the spans share at both ends; None if they share none."""
    if not spans:
        return None
    spare = len(spans) - math.ceil(COMMON_TO * len(spans))
    start = sorted(start for start, _ in spans)[len(spans) - 1 - spare]
    end = sorted(end for _, end in spans)[spare]
    return (round(start, 1), round(end, 1)) if start < end else None


def _line(connection: Connection, desk: Desk, one: Quarantine) -> QuarantineLine:
    here = case_tracks.c.track_id == one.track_id
    count = connection.execute(select(func.count()).select_from(case_tracks).where(here)).scalar_one()
    rows = connection.execute(
        select(flags.c.evidence)
        .join(cases, cases.c.event_id == flags.c.event_id)
        .join(case_tracks, case_tracks.c.case_id == cases.c.case_id)
        .where(here)
        .order_by(desc(cases.c.opened_at), cases.c.case_id)
        .limit(CASES_LOOKED_AT)
    ).scalars()
    spans = [
        (match.reference_start_s, match.reference_end_s)
        for row in rows
        for match in _best_on(Evidence.model_validate_json(row), one.track_id)
    ]
    reference = desk.references.find(one.track_id)
    return QuarantineLine(
        quarantine_id=one.quarantine_id,
        track_id=one.track_id,
        title=one.track_id if reference is None else reference.title,
        artists=() if reference is None else reference.artists,
        reason=one.reason,
        since=one.since,
        cases=int(count),
        span_s=common_span(spans),
        accused=one.accused,
        set_aside=one.set_aside,
    )


def _best_on(evidence: Evidence, track_id: str) -> list[Match]:
    return [match for match in evidence.matches if match.track_id == track_id][:1]


def _quarantines(desk: Desk) -> Quarantines:
    if desk.quarantines is None:
        raise ReviewError("this desk has no catalog; start it with --data or --catalog-url of the catalog's")
    return desk.quarantines
