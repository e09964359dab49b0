"""Suppressions and quarantines in SQL, and the sightings that tell when a reference floods.

What suppresses is part of the catalog: each change is a generation. Sightings are not: they are counts of the
last days, noted beside it.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, func, or_, select

from index import recordings
from index.consents import IDS_PER_QUERY
from index.database import Database, Writing
from index.suppression import Kind, Suppression, check_reason, check_span
from index.tables import sightings, suppressions
from index.terms import check_name
from soundalike.errors import CatalogError, UnknownTrack

WATCHDOG = "soundalike"
"""Who quarantines."""

WINDOW = timedelta(hours=1)
"""In which uploads are counted to see a flood."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """An upload that was matched with a reference. accuses: it was flagged for it; else it was set aside."""

    track_id: str
    upload_id: str
    audio_sha256: str
    seen_at: datetime
    accuses: bool


@dataclass(frozen=True, slots=True)
class Flood:
    """Upload ids around a quarantine, oldest first. accused: flagged for the reference in the window before
    it, which is what caused it. set_aside: matched with it while it accused nobody."""

    accused: tuple[str, ...]
    set_aside: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodRule:
    """When a reference floods: `least` different recordings flagged for it within `window`, and at least
    `factor` times what it had in such a window on average over the `memory` before.

    least: at 75,000 uploads a day, 50 an hour is one upload in 60. The same bytes under many upload ids count
    once, so that a spammer can't free a recording by uploading one copy of it many times.
    rest: after a person let a reference go, it is left alone for so long.
    """

    least: int = 50
    factor: float = 10.0
    window: timedelta = WINDOW
    memory: timedelta = timedelta(days=7)
    rest: timedelta = timedelta(days=7)


class Suppressions:
    """Of one catalog; `index.catalog.Catalog.suppressions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        track_id: str,
        *,
        reason: str,
        by: str,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Suppression:
        """From now on matches on the track, or on that span of it, accuse nobody. Raises UnknownTrack."""
        check_reason(reason)
        check_name(by, what="who suppresses")
        with self._database.write(kind="suppressed", subject=track_id) as writing:
            row = recordings.live_row(writing.connection, track_id)
            if row is None:
                raise UnknownTrack(recordings.unknown(track_id))
            check_span(start_s, end_s, duration_s=row.duration_s, of=track_id)
            return _insert(
                writing, track_id, Kind.SUPPRESSED, reason=reason, by=by, start_s=start_s, end_s=end_s
            )

    def end(self, suppression_id: str, *, reason: str, by: str) -> Suppression:
        """From now on it accuses again. Raises CatalogError if there is none, or if it has ended."""
        check_reason(reason)
        check_name(by, what="who ends it")
        with self._database.write(kind="suppression_ended", subject=suppression_id) as writing:
            return _end(writing, _active(writing.connection, suppression_id), reason=reason, by=by)

    def confirm(
        self,
        suppression_id: str,
        *,
        reason: str,
        by: str,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> Suppression:
        """A person agrees with a quarantine: it ends as a suppression, of a span or of the whole."""
        check_reason(reason)
        check_name(by, what="who confirms it")
        with self._database.write(kind="quarantine_confirmed", subject=suppression_id) as writing:
            found = _quarantine(writing.connection, suppression_id)
            row = recordings.row_known_at(writing.connection, found.track_id, known_at=None)
            check_span(start_s, end_s, duration_s=row.duration_s, of=found.track_id)
            _end(writing, found, reason=f"confirmed: {reason}"[:1000], by=by)
            return _insert(
                writing, found.track_id, Kind.SUPPRESSED, reason=reason, by=by, start_s=start_s, end_s=end_s
            )

    def release(self, suppression_id: str, *, reason: str, by: str) -> tuple[Suppression, tuple[str, ...]]:
        """A person lets a quarantined reference accuse again; and which uploads went by in the meantime."""
        check_reason(reason)
        check_name(by, what="who releases it")
        with self._database.write(kind="quarantine_released", subject=suppression_id) as writing:
            found = _quarantine(writing.connection, suppression_id)
            missed = _seen(writing.connection, found.track_id, accuses=False, after=found.recorded_at)
            return _end(writing, found, reason=reason, by=by), missed

    def quarantine(self, track_id: str, *, reason: str) -> Suppression | None:
        """None if it is quarantined or wholly suppressed already, or is no live track."""
        check_reason(reason)
        with self._database.write(kind="quarantined", subject=track_id) as writing:
            if recordings.live_row(writing.connection, track_id) is None:
                return None
            if any(one.start_s is None for one in _of(writing.connection, [track_id])):
                return None
            return _insert(writing, track_id, Kind.QUARANTINED, reason=reason, by=WATCHDOG)

    def list(self, *, kind: Kind | None = None, ended: bool = False) -> list[Suppression]:
        """Those in force, oldest first; with `ended`, also the others."""
        query = select(suppressions).order_by(suppressions.c.recorded_at, suppressions.c.suppression_id)
        if kind is not None:
            query = query.where(suppressions.c.kind == kind.value)
        if not ended:
            query = query.where(suppressions.c.ended_at.is_(None))
        with self._database.read() as connection:
            return [_to_suppression(row) for row in connection.execute(query)]

    def of(self, track_ids: Collection[str], *, known_at: datetime | None = None) -> tuple[Suppression, ...]:
        """Those in force on these tracks, now or at the instant `known_at`."""
        if not track_ids:
            return ()
        with self._database.read() as connection:
            return tuple(_of(connection, sorted(track_ids), known_at=known_at))

    def get(self, suppression_id: str) -> Suppression:
        """In force or ended. Raises CatalogError if there is none."""
        with self._database.read() as connection:
            return _known(connection, suppression_id)

    def flood(self, suppression_id: str, *, window: timedelta = WINDOW) -> Flood:
        """The uploads behind a quarantine and since, also of one that has ended, as far as they are kept."""
        with self._database.read() as connection:
            found = _known(connection, suppression_id)
            began = found.recorded_at
            return Flood(
                # Some are under way while the quarantine begins.
                _seen(connection, found.track_id, accuses=True, after=began - window, until=found.ended_at),
                _seen(connection, found.track_id, accuses=False, after=began, until=found.ended_at),
            )

    # Sightings

    def note(self, seen: Iterable[Sighting]) -> None:
        """Keeps the newest sighting of each pair of reference and upload: a repeated event counts once."""
        newest = {(one.track_id, one.upload_id): one for one in sorted(seen, key=lambda one: one.seen_at)}
        if not newest:
            return
        with self._database.note() as connection:
            for (track_id, upload_id), one in newest.items():
                pair = (sightings.c.track_id == track_id, sightings.c.upload_id == upload_id)
                later = connection.execute(
                    select(sightings.c.upload_id).where(*pair, sightings.c.seen_at > one.seen_at)
                ).first()
                if later is not None:
                    continue
                connection.execute(delete(sightings).where(*pair))
                connection.execute(
                    sightings.insert().values(
                        track_id=track_id,
                        upload_id=upload_id,
                        audio_sha256=one.audio_sha256,
                        seen_at=one.seen_at,
                        accuses=one.accuses,
                    )
                )

    def flooding(self, track_ids: Collection[str], *, rule: FloodRule, now: datetime) -> dict[str, str]:
        """Why each of the tracks that floods has to be quarantined; those that don't flood are absent."""
        found = {}
        with self._database.read() as connection:
            for track_id in sorted(track_ids):
                if _released_since(connection, track_id, now - rule.rest):
                    continue
                recent = _count(connection, track_id, after=now - rule.window, until=now)
                if recent < rule.least:
                    continue
                before = _count(connection, track_id, after=now - rule.memory, until=now - rule.window)
                usual = before * (rule.window / (rule.memory - rule.window))
                if recent >= rule.factor * usual:
                    minutes = round(rule.window.total_seconds() / 60)
                    found[track_id] = (
                        f"{recent} different recordings were flagged for it within {minutes} minutes,"
                        f" where {usual:.1f} are usual"
                    )
        return found

    def forget(self, *, before: datetime) -> int:
        """Drops old sightings, but for those of references that wait for a person; returns how many."""
        waiting = select(suppressions.c.track_id).where(
            suppressions.c.kind == Kind.QUARANTINED.value, suppressions.c.ended_at.is_(None)
        )
        with self._database.note() as connection:
            return connection.execute(
                delete(sightings).where(sightings.c.seen_at < before, sightings.c.track_id.not_in(waiting))
            ).rowcount


def _insert(
    writing: Writing,
    track_id: str,
    kind: Kind,
    *,
    reason: str,
    by: str,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Suppression:
    made = Suppression(
        suppression_id=f"{kind.value}-{uuid.uuid4().hex[:12]}",
        track_id=track_id,
        kind=kind,
        reason=reason,
        start_s=start_s,
        end_s=end_s,
        recorded_by=by,
        recorded_at=writing.at,
    )
    writing.connection.execute(
        suppressions.insert().values(
            suppression_id=made.suppression_id,
            track_id=track_id,
            kind=kind.value,
            reason=reason,
            start_s=start_s,
            end_s=end_s,
            recorded_by=by,
            recorded_at=writing.at,
            recorded_generation=writing.generation,
        )
    )
    return made


def _end(writing: Writing, found: Suppression, *, reason: str, by: str) -> Suppression:
    ended = {"ended_reason": reason, "ended_by": by, "ended_at": writing.at}
    writing.connection.execute(
        suppressions.update()
        .where(suppressions.c.suppression_id == found.suppression_id)
        .values(**ended, ended_generation=writing.generation)
    )
    return _to_suppression(writing.connection.execute(_with_id(found.suppression_id)).one())


def _known(connection: Connection, suppression_id: str) -> Suppression:
    row = connection.execute(_with_id(suppression_id)).one_or_none()
    if row is None:
        raise CatalogError(
            f"there is no suppression or quarantine {suppression_id!r}; `soundalike catalog suppress list`"
            " and `soundalike catalog quarantine list` show all"
        )
    return _to_suppression(row)


def _active(connection: Connection, suppression_id: str) -> Suppression:
    found = _known(connection, suppression_id)
    if found.ended_at is not None:
        raise CatalogError(
            f"{suppression_id} was ended at {found.ended_at:%Y-%m-%d %H:%M} UTC by {found.ended_by} already"
        )
    return found


def _quarantine(connection: Connection, suppression_id: str) -> Suppression:
    found = _active(connection, suppression_id)
    if found.kind is not Kind.QUARANTINED:
        raise CatalogError(
            f"{suppression_id} is no quarantine but a person's suppression;"
            " `soundalike catalog suppress end` ends it"
        )
    return found


def _of(
    connection: Connection, track_ids: Sequence[str], *, known_at: datetime | None = None
) -> list[Suppression]:
    ended_at, recorded_at = suppressions.c.ended_at, suppressions.c.recorded_at
    in_force = (
        ended_at.is_(None)
        if known_at is None
        else and_(recorded_at <= known_at, or_(ended_at.is_(None), ended_at > known_at))
    )
    found = []
    for start in range(0, len(track_ids), IDS_PER_QUERY):
        query = select(suppressions).where(
            suppressions.c.track_id.in_(track_ids[start : start + IDS_PER_QUERY]), in_force
        )
        found += [_to_suppression(row) for row in connection.execute(query)]
    return found


def _seen(
    connection: Connection, track_id: str, *, accuses: bool, after: datetime, until: datetime | None = None
) -> tuple[str, ...]:
    query = select(sightings.c.upload_id).where(
        sightings.c.track_id == track_id, sightings.c.seen_at >= after, sightings.c.accuses.is_(accuses)
    )
    if until is not None:
        query = query.where(sightings.c.seen_at <= until)
    return tuple(connection.execute(query.order_by(sightings.c.seen_at, sightings.c.upload_id)).scalars())


def _count(connection: Connection, track_id: str, *, after: datetime, until: datetime) -> int:
    query = select(func.count(sightings.c.audio_sha256.distinct())).where(
        sightings.c.track_id == track_id,
        sightings.c.accuses.is_(True),
        sightings.c.seen_at > after,
        sightings.c.seen_at <= until,
    )
    return int(connection.execute(query).scalar_one())


def _released_since(connection: Connection, track_id: str, since: datetime) -> bool:
    query = select(suppressions.c.suppression_id).where(
        suppressions.c.track_id == track_id,
        suppressions.c.kind == Kind.QUARANTINED.value,
        suppressions.c.ended_at > since,
    )
    return connection.execute(query).first() is not None


def _with_id(suppression_id: str) -> Select[Any]:
    return select(suppressions).where(suppressions.c.suppression_id == suppression_id)


def _to_suppression(row: Row[Any]) -> Suppression:
    return Suppression(
        suppression_id=row.suppression_id,
        track_id=row.track_id,
        kind=Kind(row.kind),
        reason=row.reason,
        start_s=row.start_s,
        end_s=row.end_s,
        recorded_by=row.recorded_by,
        recorded_at=row.recorded_at,
        ended_reason=row.ended_reason,
        ended_by=row.ended_by,
        ended_at=row.ended_at,
    )
