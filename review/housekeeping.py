"""What time does to the desk: copies of audio are deleted after a while, papers that never came are given up.

A copy may go when no live case plays it and the last case that did was closed `policy.media_keep_s` ago.
The case keeps everything else, says that the copy was deleted, and can fetch the audio anew. Golden cases
keep theirs while they are dealt.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, case, delete, func, select, update

from review.audit import append
from review.database import Database
from review.media_store import MediaStore
from review.papers import SYSTEM, reopen_overdue
from review.policy import DeskPolicy
from review.states import LIVE
from review.tables import case_audio, cases, golden, media

BATCH = 100


def keep_house(database: Database, store: MediaStore, *, now: datetime, policy: DeskPolicy) -> bool:
    """One round; False if there was nothing to do."""
    with database.write() as connection:
        reopened = reopen_overdue(connection, now=now, policy=policy)
    with database.read() as connection:
        old = _outlived(connection, now=now, policy=policy)
    deleted = 0
    for sha256 in old:
        # The row goes first: an address that still names it answers 404, never half a file.
        with database.write() as connection:
            if sha256 not in _outlived(connection, now=now, policy=policy, only=sha256):
                continue  # a new case wants it after all
            _forget(connection, sha256, now=now)
        store.remove(sha256)
        deleted += 1
    return reopened > 0 or deleted > 0


def _outlived(
    connection: Connection, *, now: datetime, policy: DeskPolicy, only: str | None = None
) -> list[str]:
    """Recordings that nobody needs any more."""
    dealt = select(golden.c.case_id).where(golden.c.retired_at.is_(None))
    live, in_use = _count(cases.c.state.in_(LIVE)), _count(cases.c.case_id.in_(dealt))
    gone = now - policy.media_keep
    query = (
        select(case_audio.c.sha256)
        .join(cases, cases.c.case_id == case_audio.c.case_id)
        .join(media, media.c.sha256 == case_audio.c.sha256)
        .group_by(case_audio.c.sha256)
        .having(
            live == 0, in_use == 0, func.max(cases.c.closed_at) < gone, func.max(media.c.stored_at) < gone
        )
        .limit(BATCH)
    )
    if only is not None:
        query = query.where(case_audio.c.sha256 == only)
    return list(connection.execute(query).scalars())


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _forget(connection: Connection, sha256: str, *, now: datetime) -> None:
    connection.execute(delete(media).where(media.c.sha256 == sha256))
    connection.execute(
        update(case_audio)
        .where(case_audio.c.sha256 == sha256)
        .values(
            state="missing", sha256=None,
            detail=f"the desk's copy was deleted on {now:%Y-%m-%d}, when its time of keeping had passed",
        )
    )  # fmt: skip
    append(connection, at=now, actor=SYSTEM, action="media.deleted", subject=sha256)
