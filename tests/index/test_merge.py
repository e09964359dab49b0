"""Whatever was flushed, merged, repaired or swept: what is found is what the tables say."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.fingerprint import ReferencePrint
from index import manifest as manifests
from index.catalog import Catalog
from index.library import Library
from index.manifest import Manifest
from index.merge import FANOUT, HEAD_TRACKS, KEPT_MANIFESTS, MOST_SHARD_TRACKS, Merger, due
from index.serving import ServingCatalog
from index.shards import FileSeal, ShardRef
from soundalike.errors import CatalogDamaged

MODEL = "a" * 64
K = 20
ROUNDING = 0.006
"""Of a cosine, as queries are compared in whole numbers up to 127."""


@pytest.fixture
def database_url() -> None:
    """SQLite: the changelog's queries are tested on both databases in test_serving_catalog."""


@pytest.fixture
def merger(catalog: Catalog) -> Merger:
    return Merger(catalog, model_sha256=MODEL)


@pytest.fixture
def served(catalog: Catalog) -> Iterator[ServingCatalog[Library]]:
    """Refreshed by hand."""
    serving = ServingCatalog(catalog, build=lambda library: library, model_sha256=MODEL)
    serving.refresh()
    yield serving
    serving.close()


def assert_shows(library: Library, truth: dict[str, ReferencePrint], *, seed: int = 0) -> None:
    """A search finds what comparing with every window of `truth` finds, and the rest is as it was."""
    assert library.tracks == len(truth)
    queries = np.random.default_rng(seed).standard_normal((9, 32)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found = library.search(queries, K)
    windows = {
        (track_id, float(start_s)): vector.astype(np.float32) / 127.0
        for track_id, heard in truth.items()
        for start_s, vector in zip(heard.starts_s, heard.vectors, strict=True)
    }
    expected_k = min(K, len(windows))
    for row, query in enumerate(queries):
        cosines = {window: float(vector @ query) for window, vector in windows.items()}
        least = sorted(cosines.values(), reverse=True)[:expected_k][-1] if cosines else 0.0
        answered = [
            ((library.track_id(position), float(start_s)), float(similarity))
            for similarity, position, start_s in zip(
                found.similarity[row], found.track[row].tolist(), found.start_s[row], strict=True
            )
            if position >= 0
        ]
        assert len({window for window, _ in answered}) == len(answered) == expected_k
        for window, similarity in answered:
            assert similarity == pytest.approx(cosines[window], abs=ROUNDING)
            assert cosines[window] > least - 2 * ROUNDING
        for position in {place for place in found.track[row].tolist() if place >= 0}:
            original = truth[library.track_id(position)]
            assert np.array_equal(library.contour(position), original.contour)
            assert library.duration_s(position) == original.duration_s
            cosines = library.cosines(position, queries[:1], original.starts_s[:1].astype(np.float64))
            expected = float(original.vectors[0].astype(np.float32) @ queries[0]) / 127.0
            assert cosines == pytest.approx([expected], abs=ROUNDING)


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_changes_and_merges_shows_the_catalog_of_now(
    catalog: Catalog, merger: Merger, served: Any, make_track: Any, heard: Any, seed: int
) -> None:
    chance = random.Random(seed)
    truth: dict[str, ReferencePrint] = {}
    steps: dict[str, int] = {}
    for step in range(60):
        name = f"t{chance.randrange(14):02d}"
        done = chance.choices(
            ("add", "remove", "replace", "rehear", "flush", "compact", "all", "repair", "sweep"),
            (30, 12, 8, 6, 12, 8, 4, 3, 6),
        )[0]
        new = heard(1000 * seed + step, windows=chance.randrange(1, 30))
        if done == "add" and name not in truth:
            catalog.add(make_track(name, audio=f"{name}{step}"), new, model_sha256=MODEL)
            truth[name] = new
        elif done == "replace" and name in truth:
            catalog.add(make_track(name, audio=f"{name}{step}"), new, model_sha256=MODEL, replace=True)
            truth[name] = new
        elif done == "rehear" and name in truth:
            catalog.add_print(catalog.track(name).audio_sha256, new, model_sha256=MODEL)
            truth[name] = new
        elif done == "remove" and name in truth:
            catalog.remove(name)
            del truth[name]
        elif done == "flush":
            merger.flush(at_least=1)
        elif done == "compact":
            merger.compact()
        elif done == "all":
            merger.compact(everything=True)
        elif done == "repair":
            assert merger.repair() == ()
        elif done == "sweep":
            merger.sweep()
        else:
            continue
        steps[done] = steps.get(done, 0) + 1
        served.refresh()
        assert_shows(served.current().value, truth, seed=step)
    assert len(steps) >= 7, "the sequence tried too little"
    # A reader that comes later, and one that finds no shards at all, see the same.
    assert_shows(fresh(catalog), truth)
    for number in manifests.numbers(merger.folder):
        manifests.path(merger.folder, number).unlink()
    assert_shows(fresh(catalog), truth)
    assert merger.repair() == ()
    assert_shows(fresh(catalog), truth)
    assert fresh(catalog).head_tracks == 0


def fresh(catalog: Catalog) -> Library:
    serving = ServingCatalog(catalog, build=lambda library: library, model_sha256=MODEL)
    serving.refresh()
    return serving.current().value


def test_every_kept_manifest_shows_the_same(
    catalog: Catalog, merger: Merger, make_track: Any, heard: Any
) -> None:
    truth = {f"t{number}": heard(number) for number in range(6)}
    for name, new in truth.items():
        catalog.add(make_track(name), new, model_sha256=MODEL)
        merger.flush(at_least=1)
    catalog.remove("t0")
    del truth["t0"]
    merger.flush(at_least=1)
    merger.compact()
    assert len(manifests.numbers(merger.folder)) == 8
    while numbers := manifests.numbers(merger.folder):
        assert_shows(fresh(catalog), truth)
        manifests.path(merger.folder, numbers[0]).unlink()


def test_few_changes_are_left_in_the_head(
    catalog: Catalog, merger: Merger, make_track: Any, heard: Any
) -> None:
    for number in range(3):
        catalog.add(make_track(f"t{number}"), heard(number), model_sha256=MODEL)
    assert not merger.flush(at_least=4)
    assert not merger.tend()
    assert merger.newest().number == 0
    assert merger.flush(at_least=3)
    assert not merger.flush(at_least=1), "nothing changed since"


@pytest.mark.parametrize("removed", [["t1"], ["t2", "t3"]], ids=["part of a shard", "all of a shard"])
def test_a_flush_during_a_compaction_keeps_both(
    catalog: Catalog,
    merger: Merger,
    make_track: Any,
    heard: Any,
    monkeypatch: pytest.MonkeyPatch,
    removed: list[str],
) -> None:
    """The compaction reads, then a removal and an addition are published, then the compaction publishes."""
    truth = {f"t{number}": heard(number) for number in range(4)}
    for name, new in truth.items():
        catalog.add(make_track(name), new, model_sha256=MODEL)
        merger.flush(at_least=2)
    reading, go_on = threading.Event(), threading.Event()
    slow = Merger(catalog, model_sha256=MODEL)
    write = slow._write

    def paused(*given: Any, **named: Any) -> Any:
        written = write(*given, **named)
        reading.set()
        assert go_on.wait(timeout=20)
        return written

    monkeypatch.setattr(slow, "_write", paused)
    compaction = threading.Thread(target=lambda: slow.compact(everything=True))
    compaction.start()
    assert reading.wait(timeout=20)
    for name in removed:
        catalog.remove(name)
        del truth[name]
    truth["t9"] = heard(9)
    catalog.add(make_track("t9"), truth["t9"], model_sha256=MODEL)
    merger.sweep()  # must not take the shard that is not named yet
    assert merger.flush(at_least=1)
    go_on.set()
    compaction.join()
    now = merger.newest()
    assert len(now.shards) == 2
    assert sum(len(rows) for rows in now.removed.values()) == len(removed)
    assert_shows(fresh(catalog), truth)


def test_one_merger_at_a_time(catalog: Catalog, merger: Merger, make_track: Any, heard: Any) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    other = Merger(catalog, model_sha256=MODEL)
    write = merger._write

    def meanwhile(*given: Any, **named: Any) -> Any:
        assert not other.flush(at_least=1)
        return write(*given, **named)

    merger._write = meanwhile  # type: ignore[method-assign]
    assert merger.flush(at_least=1)
    assert len(merger.newest().shards) == 1


def test_a_damaged_print_stops_a_flush_and_nothing_else(
    catalog: Catalog, merger: Merger, tmp_path: Path, make_track: Any, heard: Any
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    merger.flush(at_least=1)
    before = merger.newest()
    catalog.add(make_track("b"), heard(2), model_sha256=MODEL)
    (file,) = (tmp_path / "data" / "prints").glob(f"{make_track('b').audio_sha256}*")
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + b"!")
    with pytest.raises(CatalogDamaged, match=str(file)):
        merger.flush(at_least=1)
    assert merger.newest() == before
    file.write_bytes(sound)
    assert merger.flush(at_least=1)
    merger.sweep()
    assert not list(merger.folder.glob("*.part"))


def test_a_sweep_keeps_two_manifests_and_their_shards(
    catalog: Catalog, merger: Merger, make_track: Any, heard: Any
) -> None:
    for number in range(FANOUT + 1):
        catalog.add(make_track(f"t{number}"), heard(number), model_sha256=MODEL)
        merger.tend(at_least=1)
    kept = [manifests.path(merger.folder, number) for number in manifests.numbers(merger.folder)]
    assert len(kept) == KEPT_MANIFESTS
    named = {ref.name for found in manifests.newest_first(merger.folder) for ref in found.shards}
    assert {path.name for path in merger.folder.iterdir() if path.is_dir()} == named
    assert len(merger.newest().shards) < FANOUT


def ref(name: str, tracks: int) -> ShardRef:
    return ShardRef(name=name, tracks=tracks, windows=tracks, files={"x": FileSeal(1, "0")})


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        pytest.param([HEAD_TRACKS] * (FANOUT - 1), [], id="too few"),
        pytest.param([HEAD_TRACKS] * FANOUT, [0, 1, 2, 3], id="enough of the smallest"),
        pytest.param([5_000, 64, 64, 64, 64], [1, 2, 3, 4], id="the large one is left"),
        pytest.param([300, 300, 300, 64], [], id="too few of each size"),
        pytest.param([300, 300, 300, 64, 299], [0, 1, 2, 3, 4], id="smaller ones come along"),
        pytest.param([MOST_SHARD_TRACKS] * 9, [], id="large enough"),
    ],
)
def test_what_is_due(sizes: list[int], merged: list[int]) -> None:
    base = Manifest(model_sha256=MODEL, shards=tuple(ref(str(n), size) for n, size in enumerate(sizes)))
    assert [int(shard.name) for shard in due(base)] == merged


def test_a_shard_with_many_tombstones_is_due_alone() -> None:
    shards = (ref("a", 1000), ref("b", 1000))
    few = Manifest(model_sha256=MODEL, shards=shards, removed={"b": tuple(range(250))})
    many = Manifest(model_sha256=MODEL, shards=shards, removed={"b": tuple(range(251))})
    assert due(few) == ()
    assert due(many) == (shards[1],)


def test_writes_and_parts_stay_few_as_a_catalog_grows() -> None:
    """Ten thousand flushes, in numbers alone: shards stay few and each track is written a few times."""
    base = Manifest(model_sha256=MODEL)
    written = most = 0
    for flush in range(10_000):
        base = Manifest(model_sha256=MODEL, shards=(*base.shards, ref(str(flush), HEAD_TRACKS)))
        written += HEAD_TRACKS
        while merged := due(base):
            tracks = sum(shard.tracks for shard in merged)
            left = tuple(shard for shard in base.shards if shard not in merged)
            base = Manifest(model_sha256=MODEL, shards=(*left, ref(f"m{flush}", tracks)))
            written += tracks
        most = max(most, len(base.shards) - sum(s.tracks >= MOST_SHARD_TRACKS // 2 for s in base.shards))
    total = sum(shard.tracks for shard in base.shards)
    assert total == 10_000 * HEAD_TRACKS
    assert most <= FANOUT * 5
    assert written / total < 7
