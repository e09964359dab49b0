"""Fetches the audio of cases into the media store and draws its pictures, behind the reviewers' backs.

Of an upload, exactly the bytes that were judged are played if the store has them; what can't be had any more
is played from the copy that an earlier case left behind, and the case says so. What can't be had at all is
recorded with its reason; the case stays usable without it, and somebody can ask for another try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, desc, insert, select, true, update

from pipeline.evidence import Evidence
from review.database import Database
from review.intake import UPLOAD_AUDIO
from review.media_store import MediaStore, sha256_of
from review.pictures import bands, peaks
from review.ports import AudioReader, Sound
from review.states import LIVE, State
from review.tables import case_audio, cases, flags, media
from soundalike.errors import AudioError, AudioNotFound, DecoderUnavailable, FetchFailed

BATCH = 8
"""Recordings between two looks at what is most urgent: sorting a long queue costs more than one of them."""

MAX_ATTEMPTS = 5
FIRST_RETRY_S = 5.0

_PLAYED_BY_BROWSERS = {
    ("mp3", "mp3"): "audio/mpeg",
    ("wav", "pcm_s16le"): "audio/wav",
    ("flac", "flac"): "audio/flac",
    ("ogg", "vorbis"): "audio/ogg",
    ("ogg", "opus"): "audio/ogg",
    ("mp4", "aac"): "audio/mp4",
}
"""(container, codec) that Chromium, Firefox and Safari 18.4 or later play as it is; the rest becomes FLAC."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    playable_name: str
    playable_type: str
    duration_s: float | None
    loudness_lufs: float | None
    picture_detail: str


def prepare_next(database: Database, store: MediaStore, reader: AudioReader, *, now: datetime) -> bool:
    """Fetch the most urgent recordings that are due, a few at a time; False if none is. Never raises for bad
    audio."""
    with database.read() as connection:
        rows = _due(connection, cases.c.state.in_(LIVE), now=now) or _due(
            connection, cases.c.state == State.CLOSED, now=now
        )
    for row in rows:
        _prepare_one(database, store, reader, row, now=now)
    return bool(rows)


def _prepare_one(
    database: Database, store: MediaStore, reader: AudioReader, row: Row[Any], *, now: datetime
) -> None:
    if (judged := _judged_copy(database, store, row)) is not None:
        _finish(database, row, state="ready", detail="", sha256=judged)
        return
    try:
        sha256, detail = _fetch(database, store, reader, row, now=now)
    except (FetchFailed, DecoderUnavailable) as error:
        _postpone(database, store, row, str(error), now=now)
    except AudioError as error:
        _do_without(database, store, row, str(error))
    else:
        _finish(database, row, state="ready", detail=detail, sha256=sha256)


def _due(connection: Connection, which: ColumnElement[bool], *, now: datetime) -> Sequence[Row[Any]]:
    return connection.execute(
        select(case_audio, cases.c.upload_id, flags.c.evidence)
        .join(cases, cases.c.case_id == case_audio.c.case_id)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .where(case_audio.c.state == "pending", case_audio.c.next_attempt_at <= now, which)
        .order_by(desc(cases.c.rank))
        .limit(BATCH)
    ).all()


def try_again(connection: Connection, case_id: str, *, now: datetime) -> int:
    """Ask for the missing recordings of a case once more; returns how many there are."""
    changed = connection.execute(
        update(case_audio)
        .where(case_audio.c.case_id == case_id, case_audio.c.state == "missing")
        .values(state="pending", attempts=0, detail="", next_attempt_at=now)
    )
    return int(changed.rowcount)


def _judged_copy(database: Database, store: MediaStore, row: Row[Any]) -> str | None:
    """The upload's own bytes, if an earlier case brought them here: an appeal comes months later."""
    judged = Evidence.model_validate_json(row.evidence).audio.sha256
    if row.track_id != UPLOAD_AUDIO or judged is None:
        return None
    return judged if _is_kept(database, store, judged) else None


def _do_without(database: Database, store: MediaStore, row: Row[Any], detail: str) -> None:
    """The original can't be had: an earlier copy of the same track or upload will do."""
    same = (
        cases.c.upload_id == row.upload_id if row.track_id == UPLOAD_AUDIO else true(),
        case_audio.c.track_id == row.track_id,
        case_audio.c.sha256.is_not(None),
    )
    with database.read() as connection:
        earlier = connection.execute(
            select(case_audio.c.sha256, media.c.stored_at)
            .join(cases, cases.c.case_id == case_audio.c.case_id)
            .join(media, media.c.sha256 == case_audio.c.sha256)
            .where(*same)
            .order_by(desc(media.c.stored_at))
            .limit(1)
        ).first()
    if earlier is None or not _is_kept(database, store, earlier.sha256):
        _finish(database, row, state="missing", detail=detail, sha256=None)
        return
    copied = (
        f"this is the desk's own copy of {earlier.stored_at:%Y-%m-%d}; the original can't be had: {detail}"
    )
    _finish(database, row, state="ready", detail=copied, sha256=earlier.sha256)


def _is_kept(database: Database, store: MediaStore, sha256: str) -> bool:
    with database.read() as connection:
        row = connection.execute(select(media.c.playable_name).where(media.c.sha256 == sha256)).first()
    return row is not None and store.path(sha256, row.playable_name).exists()


def _fetch(
    database: Database, store: MediaStore, reader: AudioReader, row: Row[Any], *, now: datetime
) -> tuple[str, str]:
    if row.uri is None:
        raise AudioNotFound("nobody knows where the audio of this reference lies")
    with store.writing() as temporary:
        reader.copy(row.uri, temporary)
        sha256 = sha256_of(temporary)
        original = store.keep(temporary, sha256, ".orig")
    with database.read() as connection:
        known = connection.execute(select(media.c.sha256).where(media.c.sha256 == sha256)).first()
    if known is None:
        size_bytes = original.stat().st_size
        prepared = _prepare(store, reader, sha256)
        with database.write() as connection:
            if not connection.execute(select(media.c.sha256).where(media.c.sha256 == sha256)).first():
                connection.execute(
                    insert(media).values(
                        sha256=sha256, size_bytes=size_bytes, stored_at=now,
                        playable_name=prepared.playable_name, playable_type=prepared.playable_type,
                        duration_s=prepared.duration_s, loudness_lufs=prepared.loudness_lufs,
                        picture_detail=prepared.picture_detail,
                    )
                )  # fmt: skip
    judged = Evidence.model_validate_json(row.evidence).audio.sha256
    if row.track_id == UPLOAD_AUDIO and judged not in {None, sha256}:
        return sha256, "the audio at this address has changed since it was judged"
    return sha256, ""


def _prepare(store: MediaStore, reader: AudioReader, sha256: str) -> _Prepared:
    """Pictures and a playable form. Audio that can't be decoded here is still offered as it is."""
    original = store.path(sha256, ".orig")
    try:
        sound = reader.decode(original)
    except AudioError as error:
        detail = str(error).removeprefix(f"{original.name}: ")
        return _Prepared(".orig", "application/octet-stream", None, None, detail)
    _save(store, sha256, ".peaks.npy", peaks(sound.mono, sound.sample_rate_hz))
    _save(store, sha256, ".bands.npy", bands(sound.mono, sound.sample_rate_hz))
    name, kind = ".orig", _PLAYED_BY_BROWSERS.get((_container(sound), sound.codec))
    if kind is None:
        with store.writing(".flac") as temporary:
            reader.transcode(original, temporary)
            store.keep(temporary, sha256, ".flac")
        name, kind = ".flac", "audio/flac"
    return _Prepared(name, kind, sound.mono.size / sound.sample_rate_hz, sound.loudness_lufs, "")


def _container(sound: Sound) -> str:
    """FFmpeg names a container by all its kin, as `mov,mp4,m4a,3gp,3g2,mj2`."""
    names = sound.container.split(",")
    return "mp4" if "mp4" in names else names[0]


def _save(store: MediaStore, sha256: str, suffix: str, array: NDArray[np.generic]) -> None:
    with store.writing(suffix) as temporary:
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        store.keep(temporary, sha256, suffix)


def _postpone(database: Database, store: MediaStore, row: Row[Any], detail: str, *, now: datetime) -> None:
    attempts = row.attempts + 1
    if attempts >= MAX_ATTEMPTS:
        _do_without(database, store, row, f"given up after {attempts} tries: {detail}")
        return
    wait = timedelta(seconds=FIRST_RETRY_S * 2**row.attempts)
    with database.write() as connection:
        connection.execute(_this(row).values(attempts=attempts, detail=detail, next_attempt_at=now + wait))


def _finish(database: Database, row: Row[Any], *, state: str, detail: str, sha256: str | None) -> None:
    with database.write() as connection:
        connection.execute(_this(row).values(state=state, detail=detail, sha256=sha256))


def _this(row: Row[Any]) -> Any:
    return update(case_audio).where(
        case_audio.c.case_id == row.case_id, case_audio.c.track_id == row.track_id
    )
