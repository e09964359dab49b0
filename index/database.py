"""The catalog's database: one writer at a time, readers that never wait, a generation per change.

Promises
- `write` runs in one transaction whose first act takes the writers' lock and raises the generation. Either
  all of it is kept, generation and all, or nothing. A killed writer leaves no lock behind: the
  database releases it with the connection.
- `read` sees one state of the whole catalog from its first statement to its last.
- A lock that can't be had within `lock_wait_s` is `CatalogBusy`; nothing was changed then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from weakref import finalize

from sqlalchemy import Connection, Engine, create_engine, event, inspect, select, text, update
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from index.tables import catalog_state, changes
from soundalike.errors import CatalogBusy, CatalogDamaged, CatalogError, CatalogUnavailable

LOCK_WAIT_S = 10.0
"""How long a writer waits for another. One change takes milliseconds, a batch of 100,000 terms seconds."""

CREATION_LOCK = 0x50A1D
"""Key of PostgreSQL's advisory lock around the migrations: any number that nobody else there uses."""

POSTGRES_LOCK_NOT_AVAILABLE = "55P03"

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Writing:
    """One change in progress."""

    connection: Connection
    generation: int
    at: datetime


class Database:
    """An engine with the transactions described above. Threads may share it; processes may not."""

    def __init__(self, url: URL, *, lock_wait_s: float = LOCK_WAIT_S, clock: Clock = utc_now) -> None:
        self.url = url
        self._lock_wait_s = lock_wait_s
        self._clock = clock
        self._engine = _engine(url, lock_wait_s=lock_wait_s)
        # Who drops a catalog without closing it leaves no connection behind: Python 3.13 warns of those.
        finalize(self, self._engine.dispose).atexit = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with _typed_errors(self.url, self._lock_wait_s), self._reader().begin() as connection:
            yield connection

    def _reader(self) -> Engine:
        if self.url.get_backend_name() == "postgresql":
            return self._engine.execution_options(isolation_level="REPEATABLE READ")
        return self._engine

    @contextmanager
    def write(self, *, kind: str, subject: str) -> Iterator[Writing]:
        """One change, listed in `changes` by `kind` and `subject`. Raises CatalogBusy."""
        with _typed_errors(self.url, self._lock_wait_s), self._writer().begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{round(self._lock_wait_s * 1000)}ms'"))
            generation = connection.execute(
                update(catalog_state)
                .values(generation=catalog_state.c.generation + 1)
                .returning(catalog_state.c.generation)
            ).scalar_one()
            at = self._clock().astimezone(UTC)
            connection.execute(
                changes.insert().values(generation=generation, kind=kind, subject=subject, recorded_at=at)
            )
            yield Writing(connection, generation, at)

    @contextmanager
    def note(self) -> Iterator[Connection]:
        """Keeps records beside the catalog (the ledger, sightings) in one transaction: no new generation."""
        with _typed_errors(self.url, self._lock_wait_s), self._writer().begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{round(self._lock_wait_s * 1000)}ms'"))
            yield connection

    def _writer(self) -> Engine:
        return self._engine.execution_options(catalog_writer=True)

    def generation(self) -> int:
        with self.read() as connection:
            return int(connection.execute(select(catalog_state.c.generation)).scalar_one())

    def now(self) -> datetime:
        return self._clock().astimezone(UTC)

    def upgrade(self) -> None:
        """Creates the tables, or updates those of an older release. Safe against a second process."""
        from alembic import command  # noqa: PLC0415 -- alembic takes 0.2 s that a reader need not pay

        with _typed_errors(self.url, self._lock_wait_s), self._writer().begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text(f"SET LOCAL lock_timeout = '{round(self._lock_wait_s * 1000)}ms'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATION_LOCK})
            config = _alembic_config()
            config.attributes["connection"] = connection
            current = _revision(connection)
            if current is not None:
                _refuse_newer(current, url=self.url)
            command.upgrade(config, "head")

    def require_current(self) -> None:
        """Raises CatalogError if the tables are absent or of another release."""
        with self.read() as connection:
            current = _revision(connection)
        if current is None:
            raise CatalogError(f"there is no catalog at {self}; `soundalike catalog add` makes one")
        _refuse_newer(current, url=self.url)
        if current != HEAD_REVISION:
            raise CatalogError(
                f"the catalog at {self} was made by an older Soundalike (tables {current}, this release"
                f" needs {HEAD_REVISION}); run `soundalike catalog upgrade`"
            )

    def copy_to(self, target: Path) -> bool:
        """Copies a SQLite database while it is in use; False for any other."""
        if self.url.get_backend_name() != "sqlite":
            return False
        with (
            _typed_errors(self.url, self._lock_wait_s),
            closing(sqlite3.connect(str(self.url.database))) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
        return True

    def close(self) -> None:
        self._engine.dispose()

    def __str__(self) -> str:
        return describe(self.url)


HEAD_REVISION = "0003"
KNOWN_REVISIONS = ("0001", "0002", "0003")


def describe(url: URL) -> str:
    """Fit for messages: without the password."""
    return (
        url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)
    )


def parse_url(url: str) -> URL:
    """A database URL; `postgresql://` takes psycopg 3. Raises CatalogError for any other database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        # The text of a bad URL may hold a password: it is not repeated.
        raise CatalogError("the database URL can't be read; write postgresql://USER@HOST/NAME") from error
    if parsed.drivername in {"postgresql", "postgres"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise CatalogError(f"the catalog lives in SQLite or PostgreSQL, not in {parsed.get_backend_name()}")
    if parsed.get_backend_name() == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise CatalogError(
            "a catalog in memory would be lost; name a file: sqlite:////var/lib/soundalike/catalog.sqlite"
        )
    return parsed


def sqlite_url(path: Path) -> URL:
    return URL.create("sqlite", database=str(path))


def _engine(url: URL, *, lock_wait_s: float) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            engine = create_engine(url, connect_args={"timeout": lock_wait_s})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        return create_engine(url, pool_pre_ping=True)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise CatalogError(
            f"the driver for {url.drivername} is not installed; install the extra soundalike[postgres]"
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions by its own rules, amid ours: `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL may lose the last commits when the power fails; an acknowledged change must stay.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writer = connection.get_execution_options().get("catalog_writer", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


@contextmanager
def _typed_errors(url: URL, lock_wait_s: float) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        if _is_lock_timeout(error):
            raise CatalogBusy(
                f"another writer holds the catalog at {describe(url)};"
                f" waited {lock_wait_s:g} s, try again later"
            ) from error
        if isinstance(error, OperationalError):
            cause = " ".join(str(error.orig).split())
            raise CatalogUnavailable(f"the catalog at {describe(url)} can't be used: {cause}") from error
        if isinstance(error.orig, sqlite3.DatabaseError) and error.orig.sqlite_errorcode & 0xFF in (
            sqlite3.SQLITE_CORRUPT,
            sqlite3.SQLITE_NOTADB,
        ):
            raise CatalogDamaged(
                f"{describe(url)} is damaged or no catalog ({error.orig}); restore it from a backup"
            ) from error
        raise


def _is_lock_timeout(error: DBAPIError) -> bool:
    original: Any = error.orig
    if isinstance(original, sqlite3.OperationalError):
        return original.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(original, "sqlstate", None) == POSTGRES_LOCK_NOT_AVAILABLE


def _alembic_config() -> Any:
    from alembic.config import Config  # noqa: PLC0415 -- see `upgrade`

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _revision(connection: Connection) -> str | None:
    """The migration that the tables are at; None for an empty database."""
    if not inspect(connection).has_table("catalog_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM catalog_version")).scalar_one_or_none()
    return None if revision is None else str(revision)


def _refuse_newer(revision: str, *, url: URL) -> None:
    if revision not in KNOWN_REVISIONS:
        raise CatalogError(
            f"the catalog at {describe(url)} was made by a newer Soundalike (tables {revision});"
            " update this one"
        )
