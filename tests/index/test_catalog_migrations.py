"""The migrations make exactly the tables that the code speaks to, and other releases' tables are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from index import database
from index.catalog import Catalog
from index.tables import metadata
from soundalike.errors import CatalogError


def test_the_migrations_make_the_tables_of_the_code(catalog: Catalog) -> None:
    with catalog._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "catalog_version"})
        assert compare_metadata(context, metadata) == []


def test_the_code_knows_every_migration() -> None:
    scripts = ScriptDirectory.from_config(database._alembic_config())
    assert scripts.get_heads() == [database.HEAD_REVISION]
    known = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(known)) == database.KNOWN_REVISIONS


def test_opening_again_keeps_everything(open_catalog: Callable[..., Catalog]) -> None:
    first = open_catalog()
    first.link_account("firn", rightsholder="Firn")
    assert open_catalog(create=True).generation() == 1


@pytest.mark.parametrize("create", [False, True])
def test_a_newer_release_is_refused(open_catalog: Callable[..., Catalog], create: bool) -> None:
    _set_revision(open_catalog(), "9999")
    with pytest.raises(CatalogError, match=r"made by a newer Soundalike \(tables 9999\)"):
        open_catalog(create=create)


def test_an_older_release_is_told_to_upgrade(
    open_catalog: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_catalog()
    monkeypatch.setattr(database, "HEAD_REVISION", "next")
    with pytest.raises(CatalogError, match="run `soundalike catalog upgrade`"):
        open_catalog(create=False)


def test_an_empty_database_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").touch()
    with pytest.raises(CatalogError, match="there is no catalog at"):
        Catalog.open(tmp_path)


def test_a_failed_migration_leaves_nothing_behind(
    open_catalog: Callable[..., Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the migrations are one transaction, the making of tables included."""

    def fail(*_: object) -> None:
        raise RuntimeError("the power failed")

    with monkeypatch.context() as broken:
        broken.setattr("alembic.operations.Operations.execute", fail)  # the last step of the first migration
        with pytest.raises(RuntimeError, match="the power failed"):
            open_catalog()
    assert open_catalog(create=True).generation() == 0


def _set_revision(catalog: Catalog, revision: str) -> None:
    with catalog._database.write(kind="test", subject="revision") as writing:
        writing.connection.execute(text("UPDATE catalog_version SET version_num = :to"), {"to": revision})


def test_a_catalog_of_the_first_release_is_brought_up_to_date(
    tmp_path: Path, database_url: str | None, open_catalog: Callable[..., Catalog]
) -> None:
    url = (
        database.sqlite_url(tmp_path / "data" / "catalog.sqlite")
        if database_url is None
        else database.parse_url(database_url)
    )
    (tmp_path / "data").mkdir()
    first = database.Database(url)
    with first._writer().begin() as connection:
        config = database._alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(
            text("INSERT INTO prints VALUES ('audio', 'model', 'sum', 80, '2026-11-22 10:00:00+00:00')")
        )
    first.close()
    with pytest.raises(CatalogError, match="run `soundalike catalog upgrade`"):
        open_catalog(create=False)
    upgraded = open_catalog(create=True)
    with upgraded._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "catalog_version"})
        assert compare_metadata(context, metadata) == []
        (row,) = connection.execute(text("SELECT checksum, recorded_generation FROM prints"))
    assert tuple(row) == ("sum", 0)
