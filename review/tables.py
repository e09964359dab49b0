"""The desk's tables, the same on SQLite and PostgreSQL; every name begins with `review_`.

One database may hold the catalog's tables beside these. Documents (evidence, event bodies) are kept as the
JSON text that came in or goes out, byte for byte; what is filtered or sorted by has a column of its own.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """An instant. SQLite stores no zone, so all instants are stored as UTC and handed out as aware UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"instants carry a zone: {value!r} has none")
        in_utc = value.astimezone(UTC)
        return in_utc.replace(tzinfo=None) if dialect.name == "sqlite" else in_utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ID = String(200)  # upload, track, user: as wide as `pipeline.payloads.Identifier`
EVENT_ID = String(1000)
CASE_ID = String(40)
SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers only INTEGER keys by itself

users = Table(
    "review_users",
    metadata,
    Column("user_id", ID, primary_key=True),
    Column("display_name", String(200), nullable=False),
    Column("role", String(20), nullable=False),
    Column("rightsholder", ID),  # of a `rights_ops` account: whose catalog it sees
    Column("password_hash", String(300)),  # none: signs in through OpenID Connect only
    Column("oidc_subject", String(500), unique=True),
    Column("session_epoch", Integer, nullable=False, default=0),  # raised to end all sessions
    Column("created_at", UtcDateTime, nullable=False),
    Column("disabled_at", UtcDateTime),
)

tokens = Table(
    "review_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("name", ID, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
)

uploads = Table(
    "review_uploads",
    metadata,
    Column("upload_id", ID, primary_key=True),
    Column("uri", Text, nullable=False),  # as it was published: evidence leaves out a signed URI's query
    Column("uploader", ID, index=True),
    Column("title", Text),
    Column("artist", Text),
    Column("artist_key", String(200), index=True),
    Column("isrc", String(50)),
    Column("disclosure", Text, nullable=False),  # JSON
    Column("licences", Text, nullable=False),  # JSON
    Column("territory", String(2)),
    Column("plays", BigInteger),  # none: unknown
)

artists = Table(
    "review_artists",
    metadata,
    Column("artist_key", String(200), primary_key=True),
    Column("monthly_listeners", BigInteger, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

flags = Table(
    "review_flags",
    metadata,
    Column("event_id", EVENT_ID, primary_key=True),
    Column("upload_id", ID, nullable=False, index=True),
    Column("event_time", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
)

rejects = Table(
    "review_rejects",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("stream", String(40), nullable=False),
    Column("body_base64", Text, nullable=False),
    Column("reason", String(60), nullable=False),
    Column("message", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
)

cases = Table(
    "review_cases",
    metadata,
    Column("case_id", CASE_ID, primary_key=True),
    Column("kind", String(10), nullable=False),  # flag, appeal, golden
    Column("state", String(12), nullable=False),  # see review.states
    Column("upload_id", ID, nullable=False, index=True),
    Column("event_id", EVENT_ID, ForeignKey("review_flags.event_id"), nullable=False),
    Column("rule", String(100), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("artist", Text, nullable=False),
    Column("uploader", ID, index=True),
    Column("coverage", Float),
    Column("false_positive_rate", Float),
    Column("ai_probability", Float),
    Column("search_text", Text, nullable=False),
    Column("harm", Float, nullable=False),  # 0..1, review.priority
    Column("rank", Float, nullable=False),  # sorts the queue, review.priority
    Column("needs_second", Boolean, nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("available_at", UtcDateTime, nullable=False),  # not claimable before
    Column("closed_at", UtcDateTime),
    Column("superseded_by", CASE_ID),
    Column("assigned_to", ID),  # a golden case is seen by one reviewer only
    Column("golden_of", CASE_ID),
    Column("lease_token", String(64)),
    Column("lease_user", ID),
    Column("lease_until", UtcDateTime),
    Index("ix_review_cases_queue", "state", "rank"),
    Index("ix_review_cases_lease_user", "lease_user"),
)

case_tracks = Table(
    "review_case_tracks",
    metadata,
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), primary_key=True),
    Column("track_id", ID, primary_key=True, index=True),
)

case_rightsholders = Table(
    "review_case_rightsholders",
    metadata,
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), primary_key=True),
    Column("rightsholder", ID, primary_key=True, index=True),
)

case_audio = Table(
    "review_case_audio",
    metadata,
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), primary_key=True),
    Column("track_id", ID, primary_key=True),  # "": the upload itself
    Column("uri", Text),
    Column("title", Text, nullable=False),
    Column("state", String(10), nullable=False),  # pending, ready, missing
    Column("detail", Text, nullable=False),
    Column("withdrawn", Boolean, nullable=False),
    Column("sha256", String(64)),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Index("ix_review_case_audio_pending", "state", "next_attempt_at"),
    Index("ix_review_case_audio_sha256", "sha256"),
    Index("ix_review_case_audio_track_id", "track_id"),
)

media = Table(
    "review_media",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of the bytes that were copied
    Column("size_bytes", BigInteger, nullable=False),
    Column("playable_name", String(100), nullable=False),  # file in the media store that browsers play
    Column("playable_type", String(60), nullable=False),
    Column("duration_s", Float),
    Column("loudness_lufs", Float),
    Column("picture_detail", Text, nullable=False),  # why there is no picture; empty when there is one
    Column("stored_at", UtcDateTime, nullable=False),
    Column("signs", Text),  # JSON: caption by name of the sign that was drawn; none: not drawn yet
)

opinions = Table(
    "review_opinions",
    metadata,
    Column("opinion_id", SERIAL, primary_key=True, autoincrement=True),
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), nullable=False, index=True),
    Column("upload_id", ID, nullable=False, index=True),
    Column("reviewer", ID, nullable=False, index=True),
    Column("round", String(10), nullable=False),  # first, second, lead, appeal, golden
    Column("action", String(12), nullable=False),
    Column("reason_code", String(40), nullable=False),
    Column("note", Text, nullable=False),
    Column("state_before", String(12), nullable=False),
    Column("state_after", String(12), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    Column("undone_at", UtcDateTime),
)

outcomes = Table(
    "review_outcomes",
    metadata,
    Column("upload_id", ID, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), nullable=False, index=True),
    Column("opinion_id", SERIAL, ForeignKey("review_opinions.opinion_id"), nullable=False, index=True),
    Column("decision", String(12), nullable=False),
    Column("reason_code", String(40), nullable=False),
    Column("note", Text, nullable=False),
    Column("decided_by", ID, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("undone_at", UtcDateTime),
)

outbox = Table(
    "review_outbox",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("event_id", EVENT_ID, nullable=False, unique=True),
    Column("opinion_id", SERIAL, ForeignKey("review_opinions.opinion_id"), nullable=False, index=True),
    Column("key", ID, nullable=False),
    Column("body", Text, nullable=False),  # the event as it is sent, however often
    Column("not_before", UtcDateTime, nullable=False),
    Column("taken_at", UtcDateTime),
    Column("sent_at", UtcDateTime),
    Column("cancelled_at", UtcDateTime),
    Index("ix_review_outbox_waiting", "sent_at", "cancelled_at", "not_before"),
)

golden = Table(
    "review_golden",
    metadata,
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), primary_key=True),
    Column("action", String(12), nullable=False),
    Column("reason_code", String(40), nullable=False),
    Column("created_by", ID, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
)

appeals = Table(
    "review_appeals",
    metadata,
    Column("appeal_id", CASE_ID, primary_key=True),  # also the id of the case that it opens
    Column("upload_id", ID, nullable=False, index=True),
    Column("statement", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("result", String(12)),  # upheld, overturned; none while open
)

papers = Table(
    "review_papers",
    metadata,
    Column("paper_id", SERIAL, primary_key=True, autoincrement=True),
    Column("case_id", CASE_ID, ForeignKey("review_cases.case_id"), nullable=False, index=True),
    Column("actor", ID, nullable=False),
    Column("note", Text, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
)

audit = Table(
    "review_audit",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("actor", ID, nullable=False),
    Column("action", String(60), nullable=False),
    Column("subject", EVENT_ID, nullable=False),
    Column("detail", Text, nullable=False),  # canonical JSON
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
)

workers = Table(
    "review_workers",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("holder", String(100), nullable=False),
    Column("until", UtcDateTime, nullable=False),
)
