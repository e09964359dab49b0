"""Alembic's entry: the migrations run in the transaction that `review.database` holds open."""

from __future__ import annotations

from alembic import context

from review.database import VERSION_TABLE
from review.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can't alter most things about a table; Alembic then copies it.
    render_as_batch=True,
)
context.run_migrations()
