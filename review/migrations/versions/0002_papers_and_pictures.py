"""What uploaders send in when documents were asked for, and which pictures of signs a recording has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "review_0002"
down_revision = "review_0001"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "review_papers",
        sa.Column("paper_id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("case_id", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["review_cases.case_id"], name=op.f("fk_review_papers_case_id")),
        sa.PrimaryKeyConstraint("paper_id", name=op.f("pk_review_papers")),
    )
    op.create_index(op.f("ix_review_papers_case_id"), "review_papers", ["case_id"], unique=False)
    with op.batch_alter_table("review_media") as media:
        media.add_column(sa.Column("signs", sa.Text(), nullable=True))
    op.create_index(op.f("ix_review_case_audio_sha256"), "review_case_audio", ["sha256"], unique=False)
    op.create_index(op.f("ix_review_case_audio_track_id"), "review_case_audio", ["track_id"], unique=False)
