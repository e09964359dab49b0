"""kill -9 of a writer at random instants, and every acknowledged change accounted for.

    python -m bench.kill_writer --kills 50

The writer adds, replaces and removes tracks, and flushes, merges and sweeps shards in between, so a kill
falls into any of them. It says what it is about to do, and after it returned, that it did. After each kill, a
reader that followed all the time and one that starts afresh must both find every acknowledged track and none
that was acknowledged as removed; of the one change in hand, either outcome will do. Exit code 1 if anything
is missing.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

from bench.arguments import at_least
from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.library import Library
from index.merge import Merger
from index.serving import ServingCatalog
from index.tracks import Track

MODEL = "a" * 64
MOST_STEPS = 40
LONGEST_WAIT_S = 0.05
"""A writer is killed so long after one of the words of its first MOST_STEPS steps. A step takes 5 to 50 ms,
so the kill falls anywhere into one, on a quiet machine and on a loaded one."""
DIMENSION = 32
FLUSH_AT = 4
"""Changes: a writer lives for about thirty of them."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=at_least(1), default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), kills=options.kills, chance=random.Random(options.seed))  # noqa: S311 -- instants


def _run(data: Path, *, kills: int, chance: random.Random) -> int:
    Catalog.open(data, create=True).close()
    state: dict[str, int] = {}
    acknowledged: Counter[str] = Counter()
    interrupted: Counter[str] = Counter()
    faults: list[str] = []
    with Catalog.open(data) as catalog:
        follower: ServingCatalog[Library] = ServingCatalog(
            catalog, build=lambda library: library, model_sha256=MODEL
        )
        follower.refresh()
        for kill in range(kills):
            lines = _killed_writer(
                data,
                dict(state),
                seed=kill,
                words=chance.randrange(1, 2 * MOST_STEPS),
                after_s=chance.uniform(0.0, LONGEST_WAIT_S),
            )
            pending = _account(lines, state, acknowledged)
            if pending is not None:
                interrupted[pending[0]] += 1
                _settle(catalog, pending, state)
            follower.refresh()
            fresh: ServingCatalog[Library] = ServingCatalog(
                catalog, build=lambda library: library, model_sha256=MODEL
            )
            fresh.refresh()
            for name, reader in (("follower", follower), ("fresh reader", fresh)):
                faults += [f"kill {kill}: {name}: {fault}" for fault in _faults(reader, state)]
                faults += [f"kill {kill}: {name} refused {shard}" for shard in reader.refused]
        newest = Merger(catalog, model_sha256=MODEL).newest()
    print(f"{kills} kills, {acknowledged.total()} acknowledged changes: {dict(acknowledged)}")
    print(f"in hand when killed: {dict(interrupted)}")
    print(f"{len(state)} tracks at the end, manifest {newest.number}, {len(newest.shards)} shards")
    if acknowledged.total() < kills:
        faults.append("the writers were killed before they did anything: this proves nothing")
    for fault in faults:
        print("FAULT", fault)
    print("nothing acknowledged was lost" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


def _killed_writer(data: Path, state: dict[str, int], *, seed: int, words: int, after_s: float) -> list[str]:
    """What the writer said before it was killed, `after_s` after so many words."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the parent's is used but its code: no connection, no open file
        try:
            os.close(reading)
            chance = random.Random(seed)  # noqa: S311 -- names
            _write(data, state, chance, lambda line: os.write(writing, f"{line}\n".encode()))
        finally:
            os._exit(3)
    os.close(writing)
    with os.fdopen(reading, "rb") as said:
        first = b"".join(said.readline() for _ in range(words))
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        rest = said.read()
    _, status = os.waitpid(child, 0)
    if os.WTERMSIG(status) != signal.SIGKILL:
        raise RuntimeError(f"the writer ended by itself ({status}): {rest.decode()[-500:]}")
    # A line that the kill cut short says nothing.
    return [line.decode() for line in (first + rest).split(b"\n")[:-1]]


def _write(data: Path, live: dict[str, int], chance: random.Random, say: Callable[[str], object]) -> None:
    with Catalog.open(data) as catalog:
        merger = Merger(catalog, model_sha256=MODEL)
        for step in count():
            name = f"t{chance.randrange(200):03d}"
            seed = chance.randrange(1_000_000)
            if name not in live or chance.random() < 0.3:
                say(f"try put {name} {seed}")
                catalog.add(_track(name, seed), heard(seed), model_sha256=MODEL, replace=True)
                live[name] = seed
                say("done")
            else:
                say(f"try remove {name} 0")
                catalog.remove(name)
                del live[name]
                say("done")
            if step % FLUSH_AT == 0:
                say("try tend - 0")
                merger.tend(at_least=1)
                say("done")


def _account(
    lines: list[str], state: dict[str, int], acknowledged: Counter[str]
) -> tuple[str, str, int] | None:
    """Applies what was acknowledged to `state`; returns what was in hand."""
    pending: tuple[str, str, int] | None = None
    for line in lines:
        if line != "done":
            _, what, name, seed = line.split()
            pending = what, name, int(seed)
            continue
        assert pending is not None
        what, name, number = pending
        acknowledged[what] += 1
        if what == "put":
            state[name] = number
        elif what == "remove":
            del state[name]
        pending = None
    return pending


def _settle(catalog: Catalog, pending: tuple[str, str, int], state: dict[str, int]) -> None:
    """The change in hand is there or is not: both are right, a third thing is not."""
    what, name, seed = pending
    there = catalog.find(name)
    if what == "put" and there is not None and there.audio_sha256 == _track(name, seed).audio_sha256:
        state[name] = seed
    elif what == "remove" and there is None:
        state.pop(name, None)


def _faults(reader: ServingCatalog[Library], state: dict[str, int]) -> list[str]:
    """Every track is found by its own windows, all of them; and nothing else is there."""
    library = reader.current().value
    faults = [] if library.tracks == len(state) else [f"{library.tracks} tracks instead of {len(state)}"]
    for name, seed in state.items():
        asked = heard(seed)
        found = library.search(asked.vectors.astype(np.float32) / 127.0, 1)
        answered = {library.track_id(at) if at >= 0 else "" for at in found.track.ravel().tolist()}
        if answered != {name} or found.similarity.min() < 0.95:
            faults.append(f"{name} is found as {answered}")
        elif not np.array_equal(library.contour(int(found.track[0, 0])), asked.contour):
            faults.append(f"{name} has another contour")
    return faults


def heard(seed: int) -> ReferencePrint:
    random_numbers = np.random.default_rng(seed)
    vectors = random_numbers.standard_normal((24, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ReferencePrint(
        duration_s=12.0,
        vectors=np.round(vectors * 127).astype(np.int8),
        starts_s=np.arange(24, dtype=np.float32) * np.float32(0.5),
        contour=random_numbers.integers(0, 256, (120, 19), dtype=np.uint8),
    )


def _track(name: str, seed: int) -> Track:
    return Track(track_id=name, title=name, audio_sha256=f"{seed:064x}", duration_s=12.0)


if __name__ == "__main__":
    sys.exit(main())
