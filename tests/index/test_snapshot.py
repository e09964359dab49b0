"""Copies of the catalog: what boots from one is the catalog, and what is damaged is refused by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from index import manifest as manifests
from index.catalog import Catalog
from index.library import Library
from index.merge import Merger
from index.serving import ServingCatalog
from index.snapshot import KEPT_SNAPSHOTS, pull, push
from index.tending import Tending
from soundalike.errors import CatalogDamaged, CatalogError

MODEL = "a" * 64


@pytest.fixture
def place(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.fixture
def worker(
    tmp_path: Path, place: str, database_url: str | None
) -> Iterator[Callable[[], ServingCatalog[Any]]]:
    """Boots a worker with a data folder of its own; with PostgreSQL it shares the tables."""
    opened: list[Any] = []

    def boot() -> ServingCatalog[Library]:
        folder = tmp_path / f"worker-{len(opened)}"
        pull(folder, source=place, model_sha256=MODEL, with_tables=database_url is None)
        catalog = Catalog.open(folder, url=database_url, snapshot=place)
        opened.append(catalog)
        serving = ServingCatalog(catalog, build=lambda library: library, model_sha256=MODEL)
        serving.refresh()
        return serving

    yield boot
    for catalog in opened:
        catalog.close()


def ids(serving: ServingCatalog[Library]) -> set[str]:
    library = serving.current().value
    in_shards = {
        part.shard.track_id(at)
        for part in library.parts
        for at in range(len(part.shard))
        if at not in part.dead
    }
    return in_shards | {library._head.track_id(at) for at in range(library.head_tracks)}


def test_a_fresh_worker_boots_and_shows_the_same_catalog(
    catalog: Catalog, worker: Any, place: str, make_track: Any, heard: Any
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    for number, name in enumerate("abc"):
        catalog.add(make_track(name), heard(number), model_sha256=MODEL)
    merger.flush(at_least=1)
    catalog.add(make_track("d"), heard(3), model_sha256=MODEL)
    catalog.remove("a")
    pushed = push(catalog, model_sha256=MODEL, to=place)
    assert pushed is not None
    assert (pushed.generation, [entry.track_id for entry in pushed.prints]) == (5, ["d"])
    assert push(catalog, model_sha256=MODEL, to=place) is None
    serving = worker()
    assert (ids(serving), serving.current().generation) == ({"b", "c", "d"}, 5)
    assert serving.current().value.head_tracks == 1
    assert serving.current().tracks["d"].title == "Title of d"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_worker_elsewhere_replays_the_changelog_after_its_snapshot(
    catalog: Catalog, worker: Any, place: str, make_track: Any, heard: Any
) -> None:
    """It shares the tables with the writer and no folder: the prints come through the snapshot's place."""
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    push(catalog, model_sha256=MODEL, to=place)
    serving = worker()
    catalog.add(make_track("b"), heard(2), model_sha256=MODEL)
    catalog.remove("a")
    with pytest.raises(CatalogError, match="failed at prints/"):  # not copied yet: what it has serves on
        serving.refresh()
    assert ids(serving) == {"a"}
    push(catalog, model_sha256=MODEL, to=place)
    assert serving.refresh()
    assert ids(serving) == {"b"}


def test_a_running_worker_takes_the_shards_of_a_newer_snapshot(
    catalog: Catalog, tmp_path: Path, worker: Any, place: str, make_track: Any, heard: Any
) -> None:
    for number, name in enumerate("ab"):
        catalog.add(make_track(name), heard(number), model_sha256=MODEL)
    push(catalog, model_sha256=MODEL, to=place)
    serving = worker()
    assert serving.current().value.head_tracks == 2
    Merger(catalog, model_sha256=MODEL).flush(at_least=1)
    push(catalog, model_sha256=MODEL, to=place)
    pull(tmp_path / "worker-0", source=place, model_sha256=MODEL, with_tables=False)
    assert serving.refresh()
    assert (ids(serving), serving.current().value.head_tracks) == ({"a", "b"}, 0)
    before = manifests.numbers(serving._folder)
    pull(tmp_path / "worker-0", source=place, model_sha256=MODEL, with_tables=False)
    assert len(manifests.numbers(serving._folder)) == len(before), "the same snapshot is taken once"


@pytest.mark.parametrize("file", ["shards/*/contours.npy", "prints/*", "snapshot-*", "catalog-*"])
def test_a_damaged_snapshot_is_refused_by_name_and_the_one_before_it_boots(
    catalog: Catalog,
    tmp_path: Path,
    worker: Any,
    place: str,
    make_track: Any,
    heard: Any,
    file: str,
    database_url: str | None,
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    push(catalog, model_sha256=MODEL, to=place)
    if file == "catalog-*" and database_url is not None:
        assert not list((tmp_path / "store").glob(file)), (
            "PostgreSQL keeps its own tables, and its own copies"
        )
        return
    first = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    merger.flush(at_least=1)
    catalog.add(make_track("b"), heard(2), model_sha256=MODEL)
    push(catalog, model_sha256=MODEL, to=place)
    for path in sorted((tmp_path / "store").glob(file)):
        if path.is_file() and path not in first:
            path.write_bytes(path.read_bytes()[:-3] + b"!!!")
            break
    else:
        pytest.fail("there was nothing to damage")
    if file == "prints/*" and database_url is not None:
        # The tables are newer than the snapshot before and name a recording that nobody has whole: rather no
        # worker than one that does not know a licensed recording.
        with pytest.raises(CatalogDamaged, match="prints/"):
            worker()
        return
    serving = worker()
    assert ids(serving) >= {"a"}
    if database_url is None:
        assert serving.current().generation == 1
    for path in (tmp_path / "store").glob("snapshot-*"):
        path.write_bytes(b"{}")
    with pytest.raises(CatalogDamaged, match="snapshot-"):
        worker()


def test_old_snapshots_and_what_only_they_name_are_deleted(
    catalog: Catalog, tmp_path: Path, place: str, make_track: Any, heard: Any
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    for number in range(5):
        catalog.add(make_track(f"t{number}"), heard(number), model_sha256=MODEL)
        merger.flush(at_least=1)
        merger.compact(everything=True)
        merger.sweep()
        push(catalog, model_sha256=MODEL, to=place)
    store = tmp_path / "store"
    assert len(list(store.glob("snapshot-*"))) == KEPT_SNAPSHOTS
    assert len(list((store / "shards").iterdir())) == KEPT_SNAPSHOTS
    assert not list(store.rglob("*.part"))


def test_a_place_without_a_snapshot_says_so(tmp_path: Path, place: str) -> None:
    with pytest.raises(CatalogError, match="holds no snapshot for the model aaaaaaaaaaaa"):
        pull(tmp_path / "worker", source=place, model_sha256=MODEL, with_tables=True)
    with pytest.raises(CatalogError, match="nowhere://"):
        pull(tmp_path / "worker", source="nowhere://x", model_sha256=MODEL, with_tables=True)


def test_tables_never_take_the_place_of_others(
    catalog: Catalog, tmp_path: Path, place: str, make_track: Any, heard: Any, database_url: str | None
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    push(catalog, model_sha256=MODEL, to=place)
    expected = "there is a catalog at" if database_url is None else "holds no tables"
    with pytest.raises(CatalogError, match=expected):
        pull(tmp_path / "data", source=place, model_sha256=MODEL, with_tables=True)


def test_the_background_flushes_merges_and_copies(
    catalog: Catalog, tmp_path: Path, place: str, make_track: Any, heard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.tending.PUSH_EVERY_S", 0.05)
    monkeypatch.setattr("index.merge.Merger.flush", _eager(Merger.flush))
    with Tending(catalog, model_sha256=MODEL, snapshot=place, every_s=0.02):
        for number in range(9):
            catalog.add(make_track(f"t{number}"), heard(number), model_sha256=MODEL)
        deadline = time.monotonic() + 30
        while True:
            newest = Merger(catalog, model_sha256=MODEL).newest()
            copied = sorted((tmp_path / "store").glob("snapshot-*"))
            if (
                newest.generation == 9
                and len(newest.shards) < 4
                and copied
                and "-000000000009-" in copied[-1].name
            ):
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _eager(flush: Any) -> Any:
    return lambda merger: flush(merger, at_least=1)
