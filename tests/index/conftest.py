"""Catalogs on every database that is supported, and prints that need no network to make.

PostgreSQL comes from SOUNDALIKE_TEST_POSTGRES_URL (a server that lets databases be made and dropped), or
from Debian's binaries: then the tests start their own server on a free loopback port, in a temporary folder.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import create_engine, text

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.database import parse_url
from index.tracks import Track

POSTGRES_START_S = 30.0
MODEL = "a" * 64
DIMENSION = 32


@dataclass(frozen=True)
class TinyPrint:
    """As `classifiers.fingerprint.ReferencePrint`, without what makes one."""

    duration_s: float
    vectors: NDArray[np.int8]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"duration_s": np.array([self.duration_s]), "vectors": self.vectors}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        return cls(float(arrays["duration_s"][0]), arrays["vectors"])


@pytest.fixture
def tiny_print() -> Callable[[int], TinyPrint]:
    """A print that is unlike those of other seeds."""

    def make(seed: int) -> TinyPrint:
        vectors = np.random.default_rng(seed).integers(-127, 128, size=(4, 8)).astype(np.int8)
        return TinyPrint(duration_s=3.0 + seed, vectors=vectors)

    return make


@pytest.fixture
def heard() -> Callable[..., ReferencePrint]:
    """A whole print of random music: nothing in it is near a print of another seed."""

    def make(seed: int, *, windows: int = 24) -> ReferencePrint:
        random = np.random.default_rng(seed)
        vectors = random.standard_normal((windows, DIMENSION))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return ReferencePrint(
            duration_s=windows / 2 + seed / 1000,
            vectors=np.round(vectors * 127).astype(np.int8),
            starts_s=np.arange(windows, dtype=np.float32) / 2,
            contour=random.integers(0, 256, (5 * windows, 19), dtype=np.uint8),
        )

    return make


@pytest.fixture
def make_track() -> Callable[..., Track]:
    def make(track_id: str, *, audio: str | None = None, **more: Any) -> Track:
        sha256 = hashlib.sha256((audio or track_id).encode()).hexdigest()
        return Track(
            **{
                "track_id": track_id,
                "title": f"Title of {track_id}",
                "audio_sha256": sha256,
                "duration_s": 3.0,
            }
            | more
        )

    return make


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server on which databases may be made."""
    if given := os.environ.get("SOUNDALIKE_TEST_POSTGRES_URL"):
        yield given
        return
    binaries = postgres_binaries()
    if binaries is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no PostgreSQL: install Debian's package postgresql, or set SOUNDALIKE_TEST_POSTGRES_URL")
    # Not pytest's own temporary folder: PostgreSQL refuses to run as root, and others may not look into that.
    folder = Path(tempfile.mkdtemp(prefix="soundalike-postgres-"))
    try:
        yield from _own_server(binaries, folder)
    finally:
        shutil.rmtree(folder)


def _own_server(binaries: Path, folder: Path) -> Iterator[str]:
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, user=user)
    data = folder / "data"
    options: dict[str, Any] = {
        "user": user,
        "cwd": folder,
        "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    }
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True, capture_output=True, timeout=120, **options,
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    with (folder / "log").open("wb") as log:
        # fsync off: these databases need not survive a power cut.
        server = subprocess.Popen([*command, "-c", "fsync=off"], stdout=log, stderr=log, **options)
    url = f"postgresql://tester@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url, server, log=folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + POSTGRES_START_S
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the tests' PostgreSQL did not start:\n{log.read_text()}")
        try:
            _administer(url, "SELECT 1")
        except Exception:  # noqa: BLE001 -- not up yet; the deadline above ends this
            time.sleep(0.1)
        else:
            return


def _administer(url: str, statement: str) -> None:
    engine = create_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """None for the default, SQLite in the data folder; or an empty PostgreSQL database of the test's own."""
    if request.param == "sqlite":
        yield None
        return
    server = request.getfixturevalue("postgres_server")
    name = f"test_{uuid.uuid4().hex}"
    _administer(server, f"CREATE DATABASE {name}")
    try:
        yield parse_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def open_catalog(tmp_path: Path, database_url: str | None) -> Iterator[Callable[..., Catalog]]:
    """Opens the test's catalog, as often as asked; all are closed at the end."""
    with ExitStack() as opened:

        def open_it(**options: Any) -> Catalog:
            options = {"create": True, "url": database_url, "lock_wait_s": 5.0} | options
            return opened.enter_context(Catalog.open(tmp_path / "data", **options))

        yield open_it


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog]) -> Catalog:
    return open_catalog()
