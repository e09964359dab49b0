"""How the memory grows: size, building, start, search and recall of shards of up to 50,000 tracks.

    python -m bench.scale_prints --corpora runs/corpora --out runs/scale/prints     # once: the real vectors
    python -m bench.scale --prints runs/scale/prints --work runs/scale --vectors 1000000,18000000

Real recordings come first; `bench.scale_fill` makes the others from them. All is written and read by the
code that serves: `index.shards.write_shard`, `index.shards.open_shard`, `index.vectors.nearest`. What
starts, and how much memory that takes, is measured in a process of its own. Wall times are given with the
CPU time that was used, as other programs may share the machine; one thread searches and builds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from bench.arguments import at_least
from bench.scale_fill import fill, tracks
from bench.scale_prints import load_real
from bench.scale_projection import project
from classifiers.fingerprint import ReferencePrint
from index.changelog import Entry
from index.manifest import Manifest, from_json, to_json
from index.shards import INDEX_FILE, ShardRef, open_shard, write_shard
from index.vectors import load, nearest, plan

K = 20
RECALL_QUERIES = 200
PROBES = (32, 64, 128, 192, 256, 384, 512, 768)
SEARCHES = 20
QUESTIONS = 360
"""Of one upload of three minutes."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prints", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("scale.json"))
    parser.add_argument("--vectors", default="1000000,2500000,5000000,10000000,18000000")
    parser.add_argument(
        "--dimension", type=at_least(1), help="project the vectors to so many; default: as they are"
    )
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    faiss.omp_set_num_threads(1)
    if options.start is not None:
        print(json.dumps(_start(options.start)))
        return 0
    console = Console(stderr=True)
    prints, queries = load_real(options.prints)
    if options.dimension is not None:
        prints, queries = project(prints, queries, dimension=options.dimension)
    sizes = sorted(int(part) for part in options.vectors.split(","))
    stored = options.work / f"fill-{prints[0].vectors.shape[1]}.npy"
    filled, wall_s, cpu_s = _timed(lambda: fill(prints, vectors=sizes[-1], to=stored))
    console.print(f"{len(filled):,} vectors made in {wall_s:.0f} s ({cpu_s:.0f} s CPU)")
    everything = np.concatenate(queries)
    asked = everything[np.linspace(0, len(everything) - 1, RECALL_QUERIES).astype(int)]
    best = _exact(asked, filled, sizes)
    rows = []
    for vectors in sizes:
        folder = options.work / f"shards-{vectors}"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was stopped
        row = _measure(folder, vectors, prints, filled, queries, console=console)
        row["recall"] = _recall(folder, row, asked, best[vectors])
        console.print(row)
        rows.append(row)
        options.out.write_text(json.dumps(rows, indent=1))
        shutil.rmtree(folder)
    return 0


def _measure(
    folder: Path,
    vectors: int,
    prints: list[ReferencePrint],
    filled: NDArray[np.int8],
    queries: list[NDArray[np.float32]],
    *,
    console: Console,
) -> dict[str, Any]:
    def named() -> Iterator[tuple[Entry, ReferencePrint]]:
        for number, heard in enumerate(tracks(prints, filled, vectors=vectors)):
            yield Entry(number, f"track-{number:06d}", "a" * 64, "b" * 64), heard

    ref, build_s, build_cpu_s = _timed(lambda: write_shard(folder, "scale", named()))
    row: dict[str, Any] = {
        "vectors": ref.windows,
        "dimension": int(filled.shape[1]),
        "questions": len(queries[0]),
        "tracks": ref.tracks,
        "real_vectors": sum(len(heard.vectors) for heard in prints),
        "lists": plan(ref.windows).lists,
        "probes": plan(ref.windows).probes,
        "bytes_a_vector": ref.files["index.faiss"].size_bytes / ref.windows,
        "bytes_a_window_by_file": {name: seal.size_bytes / ref.windows for name, seal in ref.files.items()},
        "build_s": build_s,
        "build_cpu_s": build_cpu_s,
    }
    console.print(row)
    row["start"] = _start_apart(folder, ref)
    shard = open_shard(folder, ref, verify=())
    searches = []
    for number in range(SEARCHES + 1):
        query = queries[number % len(queries)]
        _, wall_s, cpu_s = _timed(lambda asked=query: shard.nearest(asked, K, alive=None))  # type: ignore[misc]
        searches.append((wall_s, cpu_s))
    measured = np.array(searches[1:])  # the first reads the file
    for at, name in ((0, "wall"), (1, "cpu")):
        row[f"search_{name}_ms"] = {
            p: float(np.percentile(measured[:, at], int(p)) * 1e3) for p in ("50", "99")
        }
    return row


def _exact(
    asked: NDArray[np.float32], filled: NDArray[np.int8], sizes: list[int], *, at_once: int = 50_000
) -> dict[int, NDArray[np.int64]]:
    """The K nearest rows of each query among the first n vectors, for each n of `sizes`."""
    best = np.zeros((len(asked), 0), np.float32)
    rows = np.zeros((len(asked), 0), np.int64)
    found = {}
    edges = sorted({*range(0, sizes[-1], at_once), *sizes})
    for first, last in pairwise(edges):
        block = filled[first:last].astype(np.float32)
        cosines, near = faiss.knn(asked, block, min(K, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best, rows = np.concatenate([best, cosines], 1), np.concatenate([rows, near + first], 1)
        kept = np.argsort(-best, axis=1, kind="stable")[:, :K]
        best, rows = np.take_along_axis(best, kept, 1), np.take_along_axis(rows, kept, 1)
        if last in sizes:
            found[last] = rows
    return found


def _recall(
    folder: Path, row: dict[str, Any], asked: NDArray[np.float32], best: NDArray[np.int64]
) -> list[dict[str, float]]:
    """recall@20 by probes, against comparing with every vector, and the CPU time of one upload's search."""
    index = load(folder / "scale" / INDEX_FILE)
    # A shard holds whole tracks: the last few rows that were compared with may not be in it.
    kept = [{row_id for row_id in rows if row_id < row["vectors"]} for rows in best.tolist()]
    found = []
    for probes in PROBES:
        (_, near), _, cpu_s = _timed(lambda p=probes: nearest(index, asked, K, probes=p))  # type: ignore[misc]
        hits = [len(set(a) & b) / len(b) for a, b in zip(near.tolist(), kept, strict=True)]
        found.append(
            {"probes": probes, "recall": float(np.mean(hits)), "cpu_ms": cpu_s / len(asked) * QUESTIONS * 1e3}
        )
    return found


def _start_apart(folder: Path, ref: ShardRef) -> dict[str, float]:
    about = folder / "start.json"
    about.write_bytes(to_json(Manifest(number=1, model_sha256="", shards=(ref,))))
    command = [sys.executable, "-m", "bench.scale", "--prints", ".", "--work", ".", "--start", str(about)]
    answered = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(answered.stdout.splitlines()[-1])
    return found


def _start(about: Path) -> dict[str, float]:
    """Opens the shard as a worker does; memory in MiB: of its own, and mapped pages that it touched."""
    (ref,) = from_json(about.read_bytes(), name=str(about)).shards
    own_before, mapped_before = _memory_mib()
    shard, open_s, _ = _timed(lambda: open_shard(about.parent, ref, verify=()))
    own_open, _ = _memory_mib()
    _, verify_s, verify_cpu_s = _timed(lambda: open_shard(about.parent, ref))
    dimension = load(about.parent / ref.name / INDEX_FILE).d
    query = np.random.default_rng(0).standard_normal((QUESTIONS, dimension)).astype(np.float32)
    for _ in range(3):
        shard.nearest(query / np.linalg.norm(query, axis=1, keepdims=True), K, alive=None)
    own_searched, mapped_searched = _memory_mib()
    return {
        "open_ms": open_s * 1e3,
        "verify_s": verify_s,
        "verify_cpu_s": verify_cpu_s,
        "own_mib_open": own_open - own_before,
        "own_mib_searched": own_searched - own_before,
        "mapped_mib_searched": mapped_searched - mapped_before,
    }


def _memory_mib() -> tuple[float, float]:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))  # type: ignore[return-value]


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What it returned, wall seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    sys.exit(main())
