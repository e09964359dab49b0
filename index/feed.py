"""The catalog as a stream of changes keeps it: each change of a track applied once, by its revision.

Every change carries the revision of its track and writes it in its own transaction. So a change that comes
twice, or late, is known as such, whoever was killed when: at-least-once delivery becomes exactly one effect.

A change states what holds after it. `terms` are *all* terms that are narrowed to the track: one that is not
among them is withdrawn. Terms for all works of a rightsholder are not the stream's, and stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum

import structlog
from sqlalchemy import Connection, func, select

from index import consents, recordings
from index.database import Database, Writing
from index.prints import Print, PrintStore
from index.tables import applied_revisions, terms
from index.terms import Term, check_name, check_term, newest_versions
from index.tracks import Right, Track, check_rights, check_track
from soundalike.errors import CatalogError, UnknownTrack

log = structlog.get_logger(__name__)


class Applied(StrEnum):
    APPLIED = "applied"
    STALE = "stale"
    """A later revision of this track was applied before, or the same one: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """Of whom it speaks, and which of the track's changes it is; `event_id` is kept for people."""

    track_id: str
    revision: int
    event_id: str


class Feed:
    """Of one catalog; `index.catalog.Catalog.feed`."""

    def __init__(self, database: Database, store: PrintStore) -> None:
        self._database = database
        self._prints = store

    def is_stale(self, change: Change, *, of_recording: bool) -> bool:
        """Whether it would change nothing; asked before the costly part. of_recording: it brings audio.

        A recording that comes late (replayed after it failed) is still taken if only terms changed since.
        """
        with self._database.read() as connection:
            return _is_stale(connection, change, of_recording=of_recording)

    def put(
        self,
        change: Change,
        track: Track,
        reference_print: Print,
        *,
        model_sha256: str,
        rights: Sequence[Right],
        terms_of_track: Sequence[Term],
    ) -> Applied:
        """The track is added, or replaces the one of its id. Raises CatalogError if it can't be meant."""
        check_change(change, terms_of_track, rights)
        check_track(track)
        stored = self._prints.write(
            reference_print.to_arrays(), audio_sha256=track.audio_sha256, model_sha256=model_sha256
        )
        with (
            suppress(_StaleError),
            self._database.write(kind="track_added", subject=track.track_id) as writing,
        ):
            if _is_stale(writing.connection, change, of_recording=True):
                raise _StaleError
            late = change.revision < _newest(writing.connection, change.track_id)
            before = recordings.live_row(writing.connection, track.track_id)
            if before is not None:
                if late or not rights:  # shares that were agreed since, or that the change does not mention
                    rights = recordings.rights_of_row(writing.connection, before.row_id, known_at=None)
                recordings.end_track(writing, track.track_id)
            others = recordings.ids_of_audio(writing.connection, track.audio_sha256)
            if others:  # allowed, and said: a copy would be credited to both
                log.warning("same_audio_as", track_id=track.track_id, others=others)
            recordings.record_print(
                writing, stored, audio_sha256=track.audio_sha256, model_sha256=model_sha256
            )
            row_id = recordings.insert_track(writing, track, model_sha256=model_sha256)
            recordings.insert_rights(writing, row_id, rights)
            if not late:
                _set_terms(writing, change.track_id, terms_of_track)
            _remember(writing, change, "added")
            return Applied.APPLIED
        return Applied.STALE

    def remove(self, change: Change) -> Applied:
        """The track is no longer recognised; one that is not there is as good as removed."""
        check_change(change, (), ())
        with (
            suppress(_StaleError),
            self._database.write(kind="track_removed", subject=change.track_id) as writing,
        ):
            if _is_stale(writing.connection, change, of_recording=False):
                raise _StaleError
            if recordings.live_row(writing.connection, change.track_id) is not None:
                recordings.end_track(writing, change.track_id)
            _remember(writing, change, "removed")
            return Applied.APPLIED
        return Applied.STALE

    def change_terms(
        self, change: Change, *, rights: Sequence[Right], terms_of_track: Sequence[Term]
    ) -> Applied:
        """Other terms hold from now on; and other shares, if any are named.

        Terms may come before their track. Raises UnknownTrack for shares of a track that is not there.
        """
        check_change(change, terms_of_track, rights)
        with (
            suppress(_StaleError),
            self._database.write(kind="terms_recorded", subject=change.track_id) as writing,
        ):
            if _is_stale(writing.connection, change, of_recording=False):
                raise _StaleError
            if rights:
                row = recordings.live_row(writing.connection, change.track_id)
                if row is None:
                    raise UnknownTrack(recordings.unknown(change.track_id))
                recordings.insert_rights(writing, row.row_id, rights)
            _set_terms(writing, change.track_id, terms_of_track)
            _remember(writing, change, "consent_changed")
            return Applied.APPLIED
        return Applied.STALE


class _StaleError(Exception):
    """Undoes the transaction of a change that came too late."""


def check_change(change: Change, new: Sequence[Term], rights: Sequence[Right]) -> None:
    """Raises CatalogError if the change can't be meant: found before anything is written."""
    check_name(change.track_id, what="the track id")
    check_rights(rights, of=change.track_id)
    seen: set[str] = set()
    for term in new:
        check_term(term)
        if term.track_id != change.track_id:
            raise CatalogError(f"term {term.term_id} speaks of {term.track_id}, not of {change.track_id}")
        if term.term_id in seen:
            raise CatalogError(f"term {term.term_id} comes twice in one change; give each term its own id")
        seen.add(term.term_id)


def _newest(connection: Connection, track_id: str, *changes: str) -> int:
    query = select(func.max(applied_revisions.c.revision)).where(applied_revisions.c.track_id == track_id)
    if changes:
        query = query.where(applied_revisions.c.change.in_(changes))
    return int(connection.execute(query).scalar_one() or 0)


def _is_stale(connection: Connection, change: Change, *, of_recording: bool) -> bool:
    if not of_recording:
        return change.revision <= _newest(connection, change.track_id)
    if change.revision <= _newest(connection, change.track_id, "added", "removed"):
        return True
    same = applied_revisions.c.revision == change.revision
    query = select(applied_revisions).where(applied_revisions.c.track_id == change.track_id, same)
    return connection.execute(query).first() is not None


def _remember(writing: Writing, change: Change, kind: str) -> None:
    writing.connection.execute(
        applied_revisions.insert().values(
            track_id=change.track_id,
            revision=change.revision,
            event_id=change.event_id,
            change=kind,
            recorded_at=writing.at,
        )
    )


def _set_terms(writing: Writing, track_id: str, new: Sequence[Term]) -> None:
    """Records the versions that are new, and withdraws the track's other terms."""
    existing = {
        term.term_id: term
        for term in newest_versions(consents.with_ids(writing.connection, [term.term_id for term in new]))
    }
    fresh = []
    for term in new:
        before = existing.get(term.term_id)
        if before is not None:
            consents.check_same_subject(before, term)
            if before.version >= term.version:
                continue
        fresh.append(replace(term, recorded_at=writing.at))
    consents.insert_versions(writing, fresh)
    listed = {term.term_id for term in new}
    of_track = newest_versions(consents.where(writing.connection, terms.c.track_id == track_id))
    for term in of_track:
        over = term.valid_until is not None and term.valid_until <= writing.at
        if term.term_id not in listed and not over:
            consents.withdraw_term(writing, term.term_id, at=writing.at)
