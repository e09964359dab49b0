"""Which generation recorded a print, and quick ways to what changed since a generation."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Prints of before are as old as the catalog: their tracks' own generations tell when they came.
    op.add_column(
        "prints", sa.Column("recorded_generation", sa.Integer(), server_default="0", nullable=False)
    )
    op.create_index("ix_prints_recorded_generation", "prints", ["recorded_generation"], unique=False)
    op.create_index("ix_tracks_added_generation", "tracks", ["added_generation"], unique=False)
    op.create_index("ix_tracks_removed_generation", "tracks", ["removed_generation"], unique=False)
