"""Alembic migrations of the catalog; run by `index.database.Database.upgrade`."""
