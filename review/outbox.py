"""The transactional outbox: decisions leave the desk at least once, always under the same id and bytes.

A row is written in the decision's own transaction. The publisher takes due rows, sends them, waits for the
log's acknowledgement and marks them sent. If it dies in between, the rows are sent again, byte for byte:
consumers drop them by event id. A row that was taken can no longer be taken back.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update

from review.database import Database
from review.ports import DecisionSink
from review.tables import outbox

BATCH = 200


def publish_due(database: Database, sink: DecisionSink, *, now: datetime) -> int:
    """Send what is due, oldest first; returns how many. Raises what the sink raises; the rows stay due."""
    due = (outbox.c.sent_at.is_(None), outbox.c.cancelled_at.is_(None), outbox.c.not_before <= now)
    with database.read() as connection:
        if connection.execute(select(outbox.c.seq).where(*due).limit(1)).first() is None:
            return 0
    with database.write() as connection:
        batch = select(outbox.c.seq).where(*due).order_by(outbox.c.seq).limit(BATCH)
        rows = connection.execute(
            update(outbox)
            .where(outbox.c.seq.in_(batch), *due)
            .values(taken_at=func.coalesce(outbox.c.taken_at, now))
            .returning(outbox.c.seq, outbox.c.key, outbox.c.body)
        ).all()
    rows = sorted(rows, key=lambda row: row.seq)
    sink.publish([(row.key, row.body.encode()) for row in rows])
    with database.write() as connection:
        connection.execute(
            update(outbox).where(outbox.c.seq.in_([row.seq for row in rows])).values(sent_at=now)
        )
    return len(rows)


def waiting(database: Database) -> int:
    """How many decisions are not out yet, those in their time for taking back included."""
    with database.read() as connection:
        return int(
            connection.execute(
                select(func.count())
                .select_from(outbox)
                .where(outbox.c.sent_at.is_(None), outbox.c.cancelled_at.is_(None))
            ).scalar_one()
        )
