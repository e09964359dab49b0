"""What changed in the catalog since a generation: the log that readers replay over published shards.

The transaction of each change is this log: `tracks` and `prints` say in which generation each of their rows
began and ended, and the print is on the disk before the transaction that names it. So the log needs no
file of its own, can't disagree with the catalog, and reading it costs what changed, not what is there.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from index import recordings
from index.tables import changes, prints, tracks


@dataclass(frozen=True, slots=True)
class Entry:
    """One life of a track as one model hears it: what a shard holds. `checksum` is its print's."""

    row_id: int
    track_id: str
    audio_sha256: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Delta:
    """What a reader of `since` must do to be at `generation`.

    live: entries that began, or whose print was made anew, since then. gone: row ids that ended since then.
    """

    since: int
    generation: int
    anchor: str
    live: tuple[Entry, ...]
    gone: frozenset[int]


def delta(connection: Connection, *, since: int, model_sha256: str) -> Delta:
    """The changes of the generations after `since`, up to the one that this transaction sees."""
    now = recordings.generation(connection)
    heard = and_(prints.c.audio_sha256 == tracks.c.audio_sha256, prints.c.model_sha256 == model_sha256)
    began = connection.execute(
        select(tracks.c.row_id, tracks.c.track_id, tracks.c.audio_sha256, prints.c.checksum)
        .join(prints, heard)
        .where(
            tracks.c.removed_at.is_(None),
            or_(tracks.c.added_generation > since, prints.c.recorded_generation > since),
        )
        .order_by(tracks.c.row_id)
    )
    ended = connection.execute(select(tracks.c.row_id).where(tracks.c.removed_generation > since))
    return Delta(
        since=since,
        generation=now,
        anchor=anchor(connection, now),
        live=tuple(Entry(*row) for row in began),
        gone=frozenset(ended.scalars()),
    )


def recorded_at(connection: Connection, generation: int) -> datetime:
    """When the change was made that a generation, which there must be, begins with."""
    query = select(changes.c.recorded_at).where(changes.c.generation == generation)
    at: datetime = connection.execute(query).scalar_one()
    return at


def anchor(connection: Connection, generation: int) -> str:
    """A mark of the change that made a generation; "" where there is none.

    A catalog that was restored from a backup counts the same numbers again for other changes: shards
    whose anchor is another one belong to that other history.
    """
    row = connection.execute(select(changes).where(changes.c.generation == generation)).one_or_none()
    if row is None:
        return ""
    told = f"{row.generation}\n{row.kind}\n{row.subject}\n{row.recorded_at.isoformat()}"
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def entries_at(connection: Connection, generation: int, *, model_sha256: str) -> tuple[Entry, ...]:
    """The entries of a past generation, by row id: O(catalog), for replaying a decision.

    Prints are derived from audio and have no history: one that was made anew stands for its older self.
    """
    heard = and_(prints.c.audio_sha256 == tracks.c.audio_sha256, prints.c.model_sha256 == model_sha256)
    rows = connection.execute(
        select(tracks.c.row_id, tracks.c.track_id, tracks.c.audio_sha256, prints.c.checksum)
        .join(prints, heard)
        .where(*recordings.alive_in(generation))
        .order_by(tracks.c.row_id)
    )
    return tuple(Entry(*row) for row in rows)


def unheard(connection: Connection, *, model_sha256: str) -> tuple[int, str | None]:
    """How many live tracks the model has no print of, and the id of one of them."""
    heard = and_(prints.c.audio_sha256 == tracks.c.audio_sha256, prints.c.model_sha256 == model_sha256)
    row = connection.execute(
        select(func.count(), func.min(tracks.c.track_id))
        .select_from(tracks.outerjoin(prints, heard))
        .where(tracks.c.removed_at.is_(None), prints.c.checksum.is_(None))
    ).one()
    return int(row[0]), row[1]
