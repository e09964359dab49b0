"""Catalogs on every database that is supported, and prints that need no network to make.

PostgreSQL is the one of `tests/conftest.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.tracks import Track

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


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None for the default, SQLite in the data folder; or an empty PostgreSQL database of the test's own."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("empty_postgres"))


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
