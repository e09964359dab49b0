"""The desk's database: SQLite by default, PostgreSQL by URL, the same tables and rules on both.

`write` is one transaction. On SQLite it takes the one writers' lock at once, so that nothing that was read in
it can have changed when it commits, and the threads of a process take turns for it (`review.turns`); on
PostgreSQL the statements that decide something are compare-and-swap updates, which hold under its default
isolation as well. A transaction must not be opened inside another of the same thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from review.turns import Turns
from soundalike.errors import DeskBusy, ReviewError

LOCK_WAIT_S = 30.0
"""How long a writer waits for its turn, and for other processes; one act writes for milliseconds."""

SQLITE_CONNECTIONS = 48
"""More than the server has threads (40) and workers: waiting for a turn must not use up the pool."""

VERSION_TABLE = "review_alembic_version"
REVISIONS = ("review_0001", "review_0002")
"""Of the tables, oldest first; the last one is what this release needs."""
CREATION_LOCK = 0x50A1E
"""Key of PostgreSQL's advisory lock around the migrations; the catalog's is one less."""


class Database:
    """An engine and its two kinds of transaction. Threads may share it; processes open their own."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._engine = _engine(url)
        self._turns = Turns() if url.get_backend_name() == "sqlite" else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with _typed_errors(self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        engine = self._engine.execution_options(review_writer=True)
        turn = nullcontext() if self._turns is None else self._turns.turn(limit_s=LOCK_WAIT_S)
        with turn, _typed_errors(self.url), engine.begin() as connection:
            yield connection

    def upgrade(self) -> None:
        """Create the tables, or bring those of an older release up to date. Safe against a second process.

        Raises ReviewError if a newer release has made the tables.
        """
        from alembic import command  # noqa: PLC0415 -- alembic takes 0.2 s that `--help` need not pay
        from alembic.config import Config  # noqa: PLC0415

        with self.write() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATION_LOCK})
            current = _revision(connection)
            if current not in {None, *REVISIONS}:
                raise ReviewError(
                    f"the desk's tables at {self} are of release {current}, newer than this Soundalike;"
                    " update it"
                )
            config = Config()
            folder = str(Path(__file__).parent / "migrations")
            config.set_main_option("script_location", folder.replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        self._engine.dispose()

    def __str__(self) -> str:
        if self.url.get_backend_name() == "sqlite":
            return self.url.database or ""
        return self.url.render_as_string(hide_password=True)


def parse_url(url: str) -> URL:
    """A database URL; `postgresql://` takes psycopg 3. Raises ReviewError for what the desk can't use."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The text of a bad URL may hold a password: it is not repeated.
        raise ReviewError("the database URL can't be read; write postgresql://USER@HOST/NAME") from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ReviewError(f"the desk's database is SQLite or PostgreSQL, not {parsed.get_backend_name()}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ReviewError("cases kept in memory would be lost; name a file: sqlite:////srv/review.sqlite")
    return parsed


def sqlite_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        # `check_same_thread`: the pool hands a connection to one thread at a time.
        arguments = {"timeout": LOCK_WAIT_S, "check_same_thread": False}
        engine = create_engine(url, connect_args=arguments, pool_size=SQLITE_CONNECTIONS)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError as error:
        raise ReviewError(
            f"no driver for {url.drivername}: install the extra soundalike[postgres]"
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions begin in `_begin_sqlite`, not by the driver's rules
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL may lose the last commits when the power fails; a decision must stay.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writer = connection.get_execution_options().get("review_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


@contextmanager
def _typed_errors(url: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if isinstance(error, OperationalError):
            cause = " ".join(str(error.orig).split())
            where = url.database if url.get_backend_name() == "sqlite" else url.render_as_string()
            raise DeskBusy(f"the desk's database at {where} can't be used: {cause}") from error
        raise
    except PoolTimeout as error:
        raise DeskBusy("all connections to the desk's database are in use; try again") from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row: Any = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608 -- our own constant
    return None if row is None else str(row)
