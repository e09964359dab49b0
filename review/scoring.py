"""Keeps harm and rank of the live cases in step with what is known about artists, uploads and uploaders."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, bindparam, func, select, update

from review.policy import DeskPolicy
from review.priority import Stakes, harm, rank
from review.states import LIVE, Kind
from review.tables import artists, cases, outcomes, uploads


def artist_key(name: str | None) -> str | None:
    """How an artist's name is looked up: without case and surplus spaces."""
    key = " ".join((name or "").casefold().split())[:200]
    return key or None


def stakes_of(
    connection: Connection,
    upload_id: str,
    *,
    false_positive_rate: float | None,
    ai_probability: float | None,
    coverage: float | None,
) -> Stakes:
    """What the priority of a case on this upload is computed from, as known now."""
    known = connection.execute(
        select(uploads.c.uploader, uploads.c.plays, artists.c.monthly_listeners)
        .select_from(uploads.outerjoin(artists, artists.c.artist_key == uploads.c.artist_key))
        .where(uploads.c.upload_id == upload_id)
    ).first()
    confirmed, decided = (0, 0) if known is None else record_of(connection, known.uploader)
    return Stakes(
        false_positive_rate=false_positive_rate,
        ai_probability=ai_probability,
        coverage=coverage,
        monthly_listeners=None if known is None else known.monthly_listeners,
        plays=None if known is None else known.plays,
        uploader_confirmed=confirmed,
        uploader_decided=decided,
    )


def record_of(connection: Connection, uploader: str | None) -> tuple[int, int]:
    """(confirmed, decided) of an uploader's uploads, by the decision that stands for each."""
    if uploader is None:
        return 0, 0
    newest = (
        select(outcomes.c.upload_id, func.max(outcomes.c.revision).label("revision"))
        .join(uploads, uploads.c.upload_id == outcomes.c.upload_id)
        .where(uploads.c.uploader == uploader, outcomes.c.undone_at.is_(None))
        .where(outcomes.c.decision.in_(("confirm", "dismiss", "overturn")))
        .group_by(outcomes.c.upload_id)
        .subquery()
    )
    standing = connection.execute(
        select(outcomes.c.decision, func.count().label("uploads"))
        .join(
            newest,
            (newest.c.upload_id == outcomes.c.upload_id) & (newest.c.revision == outcomes.c.revision),
        )
        .group_by(outcomes.c.decision)
    )
    counts = {str(row.decision): int(row.uploads) for row in standing}
    return counts.get("confirm", 0), sum(counts.values())


def rescore(connection: Connection, which: ColumnElement[bool], *, policy: DeskPolicy) -> int:
    """Recompute the live cases among `which`; returns how many there were. A golden case keeps its rank.

    A few statements however many cases there are: a flood has thousands from one uploader.
    """
    rows = connection.execute(
        select(cases, uploads.c.plays, artists.c.monthly_listeners)
        .select_from(
            cases.outerjoin(uploads, uploads.c.upload_id == cases.c.upload_id).outerjoin(
                artists, artists.c.artist_key == uploads.c.artist_key
            )
        )
        .where(which, cases.c.state.in_(LIVE), cases.c.kind != Kind.GOLDEN)
    ).all()
    records = {uploader: record_of(connection, uploader) for uploader in {row.uploader for row in rows}}
    changes = []
    for row in rows:
        confirmed, decided = records[row.uploader]
        share = harm(
            Stakes(
                false_positive_rate=row.false_positive_rate,
                ai_probability=row.ai_probability,
                coverage=row.coverage,
                monthly_listeners=row.monthly_listeners,
                plays=row.plays,
                uploader_confirmed=confirmed,
                uploader_decided=decided,
            )
        )
        changes.append(
            {
                "key": row.case_id,
                "harm": share,
                "rank": rank(share, row.opened_at, sla_s=policy.sla_s),
                "needs_second": row.needs_second or share >= policy.second_opinion_harm,
            }
        )
    if changes:
        connection.execute(update(cases).where(cases.c.case_id == bindparam("key")), changes)
    return len(changes)
