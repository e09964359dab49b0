"""Writers that meet, and writers that are killed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.catalog import Catalog
from index.prints import PART_SUFFIX, PrintStore
from soundalike.errors import CatalogBusy

MODEL = "a" * 64
ROOT = Path(__file__).parents[2]

WRITER = """
import hashlib, sys
from pathlib import Path
import numpy as np
from index.catalog import Catalog
from index.tracks import Right, Track
from decimal import Decimal

class Print:
    duration_s = 3.0
    def __init__(self, seed):
        self.seed = seed
    def to_arrays(self):
        # Large enough that a kill can fall into the writing of the file.
        return {"vectors": np.random.default_rng(self.seed).integers(0, 255, (2000, 128)).astype(np.uint8)}

data, url, first = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3])
catalog = Catalog.open(data, url=url, create=True)
for number in range(first, first + 100_000):
    track_id = f"t{number:06d}"
    sha256 = hashlib.sha256(track_id.encode()).hexdigest()
    track = Track(track_id=track_id, title=track_id, audio_sha256=sha256, duration_s=3.0)
    print("try", track_id, flush=True)
    rights = (Right("A", Decimal("0.5")), Right("B", Decimal("0.5")))
    added = catalog.add(track, Print(number), model_sha256="a" * 64, rights=rights)
    print("acknowledged", track_id, added.generation, flush=True)
"""
KILLS = 12
LONGEST_LIFE_S = 0.35
"""An add takes about 10 ms: a writer is killed at any point of one of its first 35."""


def start_writer(data: Path, url: str | None, *, first: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(data), url or "", str(first)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.timeout(240)
def test_kill_9_loses_nothing_acknowledged_and_lists_nothing_half_written(
    tmp_path: Path, database_url: str | None, open_catalog: Callable[..., Catalog]
) -> None:
    instants = random.Random(20261122)
    data = tmp_path / "data"
    acknowledged: list[str] = []
    tried: set[str] = set()
    for kill in range(KILLS):
        writer = start_writer(data, database_url, first=kill * 1000)
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]  # up and writing
        killer = threading.Timer(instants.uniform(0.0, LONGEST_LIFE_S), writer.kill)
        killer.start()
        lines += writer.stdout.readlines()
        assert writer.wait(timeout=30) == -signal.SIGKILL
        killer.join()
        writer.stdout.close()
        # A line that the kill cut short is not an acknowledgement.
        whole = [line.split() for line in lines if line.endswith("\n")]
        tried.update(words[1] for words in whole)
        acknowledged += [words[1] for words in whole if words[0] == "acknowledged"]

        catalog = open_catalog(create=False)
        listed = [track.track_id for track in catalog.tracks()]
        assert listed == sorted(listed)
        assert set(acknowledged) <= set(listed) <= tried
        # Each listed track is whole: its generation, its shares and a print that matches its checksum.
        assert catalog.generation() == len(listed)
        assert {track_id: len(held) for track_id, held in catalog.all_rights().items()} == dict.fromkeys(
            listed, 2
        )
        prints = catalog.load_manifest_as(catalog.manifest(), decode=lambda arrays: arrays["vectors"].shape)
        assert prints == dict.fromkeys(listed, (2000, 128))
    assert len(acknowledged) > KILLS


def test_a_killed_writer_leaves_the_lock_free(
    tmp_path: Path,
    database_url: str | None,
    open_catalog: Callable[..., Catalog],
    make_track: Any,
    tiny_print: Any,
) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\nfrom pathlib import Path\nfrom index.catalog import Catalog\n"
            "catalog = Catalog.open(Path(sys.argv[1]), url=sys.argv[2] or None, create=True)\n"
            "with catalog._database.write(kind='test', subject='held'):\n"
            "    print('held', flush=True)\n    time.sleep(60)\n",
            str(tmp_path / "data"),
            database_url or "",
        ],
        stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"held\n"
        catalog = open_catalog(create=False, lock_wait_s=0.3)
        began = time.monotonic()
        with pytest.raises(CatalogBusy, match=r"another writer holds the catalog at .*waited 0\.3 s"):
            catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL)
        assert 0.2 < time.monotonic() - began < 5.0
        assert catalog.generation() == 0  # readers don't wait
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    deadline = time.monotonic() + 10.0
    while True:  # PostgreSQL notices the lost connection a moment later
        try:
            added = catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL)
            break
        except CatalogBusy:
            assert time.monotonic() < deadline
    assert added.generation == 1


def test_writers_that_meet_wait_for_one_another(
    open_catalog: Callable[..., Catalog], make_track: Any, tiny_print: Any
) -> None:
    catalogs = [open_catalog() for _ in range(4)]
    generations: list[int] = []

    def write(catalog: Catalog, name: str) -> None:
        for number in range(5):
            track = make_track(f"{name}{number}")
            generations.append(catalog.add(track, tiny_print(number), model_sha256=MODEL).generation)

    threads = [
        threading.Thread(target=write, args=(catalog, name))
        for catalog, name in zip(catalogs, "abcd", strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(generations) == list(range(1, 21))
    assert len(catalogs[0].tracks()) == 20


def test_one_id_is_won_by_one_writer(
    open_catalog: Callable[..., Catalog], make_track: Any, tiny_print: Any
) -> None:
    """Both see a free id before they take the lock; the second is told under it."""
    catalogs = [open_catalog() for _ in range(2)]
    together = threading.Barrier(2)
    outcomes: list[str] = []

    class Slow:
        duration_s = 3.0

        def __init__(self, seed: int) -> None:
            self.seed = seed

        def to_arrays(self) -> dict[str, Any]:
            together.wait(timeout=10)  # both have looked, none has written
            arrays: dict[str, Any] = tiny_print(self.seed).to_arrays()
            return arrays

    def write(catalog: Catalog, seed: int) -> None:
        slow: Any = Slow(seed)
        try:
            catalog.add(make_track("alp", audio=f"audio {seed}"), slow, model_sha256=MODEL)
        except Exception as error:  # noqa: BLE001 -- what it is is asserted below
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("added")

    threads = [threading.Thread(target=write, args=(catalog, seed)) for seed, catalog in enumerate(catalogs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["DuplicateTrack", "added"]
    assert catalogs[0].generation() == 1


def test_two_processes_may_create_the_same_catalog(tmp_path: Path, database_url: str | None) -> None:
    create = (
        "import sys\nfrom pathlib import Path\nfrom index.catalog import Catalog\n"
        "sys.stdin.readline()\n"
        "Catalog.open(Path(sys.argv[1]), url=sys.argv[2] or None, create=True).close()\n"
    )
    command = [sys.executable, "-c", create, str(tmp_path / "data"), database_url or ""]
    creators = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) for _ in range(3)
    ]
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write(b"go\n")
        creator.stdin.flush()
    for creator in creators:
        _, errors = creator.communicate(timeout=60)
        assert (creator.returncode, errors) == (0, b"")
    with Catalog.open(tmp_path / "data", url=database_url) as catalog:
        assert catalog.generation() == 0


def test_what_killed_writers_left_is_swept_once_it_is_old(tmp_path: Path, tiny_print: Any) -> None:
    store = PrintStore(tmp_path)
    sha256 = hashlib.sha256(b"x").hexdigest()
    stored = store.write(tiny_print(1).to_arrays(), audio_sha256=sha256, model_sha256=MODEL)
    old, new = tmp_path / f"old{PART_SUFFIX}", tmp_path / f"new{PART_SUFFIX}"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    assert store.sweep() == [old]
    assert new.exists()
    assert store.is_intact(audio_sha256=sha256, checksum=stored.checksum)


def test_an_acknowledged_print_leaves_no_temporary_file(tmp_path: Path, tiny_print: Any) -> None:
    store = PrintStore(tmp_path / "prints")
    arrays = tiny_print(1).to_arrays()
    stored = store.write(arrays, audio_sha256="c" * 64, model_sha256=MODEL)
    again = store.write(arrays, audio_sha256="c" * 64, model_sha256=MODEL)
    assert again == stored
    (file,) = list(store.folder.iterdir())
    assert file.name == f"{'c' * 64}-{stored.checksum[:16]}.safetensors"
    assert file.stat().st_size == stored.size_bytes
    assert file.stat().st_mode & 0o777 == 0o644
