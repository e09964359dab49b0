"""Alembic's entry: the migrations run in the transaction that `index.database` holds open."""

from __future__ import annotations

from alembic import context

from index.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="catalog_version",
    # SQLite can't alter most things about a table; Alembic then copies it.
    render_as_batch=True,
)
context.run_migrations()
