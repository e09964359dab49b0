"""Draws the signs of machine-made music of the uploads that are waiting, one recording at a time.

Drawing takes seconds, so it has a worker of its own: the audio of the next case must not wait for it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, desc, select, update

from pipeline.evidence import Evidence
from review.database import Database
from review.intake import UPLOAD_AUDIO
from review.media_store import MediaStore
from review.ports import SignPainter
from review.states import LIVE, State
from review.tables import case_audio, cases, flags, media
from soundalike.errors import AudioError


def suffix_of(name: str) -> str:
    """Of the picture's file in the media store. Only plain words become names of files."""
    return f".sign-{name}.png"


def is_plain(name: str) -> bool:
    return 0 < len(name) <= 40 and name.isascii() and name.replace("_", "").replace("-", "").isalnum()


def paint_next(database: Database, store: MediaStore, painter: SignPainter) -> bool:
    """Draw the signs of the most urgent upload that has some; False if none is waiting."""
    with database.read() as connection:
        row = _waiting(connection, cases.c.state.in_(LIVE)) or _waiting(
            connection, cases.c.state == State.CLOSED
        )
    if row is None:
        return False
    names = [sign.name for sign in Evidence.model_validate_json(row.evidence).ai.signs if is_plain(sign.name)]
    captions: dict[str, str] = {}
    if names:
        try:
            pictures = painter.paint(store.path(row.sha256, ".orig"), names)
        except AudioError:
            pictures = []  # the case says already what is wrong with the audio
        for picture in pictures:
            with store.writing(".png") as temporary:
                temporary.write_bytes(picture.png)
                store.keep(temporary, row.sha256, suffix_of(picture.name))
            captions[picture.name] = picture.caption
    with database.write() as connection:
        connection.execute(
            update(media).where(media.c.sha256 == row.sha256).values(signs=json.dumps(captions))
        )
    return True


def _waiting(connection: Connection, which: ColumnElement[bool]) -> Any:
    return connection.execute(
        select(media.c.sha256, flags.c.evidence)
        .join(case_audio, case_audio.c.sha256 == media.c.sha256)
        .join(cases, cases.c.case_id == case_audio.c.case_id)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .where(media.c.signs.is_(None), case_audio.c.track_id == UPLOAD_AUDIO, which)
        .order_by(desc(cases.c.rank))
        .limit(1)
    ).first()
