"""The audit log: who did what, in an append-only chain of hashes.

Each entry's hash covers its fields and the hash before it, so a change, a removal or an insertion anywhere
breaks every later hash. The database refuses UPDATE and DELETE on the table (triggers); the chain finds out
who got around that. What a chain can't show by itself is a tail that was cut off: keep the head that
`verify` returns somewhere else, and give it as `anchor` next time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import Connection, desc, insert, select, text

from review.database import Database
from review.tables import audit
from soundalike.errors import AuditBroken

GENESIS = "0" * 64
AUDIT_LOCK = 0x50A1F
"""PostgreSQL's advisory lock around the chain's head: two appends must not share a predecessor."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry: what to keep elsewhere."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def append(
    connection: Connection,
    *,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, JsonValue] | None = None,
) -> None:
    """Add one entry, in the transaction of the act itself: both are kept, or neither."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AUDIT_LOCK})
    last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(desc(audit.c.seq)).limit(1)).first()
    seq, prev_hash = (1, GENESIS) if last is None else (last.seq + 1, last.hash)
    written = canonical(dict(detail or {}))
    digest = _digest((seq, _moment(at), actor, action, subject, written, prev_hash))
    connection.execute(
        insert(audit).values(
            seq=seq, at=at, actor=actor, action=action, subject=subject, detail=written,
            prev_hash=prev_hash, hash=digest,
        )
    )  # fmt: skip


def verify(connection: Connection, *, anchor: Head | None = None) -> Head:
    """Walk the whole chain; returns its head (seq 0 and the genesis hash when empty).

    Raises AuditBroken, naming the first entry that does not fit, or the anchor that is missing.
    """
    seq, prev_hash = 0, GENESIS
    met_anchor = anchor is None or anchor == Head(0, GENESIS)
    query = select(audit).order_by(audit.c.seq).execution_options(yield_per=1000)
    with connection.execute(query) as rows:  # closed also when the walk ends early
        for row in rows:
            if row.seq != seq + 1:
                raise AuditBroken(f"audit entry {seq + 1} is missing: after {seq} comes {row.seq}")
            fields = (row.seq, _moment(row.at), row.actor, row.action, row.subject, row.detail, prev_hash)
            if row.prev_hash != prev_hash or row.hash != _digest(fields):
                raise AuditBroken(f"audit entry {row.seq} ({row.action} by {row.actor}) was altered")
            seq, prev_hash = row.seq, row.hash
            met_anchor = met_anchor or anchor == Head(seq, prev_hash)
    if not met_anchor:
        raise AuditBroken(f"the audit log no longer holds its anchor {anchor}: it was cut or rewritten")
    return Head(seq, prev_hash)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log, as it is shown."""

    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, JsonValue]
    hash: str


def read_log(
    database: Database, *, before: int | None = None, actor: str = "", subject: str = "", limit: int = 100
) -> list[Entry]:
    """Newest first, below number `before`; by one actor or on one subject, if they are named."""
    query = select(audit).order_by(desc(audit.c.seq)).limit(limit)
    if before is not None:
        query = query.where(audit.c.seq < before)
    if actor:
        query = query.where(audit.c.actor == actor)
    if subject:
        query = query.where(audit.c.subject == subject)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [
        Entry(row.seq, row.at, row.actor, row.action, row.subject, json.loads(row.detail), row.hash)
        for row in rows
    ]


def canonical(document: object) -> str:
    """JSON with one spelling: keys sorted, no spaces, ASCII."""
    return json.dumps(document, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _digest(fields: tuple[int | str, ...]) -> str:
    return hashlib.sha256(canonical(fields).encode("ascii")).hexdigest()
