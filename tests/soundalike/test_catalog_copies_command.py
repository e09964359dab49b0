"""`soundalike catalog merge`, `snapshot` and `boot`, as their user meets them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.merge import Merger
from index.tracks import Track
from soundalike.commands import catalog as command
from soundalike.commands import catalog_copies
from soundalike.errors import CatalogError

MODEL = "a" * 64


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("SOUNDALIKE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(catalog_copies, "_model", lambda _embedder: MODEL)
    return lambda *arguments: CliRunner().invoke(command.app, [str(argument) for argument in arguments])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A data folder with three tracks, none of them in a shard."""
    random = np.random.default_rng(0)
    with Catalog.open(tmp_path / "data", create=True) as catalog:
        for number in range(3):
            heard = ReferencePrint(
                duration_s=4.0,
                vectors=random.integers(-60, 60, (8, 32)).astype(np.int8),
                starts_s=np.arange(8).astype(np.float32),
                contour=random.integers(0, 256, (40, 19), dtype=np.uint8),
            )
            track = Track(
                track_id=f"t{number}", title=f"Title {number}", audio_sha256=f"{number:064x}", duration_s=4.0
            )
            catalog.add(track, heard, model_sha256=MODEL)
    return tmp_path / "data"


def test_merge_gathers_and_says_what_there_is(run: Any, filled: Path) -> None:
    first = run("merge")
    assert (first.exit_code, first.exception) == (0, None)
    assert "3 tracks in 1 shards" in first.stdout
    assert "generation 3" in first.stdout
    with Catalog.open(filled) as catalog:
        catalog.remove("t1")
        assert "2 tracks in 1 shards" in run("merge").stdout
        assert "2 tracks in 1 shards" in run("merge", "--all").stdout
        newest = Merger(catalog, model_sha256=MODEL).newest()
    assert (newest.generation, dict(newest.removed)) == (4, {})


def test_repair_names_the_damaged_file_and_makes_it_anew(run: Any, filled: Path) -> None:
    run("merge")
    (contours,) = filled.glob("shards/*/*/contours.npy")
    contours.write_bytes(contours.read_bytes()[:-1] + b"?")
    mended = run("merge", "--repair")
    assert mended.exit_code == 0
    assert str(contours) in mended.stderr
    assert "3 tracks in 1 shards" in mended.stdout
    assert run("merge", "--repair").stderr == ""


def test_a_copy_boots_as_the_same_catalog(run: Any, filled: Path, tmp_path: Path) -> None:
    run("merge")
    place = (tmp_path / "copy").as_uri()
    assert "copied generation 3" in run("snapshot", place).stdout
    assert "nothing new" in run("snapshot", place).stdout
    booted = run("boot", place, "--data", tmp_path / "worker")
    assert (booted.exit_code, booted.exception) == (0, None)
    with Catalog.open(filled) as original, Catalog.open(tmp_path / "worker") as copy:
        assert copy.tracks() == original.tracks()
        assert copy.generation() == original.generation()
    assert "3 tracks in 1 shards" in run("merge", "--data", tmp_path / "worker").stdout
    assert "generation 3 is in" in run("boot", place, "--data", tmp_path / "worker").stdout


def test_a_place_that_is_none_is_one_line(run: Any, filled: Path, tmp_path: Path) -> None:
    failed = run("boot", (tmp_path / "nothing").as_uri(), "--data", tmp_path / "worker")
    assert isinstance(failed.exception, CatalogError)
    assert "holds no snapshot" in str(failed.exception)
