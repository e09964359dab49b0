"""The first tables, and the triggers that make the audit log append-only in the database itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "review_0001"
down_revision = None
branch_labels = ("review",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "review_appeals",
        sa.Column("appeal_id", sa.String(length=40), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.String(length=12), nullable=True),
        sa.PrimaryKeyConstraint("appeal_id", name=op.f("pk_review_appeals")),
    )
    op.create_index(op.f("ix_review_appeals_upload_id"), "review_appeals", ["upload_id"], unique=False)
    op.create_table(
        "review_artists",
        sa.Column("artist_key", sa.String(length=200), nullable=False),
        sa.Column("monthly_listeners", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("artist_key", name=op.f("pk_review_artists")),
    )
    op.create_table(
        "review_audit",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("subject", sa.String(length=1000), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_review_audit")),
        sa.UniqueConstraint("hash", name=op.f("uq_review_audit_hash")),
    )
    op.create_table(
        "review_flags",
        sa.Column("event_id", sa.String(length=1000), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_review_flags")),
    )
    op.create_index(op.f("ix_review_flags_upload_id"), "review_flags", ["upload_id"], unique=False)
    op.create_table(
        "review_media",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("playable_name", sa.String(length=100), nullable=False),
        sa.Column("playable_type", sa.String(length=60), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=True),
        sa.Column("loudness_lufs", sa.Float(), nullable=True),
        sa.Column("picture_detail", sa.Text(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_review_media")),
    )
    op.create_table(
        "review_rejects",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("stream", sa.String(length=40), nullable=False),
        sa.Column("body_base64", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_review_rejects")),
    )
    op.create_table(
        "review_tokens",
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_review_tokens")),
    )
    op.create_table(
        "review_uploads",
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("uploader", sa.String(length=200), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("artist", sa.Text(), nullable=True),
        sa.Column("artist_key", sa.String(length=200), nullable=True),
        sa.Column("isrc", sa.String(length=50), nullable=True),
        sa.Column("disclosure", sa.Text(), nullable=False),
        sa.Column("licences", sa.Text(), nullable=False),
        sa.Column("territory", sa.String(length=2), nullable=True),
        sa.Column("plays", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_review_uploads")),
    )
    op.create_index(op.f("ix_review_uploads_artist_key"), "review_uploads", ["artist_key"], unique=False)
    op.create_index(op.f("ix_review_uploads_uploader"), "review_uploads", ["uploader"], unique=False)
    op.create_table(
        "review_users",
        sa.Column("user_id", sa.String(length=200), nullable=False),
        sa.Column("display_name", sa.String(length=200), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("rightsholder", sa.String(length=200), nullable=True),
        sa.Column("password_hash", sa.String(length=300), nullable=True),
        sa.Column("oidc_subject", sa.String(length=500), nullable=True),
        sa.Column("session_epoch", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_review_users")),
        sa.UniqueConstraint("oidc_subject", name=op.f("uq_review_users_oidc_subject")),
    )
    op.create_table(
        "review_workers",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_review_workers")),
    )
    op.create_table(
        "review_cases",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("event_id", sa.String(length=1000), nullable=False),
        sa.Column("rule", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("artist", sa.Text(), nullable=False),
        sa.Column("uploader", sa.String(length=200), nullable=True),
        sa.Column("coverage", sa.Float(), nullable=True),
        sa.Column("false_positive_rate", sa.Float(), nullable=True),
        sa.Column("ai_probability", sa.Float(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.Column("harm", sa.Float(), nullable=False),
        sa.Column("rank", sa.Float(), nullable=False),
        sa.Column("needs_second", sa.Boolean(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("superseded_by", sa.String(length=40), nullable=True),
        sa.Column("assigned_to", sa.String(length=200), nullable=True),
        sa.Column("golden_of", sa.String(length=40), nullable=True),
        sa.Column("lease_token", sa.String(length=64), nullable=True),
        sa.Column("lease_user", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["review_flags.event_id"], name=op.f("fk_review_cases_event_id")
        ),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_review_cases")),
    )
    op.create_index("ix_review_cases_lease_user", "review_cases", ["lease_user"], unique=False)
    op.create_index("ix_review_cases_queue", "review_cases", ["state", "rank"], unique=False)
    op.create_index(op.f("ix_review_cases_rule"), "review_cases", ["rule"], unique=False)
    op.create_index(op.f("ix_review_cases_upload_id"), "review_cases", ["upload_id"], unique=False)
    op.create_index(op.f("ix_review_cases_uploader"), "review_cases", ["uploader"], unique=False)
    op.create_table(
        "review_case_audio",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("uri", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_cases.case_id"], name=op.f("fk_review_case_audio_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", "track_id", name=op.f("pk_review_case_audio")),
    )
    op.create_index(
        "ix_review_case_audio_pending", "review_case_audio", ["state", "next_attempt_at"], unique=False
    )
    op.create_table(
        "review_case_rightsholders",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("rightsholder", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_cases.case_id"], name=op.f("fk_review_case_rightsholders_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", "rightsholder", name=op.f("pk_review_case_rightsholders")),
    )
    op.create_index(
        op.f("ix_review_case_rightsholders_rightsholder"),
        "review_case_rightsholders",
        ["rightsholder"],
        unique=False,
    )
    op.create_table(
        "review_case_tracks",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_cases.case_id"], name=op.f("fk_review_case_tracks_case_id")
        ),
        sa.PrimaryKeyConstraint("case_id", "track_id", name=op.f("pk_review_case_tracks")),
    )
    op.create_index(op.f("ix_review_case_tracks_track_id"), "review_case_tracks", ["track_id"], unique=False)
    op.create_table(
        "review_golden",
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["case_id"], ["review_cases.case_id"], name=op.f("fk_review_golden_case_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_review_golden")),
    )
    op.create_table(
        "review_opinions",
        sa.Column(
            "opinion_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("reviewer", sa.String(length=200), nullable=False),
        sa.Column("round", sa.String(length=10), nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("state_before", sa.String(length=12), nullable=False),
        sa.Column("state_after", sa.String(length=12), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_cases.case_id"], name=op.f("fk_review_opinions_case_id")
        ),
        sa.PrimaryKeyConstraint("opinion_id", name=op.f("pk_review_opinions")),
    )
    op.create_index(op.f("ix_review_opinions_case_id"), "review_opinions", ["case_id"], unique=False)
    op.create_index(op.f("ix_review_opinions_created_at"), "review_opinions", ["created_at"], unique=False)
    op.create_index(op.f("ix_review_opinions_reviewer"), "review_opinions", ["reviewer"], unique=False)
    op.create_index(op.f("ix_review_opinions_upload_id"), "review_opinions", ["upload_id"], unique=False)
    op.create_table(
        "review_outbox",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("event_id", sa.String(length=1000), nullable=False),
        sa.Column("opinion_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["opinion_id"], ["review_opinions.opinion_id"], name=op.f("fk_review_outbox_opinion_id")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_review_outbox")),
        sa.UniqueConstraint("event_id", name=op.f("uq_review_outbox_event_id")),
    )
    op.create_index(op.f("ix_review_outbox_opinion_id"), "review_outbox", ["opinion_id"], unique=False)
    op.create_index(
        "ix_review_outbox_waiting", "review_outbox", ["sent_at", "cancelled_at", "not_before"], unique=False
    )
    op.create_table(
        "review_outcomes",
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("opinion_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("decision", sa.String(length=12), nullable=False),
        sa.Column("reason_code", sa.String(length=40), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["case_id"], ["review_cases.case_id"], name=op.f("fk_review_outcomes_case_id")
        ),
        sa.ForeignKeyConstraint(
            ["opinion_id"], ["review_opinions.opinion_id"], name=op.f("fk_review_outcomes_opinion_id")
        ),
        sa.PrimaryKeyConstraint("upload_id", "revision", name=op.f("pk_review_outcomes")),
    )
    op.create_index(op.f("ix_review_outcomes_case_id"), "review_outcomes", ["case_id"], unique=False)
    op.create_index(op.f("ix_review_outcomes_opinion_id"), "review_outcomes", ["opinion_id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_on_postgresql()
    else:
        _refuse_changes_on_sqlite()


def _refuse_changes_on_sqlite() -> None:
    for act in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER review_audit_no_{act.lower()} BEFORE {act} ON review_audit"
            " BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _refuse_changes_on_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION review_audit_append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER review_audit_no_change BEFORE UPDATE OR DELETE ON review_audit"
        " FOR EACH ROW EXECUTE FUNCTION review_audit_append_only()"
    )
    op.execute(
        "CREATE TRIGGER review_audit_no_truncate BEFORE TRUNCATE ON review_audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION review_audit_append_only()"
    )
