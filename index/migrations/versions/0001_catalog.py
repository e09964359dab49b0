"""The first tables: tracks and their prints, rightsholders with shares, terms, accounts, generations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "catalog_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_catalog_state_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_state")),
    )
    op.create_table(
        "changes",
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", name=op.f("pk_changes")),
    )
    op.create_table(
        "prints",
        sa.Column("audio_sha256", sa.String(length=64), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("checksum", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("audio_sha256", "model_sha256", name=op.f("pk_prints")),
    )
    op.create_table(
        "rightsholders",
        sa.Column("rightsholder_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rightsholder_id", name=op.f("pk_rightsholders")),
        sa.UniqueConstraint("name", name=op.f("uq_rightsholders_name")),
    )
    op.create_table(
        "accounts",
        sa.Column("account_row", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("rightsholder_id", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["rightsholder_id"], ["rightsholders.rightsholder_id"], name=op.f("fk_accounts_rightsholder_id")
        ),
        sa.PrimaryKeyConstraint("account_row", name=op.f("pk_accounts")),
    )
    op.create_index(
        "uq_accounts_live",
        "accounts",
        ["account", "rightsholder_id"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "terms",
        sa.Column("term_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rightsholder_id", sa.Integer(), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=True),
        sa.Column("use", sa.String(length=20), nullable=False),
        sa.Column("decision", sa.String(length=5), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("territories", sa.JSON(), nullable=False),
        sa.Column("licensee", sa.String(length=200), nullable=True),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('allow', 'deny')", name=op.f("ck_terms_decision")),
        sa.ForeignKeyConstraint(
            ["rightsholder_id"], ["rightsholders.rightsholder_id"], name=op.f("fk_terms_rightsholder_id")
        ),
        sa.PrimaryKeyConstraint("term_id", "version", name=op.f("pk_terms")),
    )
    op.create_index("ix_terms_look_up", "terms", ["rightsholder_id", "use", "track_id"], unique=False)
    op.create_table(
        "tracks",
        sa.Column("row_id", sa.Integer(), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("isrc", sa.String(length=12), nullable=True),
        sa.Column("iswc", sa.String(length=11), nullable=True),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("artists", sa.JSON(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("release_date", sa.Date(), nullable=True),
        sa.Column("audio_sha256", sa.String(length=64), nullable=False),
        sa.Column("model_sha256", sa.String(length=64), nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("added_generation", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("removed_generation", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["audio_sha256", "model_sha256"],
            ["prints.audio_sha256", "prints.model_sha256"],
            name=op.f("fk_tracks_audio_sha256_model_sha256"),
        ),
        sa.PrimaryKeyConstraint("row_id", name=op.f("pk_tracks")),
    )
    op.create_index("ix_tracks_audio_sha256", "tracks", ["audio_sha256"], unique=False)
    op.create_index("ix_tracks_track_id", "tracks", ["track_id"], unique=False)
    op.create_index(
        "uq_tracks_live_track_id",
        "tracks",
        ["track_id"],
        unique=True,
        sqlite_where=sa.text("removed_at IS NULL"),
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "rights",
        sa.Column("row_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rightsholder_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("share", sa.String(length=40), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["rightsholder_id"], ["rightsholders.rightsholder_id"], name=op.f("fk_rights_rightsholder_id")
        ),
        sa.ForeignKeyConstraint(["row_id"], ["tracks.row_id"], name=op.f("fk_rights_row_id")),
        sa.PrimaryKeyConstraint("row_id", "version", "rightsholder_id", "role", name=op.f("pk_rights")),
    )
    op.create_index("ix_rights_rightsholder_id", "rights", ["rightsholder_id"], unique=False)
    op.execute("INSERT INTO catalog_state (id, generation) VALUES (1, 0)")
