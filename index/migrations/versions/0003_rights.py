"""Share terms, suppressed references, applied events, and the ledger of licensed uses."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("terms", sa.Column("revenue_share", sa.String(length=40), nullable=True))
    op.add_column("terms", sa.Column("share_terms", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_terms_track_id", "terms", ["track_id"], unique=False)
    op.create_table(
        "suppressions",
        sa.Column("suppression_id", sa.String(length=200), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("start_s", sa.Float(), nullable=True),
        sa.Column("end_s", sa.Float(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("recorded_by", sa.String(length=200), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_generation", sa.Integer(), nullable=False),
        sa.Column("ended_reason", sa.String(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_generation", sa.Integer(), nullable=True),
        sa.CheckConstraint("kind IN ('suppressed', 'quarantined')", name=op.f("ck_suppressions_kind")),
        sa.PrimaryKeyConstraint("suppression_id", name=op.f("pk_suppressions")),
    )
    op.create_index("ix_suppressions_track_id", "suppressions", ["track_id"], unique=False)
    op.create_table(
        "sightings",
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("audio_sha256", sa.String(length=64), nullable=False),
        sa.Column("accuses", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "upload_id", name=op.f("pk_sightings")),
    )
    op.create_index("ix_sightings_look_up", "sightings", ["track_id", "seen_at"], unique=False)
    op.create_index("ix_sightings_seen_at", "sightings", ["seen_at"], unique=False)
    op.create_table(
        "applied_revisions",
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(length=1000), nullable=False),
        sa.Column("change", sa.String(length=20), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "revision", name=op.f("pk_applied_revisions")),
    )
    op.create_table(
        "judgements",
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", sa.String(length=20), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_judgements")),
    )
    op.create_index("ix_judgements_upload_id", "judgements", ["upload_id", "judged_at"], unique=False)
    op.create_table(
        "attributions",
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("verdict_id", sa.String(length=200), nullable=False),
        sa.Column("upload_id", sa.String(length=200), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_attributions")),
    )
    op.create_index("ix_attributions_verdict_id", "attributions", ["verdict_id"], unique=False)
    op.create_index("ix_attributions_judged_at", "attributions", ["judged_at"], unique=False)
    op.create_table(
        "attribution_terms",
        sa.Column("event_id", sa.String(length=200), nullable=False),
        sa.Column("track_id", sa.String(length=200), nullable=False),
        sa.Column("rightsholder", sa.String(length=200), nullable=False),
        sa.Column("term_id", sa.String(length=200), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["attributions.event_id"], name=op.f("fk_attribution_terms_event_id")
        ),
        sa.PrimaryKeyConstraint(
            "event_id", "track_id", "rightsholder", "term_id", name=op.f("pk_attribution_terms")
        ),
    )
    op.create_index("ix_attribution_terms_term_id", "attribution_terms", ["term_id"], unique=False)
