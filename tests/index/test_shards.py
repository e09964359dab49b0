"""Shards, their manifests and the files they lie in: whole or refused, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index import manifest as manifests
from index.changelog import Entry
from index.manifest import Manifest
from index.npy_writer import NpyWriter
from index.references import ReferencesInMemory
from index.shards import FILES, INDEX_FILE, ShardRef, open_shard, write_shard
from index.vectors import (
    FEWEST_VECTORS_PER_LIST,
    FLAT_UP_TO_VECTORS,
    MOST_LISTS,
    alive_bits,
    build,
    cosines_with,
    load,
    nearest,
    plan,
    rows_at,
    save,
)
from soundalike.errors import CatalogDamaged

MODEL = "a" * 64
ROUNDING = 0.006
"""Of a cosine, as queries are compared in whole numbers up to 127."""


def entry(number: int) -> Entry:
    return Entry(row_id=number, track_id=f"träck {number}", audio_sha256=f"{number:064x}", checksum="f" * 64)


def unit_vectors(count: int, *, dimension: int = 32, seed: int = 0) -> NDArray[np.int8]:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.round(vectors * 127).astype(np.int8)


@pytest.fixture
def shard(tmp_path: Path, heard: Any) -> ShardRef:
    return write_shard(tmp_path, "first", ((entry(n), heard(n, windows=5 + n)) for n in (2, 3, 7)))


@pytest.mark.parametrize("in_memory", [True, False])
def test_windows_are_compared_with_those_of_one_place(
    tmp_path: Path, shard: ShardRef, heard: Any, in_memory: bool
) -> None:
    prints = {f"träck {n}": heard(n, windows=5 + n) for n in (2, 3, 7)}
    references = ReferencesInMemory(prints) if in_memory else open_shard(tmp_path, shard)
    asked = unit_vectors(4, seed=5).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    found = references.cosines(1, asked, np.array([0.2, 3.4, -0.3, 99.0]))
    expected = asked[:2] @ prints["träck 3"].vectors[[0, 7]].astype(np.float32).T / 127.0
    assert found[:2] == pytest.approx(np.diag(expected), abs=ROUNDING)
    assert np.isnan(found[2:]).all()


def test_a_window_that_no_list_looked_into_holds_has_no_cosine() -> None:
    vectors = unit_vectors(FLAT_UP_TO_VECTORS + 1)
    index = build(vectors)
    assert plan(len(vectors)).probes < plan(len(vectors)).lists
    rows = np.arange(300)
    same = cosines_with(index, vectors[rows].astype(np.float32) / 127.0, rows)
    assert same == pytest.approx(1.0, abs=0.02)
    opposite = cosines_with(index, -vectors[rows].astype(np.float32) / 127.0, rows)
    assert np.isnan(opposite).all()
    assert np.isnan(cosines_with(index, vectors[:1].astype(np.float32) / 127.0, np.array([-1]))).all()


def test_silent_windows_leave_gaps_between_rows() -> None:
    starts_s = np.array([0.0, 0.5, 1.0, 2.5], dtype=np.float32)
    at_s = np.array([-0.3, -0.2, 0.24, 0.26, 1.2, 1.3, 2.4, 2.8])
    assert rows_at(starts_s, at_s, first=10).tolist() == [-1, 10, 10, 11, 12, -1, 13, -1]
    assert rows_at(starts_s[:0], at_s[:2], first=10).tolist() == [-1, -1]


def test_a_shard_gives_back_what_went_in(tmp_path: Path, shard: ShardRef, heard: Any) -> None:
    opened = open_shard(tmp_path, shard)
    assert (len(opened), opened.windows, shard.tracks) == (3, 7 + 8 + 12, 3)
    assert list(opened.entries()) == [entry(2), entry(3), entry(7)]
    assert [opened.position_of(row) for row in (1, 2, 3, 4, 7, 8)] == [None, 0, 1, None, 2, None]
    for position, number in enumerate((2, 3, 7)):
        original = heard(number, windows=5 + number)
        assert opened.track_id(position) == f"träck {number}"
        assert opened.duration_s(position) == original.duration_s
        assert np.array_equal(opened.contour(position), original.contour)
        cosines, positions, starts_s = opened.nearest(
            original.vectors.astype(np.float32) / 127.0, 1, alive=None
        )
        assert set(positions.ravel()) == {position}
        assert np.array_equal(starts_s.ravel(), original.starts_s)
        assert cosines.min() > 0.98
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == sorted(FILES)
    assert shard.size_bytes == sum(path.stat().st_size for path in (tmp_path / "first").iterdir())


def test_tombstones_leave_exactly_their_tracks_out(tmp_path: Path, shard: ShardRef, heard: Any) -> None:
    opened = open_shard(tmp_path, shard)
    queries = heard(3, windows=8).vectors.astype(np.float32) / 127.0
    cosines, positions, starts_s = opened.nearest(queries, 27, alive=None)
    masked, left, left_starts_s = opened.nearest(queries, 27, alive=opened.alive([1]))
    for row in range(len(queries)):
        kept = positions[row] != 1
        assert np.array_equal(left[row][:19], positions[row][kept])
        assert np.array_equal(masked[row][:19], cosines[row][kept])
        assert np.array_equal(left_starts_s[row][:19], starts_s[row][kept])
    assert (left[:, 19:] == -1).all()
    assert np.isneginf(masked[:, 19:]).all()
    assert opened.alive([]) is None


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["a bit", "a byte less", "missing"])
def test_every_damaged_file_is_refused_by_name(
    tmp_path: Path, shard: ShardRef, file: str, damage: str
) -> None:
    path = tmp_path / "first" / file
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif damage == "a byte less":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    with pytest.raises(CatalogDamaged, match=f"shard first: .*{file}"):
        open_shard(tmp_path, shard)


@pytest.mark.parametrize("file", FILES)
def test_what_is_no_shard_is_refused_even_unchecked(tmp_path: Path, shard: ShardRef, file: str) -> None:
    path = tmp_path / "first" / file
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(CatalogDamaged, match=file):
        open_shard(tmp_path, shard, verify=())


def test_a_shard_that_fails_midway_never_gets_its_name(tmp_path: Path, heard: Any) -> None:
    def sources() -> Any:
        yield entry(1), heard(1)
        raise CatalogDamaged("the second print")

    with pytest.raises(CatalogDamaged, match="the second print"):
        write_shard(tmp_path, "half", sources())
    assert [path.name for path in tmp_path.iterdir()] == ["half.part"]
    whole = write_shard(
        tmp_path, "half", [(entry(1), heard(1))]
    )  # and what is left does not stand in the way
    assert len(open_shard(tmp_path, whole)) == 1


@pytest.mark.parametrize("rows", [[], [2, 1], [1, 1]])
def test_a_shard_of_nothing_or_in_disorder_is_refused(tmp_path: Path, heard: Any, rows: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending order"):
        write_shard(tmp_path, "x", [(entry(row), heard(row)) for row in rows])


# The index in it


def test_the_plan_grows_with_the_square_root() -> None:
    plans = {total: plan(total) for total in (1, 63, 64, 1_000, 100_000, 10_000_000, 10**9)}
    assert plans[1].lists == plans[63].lists == 1
    assert plans[1_000].lists <= 1_000 // FEWEST_VECTORS_PER_LIST
    assert plans[10**9].lists == MOST_LISTS
    lists = [found.lists for found in plans.values()]
    assert lists == sorted(lists)
    probes = [found.probes for found in plans.values()]
    assert probes == sorted(probes)
    assert all(1 <= found.probes <= found.lists for found in plans.values())


def test_an_index_that_is_mapped_answers_as_the_one_in_memory(tmp_path: Path) -> None:
    vectors = unit_vectors(5_000)
    built = build(vectors)
    save(built, tmp_path / INDEX_FILE)
    mapped = load(tmp_path / INDEX_FILE)
    queries = unit_vectors(50, seed=1).astype(np.float32) / 127.0
    for one, other in zip(nearest(built, queries, 20), nearest(mapped, queries, 20), strict=True):
        assert np.array_equal(one, other)


def test_the_lists_miss_little_of_what_an_exact_search_finds() -> None:
    """On clustered vectors, as music makes them; the measurements are in docs/scale.md."""
    centres = unit_vectors(300, seed=2).astype(np.float64)
    scattered = np.repeat(centres, 100, axis=0) + np.random.default_rng(3).normal(0, 8, (30_000, 32))
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    vectors = np.round(scattered * 127).astype(np.int8)
    queries = vectors[::997].astype(np.float32) / 127.0
    cosines, rows = nearest(build(vectors), queries, 20)
    exact = queries @ vectors.T.astype(np.float32)
    best = np.argsort(-exact, axis=1)[:, :20]
    found = [len(set(a) & set(b)) / 20 for a, b in zip(rows.tolist(), best.tolist(), strict=True)]
    assert np.mean(found) >= 0.98
    assert np.allclose(cosines, np.take_along_axis(exact, rows, axis=1) / 127.0, atol=ROUNDING)


def test_cosines_of_queries_between_the_bytes_are_true() -> None:
    """FAISS cuts off a query's fractions: scaled as the catalog is, cosines came out 3 % too low."""
    vectors = unit_vectors(2_000, dimension=128)
    queries = vectors[:40].astype(np.float32) / 127.0 + np.random.default_rng(1).normal(0, 0.05, (40, 128))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    cosines, rows = nearest(build(vectors), queries, 20)
    exact = queries @ vectors.T.astype(np.float32) / 127.0
    error = cosines - np.take_along_axis(exact, rows, axis=1)
    assert np.abs(error).max() < ROUNDING
    assert abs(error.mean()) < 0.0005


@pytest.mark.parametrize("dead", [[], [(0, 40)]])
def test_with_every_list_looked_into_the_nearest_are_the_nearest(dead: list[tuple[int, int]]) -> None:
    """Ranked by the query as it is, not by its bytes."""
    vectors = unit_vectors(3_000, dimension=56)
    queries = vectors[:40].astype(np.float32) / 127.0 + np.random.default_rng(1).normal(0, 0.05, (40, 56))
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    alive = alive_bits(3_000, dead) if dead else None
    cosines, rows = nearest(build(vectors), queries, 20, alive=alive, probes=10_000)
    exact = queries @ vectors.T.astype(np.float32) / 127.0
    for first, last in dead:
        exact[:, first:last] = -1.0
    best = np.argsort(-exact, axis=1)[:, :20]
    found = [len(set(a) & set(b)) / 20 for a, b in zip(rows.tolist(), best.tolist(), strict=True)]
    assert np.mean(found) == 1.0
    assert np.all(np.diff(cosines, axis=1) <= 0.0)
    assert np.allclose(cosines, np.take_along_axis(exact, rows, axis=1), atol=1e-5)


def test_the_dead_do_not_crowd_the_living_out() -> None:
    """As after the replacement of a track: all that is nearest counts no longer."""
    vectors = np.concatenate(
        [np.repeat(unit_vectors(1, dimension=56), 200, axis=0), unit_vectors(800, dimension=56)]
    )
    alive = alive_bits(1_000, [(0, 200)])
    cosines, rows = nearest(
        build(vectors), vectors[:1].astype(np.float32) / 127.0, 20, alive=alive, probes=99
    )
    assert np.all(rows >= 200)
    exact = vectors[:1].astype(np.float32) @ vectors[200:].T.astype(np.float32) / 127.0**2
    assert np.allclose(cosines[0], np.sort(exact[0])[::-1][:20], atol=ROUNDING)


def test_where_there_are_fewer_rows_say_so() -> None:
    vectors = unit_vectors(200, dimension=56)
    cosines, rows = nearest(build(vectors), vectors[:2].astype(np.float32) / 127.0, 20,
                            alive=alive_bits(200, [(3, 200)]))  # fmt: skip
    assert rows.shape == cosines.shape == (2, 20)
    assert np.all(rows[:, 3:] == -1)
    assert np.all(np.isneginf(cosines[:, 3:]))


def test_bits_of_the_living() -> None:
    alive = alive_bits(19, [(0, 2), (8, 9), (17, 19)])
    bits = np.unpackbits(alive, bitorder="little")[:19]
    assert bits.tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]


def test_a_grown_array_is_an_ordinary_npy_file(tmp_path: Path) -> None:
    rows = np.arange(60, dtype=np.uint8).reshape(20, 3)
    with NpyWriter(tmp_path / "a.npy", dtype=np.uint8, row_shape=(3,)) as writer:
        writer.append(rows[:7])
        writer.append(rows[7:7])
        writer.append(rows[7:])
        with pytest.raises(ValueError, match="rows of shape"):
            writer.append(rows[:, :2])
    for mode in (None, "r"):
        assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode=mode, allow_pickle=False), rows)


def test_an_array_whose_writing_failed_is_none(tmp_path: Path) -> None:
    def fail() -> None:
        with NpyWriter(tmp_path / "a.npy", dtype=np.uint8):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    with pytest.raises(ValueError, match=r"pickle|magic|format"):
        np.load(tmp_path / "a.npy", allow_pickle=False)


# The manifests that name it


@pytest.fixture
def manifest(shard: ShardRef) -> Manifest:
    return Manifest(
        number=4,
        generation=17,
        anchor="0f" * 16,
        model_sha256=MODEL,
        shards=(shard,),
        removed={"first": (3,)},
    )


def test_a_manifest_survives_its_file(tmp_path: Path, manifest: Manifest, shard: ShardRef) -> None:
    manifests.publish(tmp_path, manifest)
    assert list(manifests.newest_first(tmp_path)) == [manifest]
    assert manifest.live_tracks(shard) == 2
    assert json.loads(manifests.path(tmp_path, 4).read_text())["manifest"]["generation"] == 17


def test_a_torn_or_altered_manifest_gives_way_to_the_one_before(tmp_path: Path, manifest: Manifest) -> None:
    manifests.publish(tmp_path, manifest)
    whole = manifests.to_json(manifest)
    newer = manifests.path(tmp_path, 5)
    for content in (b"", whole[: len(whole) // 2], whole.replace(b'"generation": 17', b'"generation": 18')):
        newer.write_bytes(content)
        assert manifests.numbers(tmp_path) == [5, 4]
        assert list(manifests.newest_first(tmp_path)) == [manifest]
        with pytest.raises(CatalogDamaged, match=r"x\.json"):
            manifests.from_json(content, name="x.json")


def test_a_manifest_of_another_format_is_refused(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "FORMAT", 99)
    other = manifests.to_json(manifest)
    monkeypatch.undo()
    with pytest.raises(CatalogDamaged, match="of format 99"):
        manifests.from_json(other, name="x.json")


def test_other_files_are_no_manifests(tmp_path: Path) -> None:
    for name in ("manifest-.json", "manifest-x.json", "manifest-000000000001.json.77.part", "notes"):
        (tmp_path / name).touch()
    assert manifests.numbers(tmp_path) == []
    assert manifests.numbers(tmp_path / "absent") == []
