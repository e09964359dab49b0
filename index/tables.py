"""The catalog's tables, the same on SQLite and PostgreSQL.

History is never overwritten: a removed track keeps its row, a changed share or term is a new version,
and `changes` names what each generation changed. The only cells that are ever updated are the ends of
lives (`removed_*`), the generation counter, and the checksum of a reference print that was made anew
(a print is derived from audio; it is not history).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeDecorator

from index.terms import NAME_CHARACTERS

SHA256_CHARACTERS = 64


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


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal kept as text: SQLite's numbers are binary floats, in which 0.1 three times is not 0.3."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

catalog_state = Table(
    "catalog_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
"""One row. Its update is the first statement of every change and so the writers' lock."""

changes = Table(
    "changes",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(40), nullable=False),
    Column("subject", String(NAME_CHARACTERS), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)
"""What each generation changed, in order: generation 0 is the empty catalog."""

prints = Table(
    "prints",
    metadata,
    Column("audio_sha256", String(SHA256_CHARACTERS), primary_key=True),
    Column("model_sha256", String(SHA256_CHARACTERS), primary_key=True),
    Column("checksum", String(SHA256_CHARACTERS), nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("recorded_generation", Integer, nullable=False, server_default="0"),
    Index("ix_prints_recorded_generation", "recorded_generation"),
)
"""One reference print per audio and model, so that a new model can be filled in while the old one serves."""

tracks = Table(
    "tracks",
    metadata,
    Column("row_id", Integer, primary_key=True),
    Column("track_id", String(NAME_CHARACTERS), nullable=False),
    Column("isrc", String(12)),
    Column("iswc", String(11)),
    Column("title", String, nullable=False),
    Column("artists", JSON, nullable=False),
    Column("duration_s", Float, nullable=False),
    Column("release_date", Date),
    Column("audio_sha256", String(SHA256_CHARACTERS), nullable=False),
    Column("model_sha256", String(SHA256_CHARACTERS), nullable=False),
    Column("added_at", UtcDateTime, nullable=False),
    Column("added_generation", Integer, nullable=False),
    Column("removed_at", UtcDateTime),
    Column("removed_generation", Integer),
    ForeignKeyConstraint(["audio_sha256", "model_sha256"], ["prints.audio_sha256", "prints.model_sha256"]),
    Index("uq_tracks_live_track_id", "track_id", unique=True, sqlite_where=text("removed_at IS NULL"),
          postgresql_where=text("removed_at IS NULL")),
    Index("ix_tracks_track_id", "track_id"),
    Index("ix_tracks_audio_sha256", "audio_sha256"),
    Index("ix_tracks_added_generation", "added_generation"),
    Index("ix_tracks_removed_generation", "removed_generation"),
)  # fmt: skip
"""One row per life of a track id: removed and added again, or replaced, is another row."""

rightsholders = Table(
    "rightsholders",
    metadata,
    Column("rightsholder_id", Integer, primary_key=True),
    Column("name", String(NAME_CHARACTERS), nullable=False, unique=True),
    Column("recorded_at", UtcDateTime, nullable=False),
)

rights = Table(
    "rights",
    metadata,
    Column("row_id", ForeignKey("tracks.row_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rightsholder_id", ForeignKey("rightsholders.rightsholder_id"), primary_key=True),
    Column("role", String(20), primary_key=True),
    Column("share", ExactDecimal, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Index("ix_rights_rightsholder_id", "rightsholder_id"),
)
"""Who holds which share of a track. The highest version counts; the shares of one version sum to 1."""

terms = Table(
    "terms",
    metadata,
    Column("term_id", String(NAME_CHARACTERS), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("rightsholder_id", ForeignKey("rightsholders.rightsholder_id"), nullable=False),
    Column("track_id", String(NAME_CHARACTERS)),
    Column("use", String(20), nullable=False),
    Column("decision", String(5), nullable=False),
    Column("valid_from", UtcDateTime, nullable=False),
    Column("valid_until", UtcDateTime),
    Column("territories", JSON, nullable=False),
    Column("licensee", String(NAME_CHARACTERS)),
    Column("reference", String, nullable=False),
    Column("revenue_share", ExactDecimal),
    Column("share_terms", String, nullable=False, server_default=""),
    Column("recorded_at", UtcDateTime, nullable=False),
    CheckConstraint("decision IN ('allow', 'deny')", name="decision"),
    Index("ix_terms_look_up", "rightsholder_id", "use", "track_id"),
    Index("ix_terms_track_id", "track_id"),
)
"""What a rightsholder agreed to. Without `track_id`: all its works; without `licensee`: anybody.

`track_id` is no foreign key: terms may be agreed before the track is delivered, and they outlive it.
"""

accounts = Table(
    "accounts",
    metadata,
    Column("account_row", Integer, primary_key=True),
    Column("account", String(NAME_CHARACTERS), nullable=False),
    Column("rightsholder_id", ForeignKey("rightsholders.rightsholder_id"), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
    Index("uq_accounts_live", "account", "rightsholder_id", unique=True,
          sqlite_where=text("removed_at IS NULL"), postgresql_where=text("removed_at IS NULL")),
)  # fmt: skip
"""Which uploader account speaks for which rightsholder."""

suppressions = Table(
    "suppressions",
    metadata,
    Column("suppression_id", String(NAME_CHARACTERS), primary_key=True),
    Column("track_id", String(NAME_CHARACTERS), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("start_s", Float),
    Column("end_s", Float),
    Column("reason", String, nullable=False),
    Column("recorded_by", String(NAME_CHARACTERS), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("recorded_generation", Integer, nullable=False),
    Column("ended_reason", String),
    Column("ended_by", String(NAME_CHARACTERS)),
    Column("ended_at", UtcDateTime),
    Column("ended_generation", Integer),
    CheckConstraint("kind IN ('suppressed', 'quarantined')", name="kind"),
    Index("ix_suppressions_track_id", "track_id"),
)
"""References, or spans of them, that accuse nobody for a while; without a span, the whole reference."""

sightings = Table(
    "sightings",
    metadata,
    Column("track_id", String(NAME_CHARACTERS), primary_key=True),
    Column("upload_id", String(NAME_CHARACTERS), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("audio_sha256", String(SHA256_CHARACTERS), nullable=False),
    Column("accuses", Boolean, nullable=False),
    Index("ix_sightings_look_up", "track_id", "seen_at"),
    Index("ix_sightings_seen_at", "seen_at"),
)
"""Which upload was matched with which reference, lately. A count to watch, no history: old rows go.

accuses: it was flagged for that match; else the match was set aside, because the reference is suppressed.
"""

applied_revisions = Table(
    "applied_revisions",
    metadata,
    Column("track_id", String(NAME_CHARACTERS), primary_key=True),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", String(1000), nullable=False),
    Column("change", String(20), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
)
"""Which events of the `catalog` topic were applied; written in the transaction that applies them."""

judgements = Table(
    "judgements",
    metadata,
    Column("event_id", String(NAME_CHARACTERS), primary_key=True),
    Column("upload_id", String(NAME_CHARACTERS), nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    Column("verdict", String(20), nullable=False),
    Column("generation", Integer, nullable=False),
    Index("ix_judgements_upload_id", "upload_id", "judged_at"),
)
"""The verdicts on uploads that were licensed at least once, from their first licence on."""

attributions = Table(
    "attributions",
    metadata,
    Column("event_id", String(NAME_CHARACTERS), primary_key=True),
    Column("verdict_id", String(NAME_CHARACTERS), nullable=False),
    Column("upload_id", String(NAME_CHARACTERS), nullable=False),
    Column("judged_at", UtcDateTime, nullable=False),
    Column("document", JSON, nullable=False),
    Index("ix_attributions_verdict_id", "verdict_id"),
    Index("ix_attributions_judged_at", "judged_at"),
)
"""The ledger: what each licensed verdict credits, as it was told on the topic `attributions`."""

attribution_terms = Table(
    "attribution_terms",
    metadata,
    Column("event_id", ForeignKey("attributions.event_id"), primary_key=True),
    Column("track_id", String(NAME_CHARACTERS), primary_key=True),
    Column("rightsholder", String(NAME_CHARACTERS), primary_key=True),
    Column("term_id", String(NAME_CHARACTERS), primary_key=True),
    Column("version", Integer, nullable=False),
    Index("ix_attribution_terms_term_id", "term_id"),
)
"""Which terms each attribution rests on, so that those that a change touches are found by look-up."""
