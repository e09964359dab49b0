"""A catalog that changes while it serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from index.catalog import Catalog
from index.library import Library
from index.merge import Merger
from index.serving import Serving, ServingCatalog
from index.terms import Decision, Term, Use
from soundalike.errors import CatalogDamaged

MODEL = "a" * 64
POLL_S = 0.02

Served = ServingCatalog[frozenset[str]]


def ids_of(library: Library) -> frozenset[str]:
    """The tracks that a search can answer with."""
    in_shards = {
        part.shard.track_id(position)
        for part in library.parts
        for position in set(range(len(part.shard))) - part.dead
    }
    in_head = {library._head.track_id(position) for position in range(library.head_tracks)}
    assert len(in_shards) + len(in_head) == library.tracks == len(in_shards | in_head)
    return frozenset(in_shards | in_head)


@pytest.fixture
def serve(catalog: Catalog) -> Callable[..., Any]:
    """A context in which the ids of the tracks are served."""

    @contextmanager
    def serving(**options: Any) -> Iterator[Served]:
        defaults = {
            "build": ids_of,
            "model_sha256": MODEL,
            "poll_interval_s": POLL_S,
        }
        with ServingCatalog(catalog, **(defaults | options)) as served:
            yield served

    return serving


def wait_until(true: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)


def print_file(folder: Path, track_sha256: str) -> Path:
    (file,) = (folder / "data" / "prints").glob(f"{track_sha256}-*.safetensors")
    return file


def test_additions_and_removals_are_served_without_a_restart(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    with serve() as served:
        first = served.current()
        assert (first.generation, first.value, first.tracks["a"].title) == (1, {"a"}, "Title of a")
        catalog.add(make_track("b"), heard(2), model_sha256=MODEL)
        wait_until(lambda: served.current().value == {"a", "b"})
        catalog.remove("a")
        wait_until(lambda: served.current().value == {"b"})
        assert served.current().generation == 3
        assert list(served.current().tracks) == ["b"]
        # Who took a generation keeps all of it.
        assert (first.generation, first.value, list(first.tracks)) == (1, {"a"}, ["a"])


def test_an_empty_catalog_serves(serve: Any) -> None:
    with serve() as served:
        assert served.is_ready
        assert (served.current().generation, served.current().value) == (0, frozenset())


def test_a_change_of_terms_builds_nothing(catalog: Catalog, serve: Any, make_track: Any, heard: Any) -> None:
    builds: list[set[str]] = []

    def build(library: Library) -> frozenset[str]:
        builds.append(set(ids_of(library)))
        return ids_of(library)

    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    with serve(build=build) as served:
        value = served.current().value
        allow = Term(
            term_id="t", rightsholder="Firn", use=Use.AI_TRAINING, decision=Decision.ALLOW,
            valid_from=catalog.tracks()[0].added_at,
        )  # fmt: skip
        catalog.record_terms([allow])
        wait_until(lambda: served.current().generation == 2)
        assert served.current().value is value
    assert builds == [{"a"}]


def test_prints_are_read_once(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = catalog._prints.read

    def counted(**asked: str) -> Any:
        read.append(asked["audio_sha256"])
        return original(**asked)

    monkeypatch.setattr(catalog._prints, "read", counted)
    tracks = [make_track(name) for name in "abc"]
    for track in tracks[:2]:
        catalog.add(track, heard(1), model_sha256=MODEL)
    with serve() as served:
        catalog.add(tracks[2], heard(3), model_sha256=MODEL)
        wait_until(lambda: len(served.current().value) == 3)
    assert read == [track.audio_sha256 for track in tracks]


def test_the_old_generation_serves_while_the_next_is_built(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    building, go_on = threading.Event(), threading.Event()

    def build(library: Library) -> frozenset[str]:
        if "b" in ids_of(library):
            building.set()
            assert go_on.wait(timeout=10)
        return ids_of(library)

    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    with serve(build=build, stale_after_s=0.1) as served:
        catalog.add(make_track("b"), heard(2), model_sha256=MODEL)
        assert building.wait(timeout=10)
        began = time.monotonic()
        assert served.current().value == {"a"}
        assert time.monotonic() - began < 0.1
        wait_until(lambda: served.is_stale)  # the additions are late, and it says so
        assert served.last_error is None
        go_on.set()
        wait_until(lambda: served.current().value == {"a", "b"})
        wait_until(lambda: not served.is_stale)


def test_a_damaged_generation_never_serves_and_is_reported(
    catalog: Catalog, serve: Any, tmp_path: Path, make_track: Any, heard: Any
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    with serve(stale_after_s=0.1) as served:
        damaged = make_track("b")
        with catalog._database.write(kind="test", subject="pause"):
            pass
        wait_until(lambda: served.current().generation == 2)
        served._refreshing.acquire()  # the follower waits here until the damage is done
        catalog.add(damaged, heard(2), model_sha256=MODEL)
        file = print_file(tmp_path, damaged.audio_sha256)
        sound = file.read_bytes()
        file.write_bytes(sound[:-1] + b"!")
        served._refreshing.release()
        wait_until(lambda: served.last_error is not None)
        assert isinstance(served.last_error, CatalogDamaged)
        assert str(file) in str(served.last_error)
        wait_until(lambda: served.is_stale)
        assert (served.is_ready, served.current().value, served.current().generation) == (True, {"a"}, 2)
        file.write_bytes(sound)
        wait_until(lambda: served.current().value == {"a", "b"})
        wait_until(lambda: served.last_error is None and not served.is_stale)


def test_a_catalog_that_is_damaged_from_the_start_is_refused(
    catalog: Catalog, serve: Any, tmp_path: Path, make_track: Any, heard: Any
) -> None:
    track = make_track("a")
    catalog.add(track, heard(1), model_sha256=MODEL)
    print_file(tmp_path, track.audio_sha256).unlink()
    with pytest.raises(CatalogDamaged, match="is missing"), serve():
        pass


def test_a_build_that_fails_is_reported_and_tried_again(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    attempts: list[int] = []

    def build(library: Library) -> frozenset[str]:
        if library.tracks:
            attempts.append(library.tracks)
            if len(attempts) < 3:
                raise MemoryError("no room")
        return ids_of(library)

    with serve(build=build) as served:
        catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
        wait_until(lambda: served.current().value == {"a"})
        wait_until(lambda: served.last_error is None)
    assert attempts == [1, 1, 1]


def test_tracks_of_another_model_are_known_but_not_built(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256="b" * 64)
    with serve() as served:
        now: Serving[frozenset[str]] = served.current()
        assert (now.value, list(now.tracks)) == (frozenset(), ["a"])
    assert catalog.unheard(model_sha256=MODEL) == (1, "a")
    assert catalog.unheard(model_sha256="b" * 64) == (0, None)


def test_closing_ends_the_follower(serve: Any) -> None:
    others = set(threading.enumerate())  # the equipment of other tests' jobs follows until the process ends
    with serve() as served:
        begun = set(threading.enumerate()) - others
        (follower,) = [thread for thread in begun if thread.name == "catalog-follower"]
        assert not served.is_stale
    assert not follower.is_alive()


def test_nothing_is_served_before_the_start(catalog: Catalog) -> None:
    idle: Served = ServingCatalog(catalog, build=ids_of, model_sha256=MODEL)
    assert not idle.is_ready
    with pytest.raises(RuntimeError, match="start"):
        idle.current()


def test_a_merge_changes_what_is_mapped_and_not_what_is_found(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    libraries: list[Library] = []

    def build(library: Library) -> frozenset[str]:
        libraries.append(library)
        return ids_of(library)

    merger = Merger(catalog, model_sha256=MODEL)
    for number, name in enumerate("abc"):
        catalog.add(make_track(name), heard(number), model_sha256=MODEL)
    with serve(build=build) as served:
        assert merger.flush(at_least=1)
        wait_until(lambda: libraries[-1].head_tracks == 0)
        catalog.remove("b")
        catalog.add(make_track("d"), heard(4), model_sha256=MODEL)
        wait_until(lambda: served.current().value == {"a", "c", "d"})
        assert libraries[-1].head_tracks == 1
        assert served.current().tracks["d"].title == "Title of d"
        assert "b" not in served.current().tracks
        merger.flush(at_least=1)
        merger.compact(everything=True)
        wait_until(lambda: len(libraries[-1].parts) == 1 and not libraries[-1].parts[0].dead)
        assert (served.current().value, served.current().generation) == ({"a", "c", "d"}, 5)
        assert served.last_error is None


def test_a_damaged_shard_is_refused_by_name_and_the_manifest_before_it_serves(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    for number, name in enumerate("abc"):
        catalog.add(make_track(name), heard(number), model_sha256=MODEL)
        merger.flush(at_least=1)
    merger.compact(everything=True)
    (ref,) = merger.newest().shards
    damaged = merger.folder / ref.name / "contours.npy"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with serve() as served:  # from the three shards of before
        assert served.current().value == {"a", "b", "c"}
        assert list(served.refused) == [ref.name]
        assert str(damaged) in str(served.refused[ref.name])
        catalog.remove("a")
        wait_until(lambda: served.current().value == {"b", "c"})
        assert not served.is_stale
        (named,) = merger.repair()
        assert ref.name in named
        wait_until(lambda: served._shards.keys() == {ref.name for ref in merger.newest().shards})
        assert served.current().value == {"b", "c"}


def test_where_no_manifest_can_be_served_the_start_is_refused_by_name(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    merger.flush(at_least=1)
    (ref,) = merger.newest().shards
    (merger.folder / ref.name / "index.faiss").unlink()
    with pytest.raises(CatalogDamaged, match=rf"{ref.name}.*index\.faiss is missing.*catalog merge"), serve():
        pass
    merger.repair()
    with serve() as served:
        assert served.current().value == {"a"}


def test_a_catalog_restored_from_a_backup_is_not_served_from_the_other_history(
    catalog: Catalog, serve: Any, make_track: Any, heard: Any
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    catalog.add(make_track("lost"), heard(1), model_sha256=MODEL)
    merger.flush(at_least=1)
    with catalog._database._writer().begin() as connection:  # as if the backup were older than the addition
        for statement in (
            "DELETE FROM tracks",
            "DELETE FROM changes",
            "UPDATE catalog_state SET generation = 0",
        ):
            connection.execute(text(statement))
    catalog.add(make_track("other"), heard(2), model_sha256=MODEL)
    with serve() as served:
        assert served.current().value == {"other"}
        merger.flush(at_least=1)
        wait_until(lambda: len(served._shards) == 1)
        assert served.current().value == {"other"}
