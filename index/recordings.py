"""Tracks, their shares and their prints in SQL.

Functions over an open transaction of `index.database`; `index.catalog.Catalog` is their front. A removed
track keeps its row, and a track id that comes again gets another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, select

from index.consents import rightsholder_ids
from index.database import Writing
from index.prints import StoredFile
from index.tables import catalog_state, prints, rights, rightsholders, tracks
from index.tracks import Right, Role, Track
from soundalike.errors import UnknownTrack


@dataclass(frozen=True, slots=True)
class PrintFile:
    audio_sha256: str
    checksum: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Which prints make up one generation of the catalog for one model.

    tracks: all live tracks by id, in the order of adding. files: the prints of those that the model heard.
    """

    generation: int
    model_sha256: str
    tracks: Mapping[str, Track]
    files: Mapping[str, PrintFile]

    @property
    def unheard(self) -> tuple[str, ...]:
        """Live tracks that this model has no print of: nothing can be recognised as them."""
        return tuple(track_id for track_id in self.tracks if track_id not in self.files)


def insert_track(writing: Writing, track: Track, *, model_sha256: str) -> int:
    """The number of the new row."""
    key = writing.connection.execute(
        tracks.insert().values(
            track_id=track.track_id,
            isrc=track.isrc,
            iswc=track.iswc,
            title=track.title,
            artists=list(track.artists),
            duration_s=track.duration_s,
            release_date=track.release_date,
            audio_sha256=track.audio_sha256,
            model_sha256=model_sha256,
            added_at=writing.at,
            added_generation=writing.generation,
        )
    ).inserted_primary_key
    assert key is not None
    return int(key[0])


def end_track(writing: Writing, track_id: str) -> None:
    """Raises UnknownTrack if there is no such live track."""
    ended = writing.connection.execute(
        tracks.update()
        .where(tracks.c.track_id == track_id, tracks.c.removed_at.is_(None))
        .values(removed_at=writing.at, removed_generation=writing.generation)
    )
    if ended.rowcount == 0:
        raise UnknownTrack(unknown(track_id))


def unknown(track_id: str) -> str:
    return f"the catalog holds no track {track_id!r}; `soundalike catalog list` shows all"


def live_row(connection: Connection, track_id: str) -> Row[Any] | None:
    return connection.execute(
        select(tracks).where(tracks.c.track_id == track_id, tracks.c.removed_at.is_(None))
    ).one_or_none()


def row_known_at(connection: Connection, track_id: str, *, known_at: datetime | None) -> Row[Any]:
    """The newest row of the id, live or removed, that was on record at `known_at`. Raises UnknownTrack.

    Removed tracks are found too: an upload that matched a moment before the removal still gets its findings.
    """
    query = select(tracks).where(tracks.c.track_id == track_id).order_by(tracks.c.row_id.desc()).limit(1)
    if known_at is not None:
        query = query.where(tracks.c.added_at <= known_at)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownTrack(unknown(track_id))
    return row


def row_at(connection: Connection, track_id: str, *, generation: int) -> Row[Any] | None:
    """The row that had the id in a generation."""
    return connection.execute(
        select(tracks).where(tracks.c.track_id == track_id, *alive_in(generation))
    ).one_or_none()


def live_tracks(connection: Connection, *, at_generation: int | None = None) -> Iterator[Track]:
    """Those of now, or those that a verdict of an earlier generation was judged against; oldest first."""
    query: Select[Any] = select(tracks).order_by(tracks.c.row_id)
    if at_generation is None:
        query = query.where(tracks.c.removed_at.is_(None))
    else:
        query = query.where(*alive_in(at_generation))
    return (to_track(row) for row in connection.execute(query))


def alive_in(at_generation: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    removed_later = tracks.c.removed_generation.is_(None) | (tracks.c.removed_generation > at_generation)
    return tracks.c.added_generation <= at_generation, removed_later


def count_live(connection: Connection) -> int:
    query = select(func.count()).select_from(tracks).where(tracks.c.removed_at.is_(None))
    return int(connection.execute(query).scalar_one())


def ids_of_audio(connection: Connection, audio_sha256: str) -> tuple[str, ...]:
    query = select(tracks.c.track_id).where(
        tracks.c.audio_sha256 == audio_sha256, tracks.c.removed_at.is_(None)
    )
    return tuple(connection.execute(query.order_by(tracks.c.row_id)).scalars())


def insert_rights(writing: Writing, row_id: int, new: Sequence[Right]) -> None:
    """Records `new` as the next version of the track's shares."""
    newest = writing.connection.execute(
        select(func.max(rights.c.version)).where(rights.c.row_id == row_id)
    ).scalar_one()
    holders = rightsholder_ids(writing, (right.rightsholder for right in new))
    if new:
        writing.connection.execute(
            rights.insert(),
            [
                {
                    "row_id": row_id,
                    "version": (newest or 0) + 1,
                    "rightsholder_id": holders[right.rightsholder],
                    "role": right.role.value,
                    "share": right.share,
                    "recorded_at": writing.at,
                }
                for right in new
            ],
        )


def rights_of_row(connection: Connection, row_id: int, *, known_at: datetime | None) -> tuple[Right, ...]:
    newest = select(func.max(rights.c.version)).where(rights.c.row_id == row_id)
    if known_at is not None:
        newest = newest.where(rights.c.recorded_at <= known_at)
    rows = connection.execute(
        select(rights, rightsholders.c.name)
        .join(rightsholders, rightsholders.c.rightsholder_id == rights.c.rightsholder_id)
        .where(rights.c.row_id == row_id, rights.c.version == newest.scalar_subquery())
        .order_by(rightsholders.c.name, rights.c.role)
    )
    return tuple(Right(row.name, row.share, Role(row.role)) for row in rows)


def rights_of_live_tracks(connection: Connection) -> dict[str, tuple[Right, ...]]:
    """By track id, for all live tracks that have any: one query however many there are."""
    newest = select(rights.c.row_id, func.max(rights.c.version).label("version")).group_by(rights.c.row_id)
    current = newest.subquery()
    rows = connection.execute(
        select(tracks.c.track_id, rightsholders.c.name, rights.c.share, rights.c.role)
        .join(rights, rights.c.row_id == tracks.c.row_id)
        .join(current, and_(current.c.row_id == rights.c.row_id, current.c.version == rights.c.version))
        .join(rightsholders, rightsholders.c.rightsholder_id == rights.c.rightsholder_id)
        .where(tracks.c.removed_at.is_(None))
        .order_by(tracks.c.row_id, rightsholders.c.name, rights.c.role)
    )
    held: dict[str, list[Right]] = {}
    for row in rows:
        held.setdefault(row.track_id, []).append(Right(row.name, row.share, Role(row.role)))
    return {track_id: tuple(of_track) for track_id, of_track in held.items()}


def print_checksum(connection: Connection, *, audio_sha256: str, model_sha256: str) -> str | None:
    return connection.execute(
        select(prints.c.checksum).where(
            prints.c.audio_sha256 == audio_sha256, prints.c.model_sha256 == model_sha256
        )
    ).scalar_one_or_none()


def record_print(writing: Writing, stored: StoredFile, *, audio_sha256: str, model_sha256: str) -> None:
    """Points at the file that holds the print of this audio by this model, be it the first or made anew."""
    content = {
        "checksum": stored.checksum,
        "size_bytes": stored.size_bytes,
        "recorded_at": writing.at,
        "recorded_generation": writing.generation,
    }
    key = {"audio_sha256": audio_sha256, "model_sha256": model_sha256}
    if print_checksum(writing.connection, **key) is None:
        writing.connection.execute(prints.insert().values(**key, **content))
    else:
        writing.connection.execute(prints.update().filter_by(**key).values(**content))


def models_of_live_prints(connection: Connection) -> tuple[str, ...]:
    query = (
        select(prints.c.model_sha256)
        .join(tracks, tracks.c.audio_sha256 == prints.c.audio_sha256)
        .where(tracks.c.removed_at.is_(None))
        .distinct()
    )
    return tuple(sorted(connection.execute(query).scalars()))


def generation(connection: Connection) -> int:
    return int(connection.execute(select(catalog_state.c.generation)).scalar_one())


def manifest(connection: Connection, *, model_sha256: str) -> Manifest:
    rows = connection.execute(
        select(tracks, prints.c.checksum)
        .outerjoin(
            prints,
            and_(prints.c.audio_sha256 == tracks.c.audio_sha256, prints.c.model_sha256 == model_sha256),
        )
        .where(tracks.c.removed_at.is_(None))
        .order_by(tracks.c.row_id)
    ).all()
    return Manifest(
        generation=generation(connection),
        model_sha256=model_sha256,
        tracks={row.track_id: to_track(row) for row in rows},
        files={
            row.track_id: PrintFile(row.audio_sha256, row.checksum)
            for row in rows
            if row.checksum is not None
        },
    )


def to_track(row: Row[Any]) -> Track:
    return Track(
        track_id=row.track_id,
        title=row.title,
        audio_sha256=row.audio_sha256,
        duration_s=row.duration_s,
        artists=tuple(row.artists),
        isrc=row.isrc,
        iswc=row.iswc,
        release_date=row.release_date,
        model_sha256=row.model_sha256,
        added_at=row.added_at,
        removed_at=row.removed_at,
    )
