"""The migrations make exactly the tables that the code uses, twice without harm, beside a catalog's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from review.database import VERSION_TABLE, Database, parse_url, sqlite_url
from review.tables import metadata
from soundalike.errors import ReviewError


def test_migrations_make_what_the_code_declares(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "desk.sqlite"))
    database.upgrade()
    database.upgrade()

    def ours(_object: Any, name: str | None, kind: str, *_rest: Any) -> bool:
        return kind != "table" or (name or "").startswith("review_")

    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "include_object": ours}
        )
        assert compare_metadata(context, metadata) == []
    database.close()


def test_tables_of_a_newer_release_are_left_alone(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "desk.sqlite"))
    database.upgrade()
    with database.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'review_9999'"))
    with pytest.raises(ReviewError, match="newer than this Soundalike"):
        database.upgrade()
    database.close()


@pytest.mark.parametrize("url", ["nonsense", "mysql://u@h/d", "sqlite://"])
def test_unusable_databases_are_refused(url: str) -> None:
    with pytest.raises(ReviewError):
        parse_url(url)
