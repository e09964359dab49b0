"""How fast the way of an upload is, stage by stage: audio seconds per wall second, and peak memory.

    python -m bench.throughput --catalog runs/sets/tune --uploads runs/sets/test --tracks 100,1000,10000

Each upload is decoded, turned into a picture, embedded, searched, aligned and judged as in the job, one
after the other; each stage's wall time is summed. The catalog lies in a mapped shard, as a worker has it, and
each of its sizes is measured in a process of its own, so that the peak memory is that of recognising alone.
Figures of one run compare with each other; on a shared machine they do not compare with another day's.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.arguments import at_least
from bench.clonebench.recordings import find
from classifiers.audio import Audio
from classifiers.fingerprint import Fingerprinter, ReferencePrint, load_fingerprinter
from classifiers.resample import to_mono
from classifiers.spectrogram import log_frequency_db
from index.changelog import Entry
from index.library import Library, Masked
from index.manifest import Manifest, from_json, to_json
from index.matcher import Matcher
from index.shards import open_shard, write_shard
from pipeline.decode import decode
from pipeline.events import Upload
from pipeline.evidence import AiAssessment
from pipeline.loudness import integrated_lufs
from pipeline.policy import Case, judge
from soundalike.errors import AudioError, SettingsError

R = TypeVar("R")
LONGEST_S = 180.0
"""Of each recording: a usual upload."""
MANIFEST = "manifest.json"
RECOGNISING = ("spectrogram", "embed", "search", "align")


class Stopwatch:
    """Wall seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, stage: str, work: Callable[[], R]) -> R:
        started = time.perf_counter()
        result = work()
        self.seconds[stage] += time.perf_counter() - started
        return result


def measure(
    paths: list[Path], *, fingerprinter: Fingerprinter, matcher: Matcher, console: Console
) -> tuple[Stopwatch, float]:
    """Stage times and the audio seconds they are for."""
    watch = Stopwatch()
    audio_s = 0.0
    for path in track(paths, description="Uploads", console=console):
        audio = watch.time("decode", partial(_decode, path))
        audio_s += audio.duration_s
        watch.time("loudness", partial(integrated_lufs, audio))
        mono = watch.time("resample", partial(to_mono, audio))
        picture = watch.time("spectrogram", partial(log_frequency_db, mono))
        query = watch.time("embed", partial(fingerprinter.query_of, picture, duration_s=audio.duration_s))
        proposals = watch.time("search", partial(matcher.propose, query))
        watch.time("align", partial(matcher.match, query, proposals))
        upload = Upload(upload_id=path.stem[:100], uri=path.absolute().as_uri(), uploader="bench")
        watch.time("judge", partial(judge, Case(upload=upload, ai=AiAssessment())))
    return watch, audio_s


def _decode(path: Path) -> Audio:
    audio = decode(path).audio
    return Audio(audio.samples[:, : round(LONGEST_S * audio.sample_rate_hz)], audio.sample_rate_hz)


def _spread(paths: list[Path], count: int, *, folder: Path) -> list[Path]:
    if not paths:
        raise SettingsError(f"{folder} holds no recordings")
    return paths[:: max(len(paths) // count, 1)][:count]


def _catalog(paths: list[Path], fingerprinter: Fingerprinter, console: Console) -> dict[str, ReferencePrint]:
    prints = {}
    for path in track(paths, description="Catalog", console=console):
        try:
            prints[path.name] = fingerprinter.reference(_decode(path))
        except AudioError as error:
            console.print(f"left out: {error}")
    return prints


def fill_up(
    prints: Mapping[str, ReferencePrint], tracks: int, *, seed: int = 0
) -> Iterator[tuple[str, ReferencePrint]]:
    """The prints, and as many more made from them as make `tracks`: how cost grows, without more music.

    An invented track has a real one's windows in another order, each moved to a cosine of about 0.8 of itself
    (two renderings of one tune lie about so), and its contour rolled in time.
    """
    yield from prints.items()
    random = np.random.default_rng(seed)
    models = sorted(prints)
    for number in range(len(prints), tracks):
        model = prints[models[int(random.integers(len(models)))]]
        vectors = model.vectors[random.permutation(len(model.vectors))] / 127.0
        noise = random.normal(size=vectors.shape) * (0.75 / math.sqrt(max(vectors.shape[1], 1)))
        moved = vectors + noise
        moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-6)
        yield (
            f"invented-{number}",
            replace(
                model,
                vectors=np.round(moved * 127.0).astype(np.int8),
                contour=np.roll(model.contour, int(random.integers(max(len(model.contour), 1))), axis=0),
            ),
        )


def _write(prints: Mapping[str, ReferencePrint], tracks: int, folder: Path) -> None:
    """A catalog of that size in one shard, with what a process needs to open it."""
    named = enumerate(fill_up(prints, tracks))
    ref = write_shard(
        folder,
        "bench",
        ((Entry(number, track_id, "0" * 64, "0" * 64), heard) for number, (track_id, heard) in named),
    )
    (folder / MANIFEST).write_bytes(to_json(Manifest(model_sha256="0" * 64, shards=(ref,))))


def _measure_here(folder: Path, uploads: list[Path], console: Console) -> dict[str, Any]:
    """Opens the catalog that was written to `folder` and judges the uploads."""
    (ref,) = from_json((folder / MANIFEST).read_bytes(), name=MANIFEST).shards
    shard = open_shard(folder, ref, verify=())
    matcher = Matcher(Library([Masked(shard, frozenset(), None)], {}))
    _decode(uploads[0])  # the decoding process starts once, not per upload
    watch, audio_s = measure(uploads, fingerprinter=load_fingerprinter(), matcher=matcher, console=console)
    return {
        "tracks": matcher.tracks,
        "uploads": len(uploads),
        "audio_s": audio_s,
        "stage_s": dict(watch.seconds),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "threads": torch.get_num_threads(),
    }


def _measure_apart(folder: Path, arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.throughput", *arguments, "--opened", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def table(measured: list[dict[str, Any]]) -> Table:
    """Seconds a three-minute upload by stage, one column a catalog size."""
    shown = Table("s per 3 min", *(f"{row['tracks']:,} tracks" for row in measured))

    def line(name: str, value: Callable[[dict[str, Any]], str]) -> None:
        shown.add_row(name, *(value(row) for row in measured))

    def seconds(row: dict[str, Any], stages: Collection[str]) -> float:
        spent: float = sum(row["stage_s"][stage] for stage in stages)
        return spent / float(row["audio_s"]) * 180.0

    stages = list(measured[0]["stage_s"])
    for stage in stages:
        line(stage, lambda row, stage=stage: f"{seconds(row, [stage]):.3f}")  # type: ignore[misc]
    line("recognising", lambda row: f"{seconds(row, RECOGNISING):.3f}")
    line("all", lambda row: f"{seconds(row, stages):.3f}")
    line("audio s per wall s", lambda row: f"{180.0 / seconds(row, stages):.0f}")
    line("peak memory, MiB", lambda row: f"{row['peak_mib']:.0f}")
    return shown


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, required=True, help="folder of recordings to search in")
    parser.add_argument("--uploads", type=Path, required=True, help="folder of recordings to judge")
    parser.add_argument("--count", type=at_least(1), default=10, help="uploads to judge (default 10)")
    parser.add_argument(
        "--tracks", default="1000", help="catalog sizes, reached with invented tracks (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--opened", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    console = Console(stderr=True)
    try:
        uploads = _spread(find(options.uploads), options.count, folder=options.uploads)
        if options.opened is not None:
            print(json.dumps(_measure_here(options.opened, uploads, console)))
            return 0
        sizes = [int(part) for part in options.tracks.split(",")]
        prints = _catalog(find(options.catalog), load_fingerprinter(), console)
    except (SettingsError, ValueError) as error:
        console.print(f"throughput: {error}")
        return 2
    measured = []
    for size in sizes:
        with TemporaryDirectory(prefix="soundalike-throughput-") as folder:
            _write(prints, size, Path(folder))
            measured.append(_measure_apart(Path(folder), given))
    Console().print(table(measured))
    row = measured[0]
    print(
        f"{row['uploads']} uploads, {row['audio_s']:.0f} s of audio, {row['threads']} threads;"
        f" {datetime.now(UTC):%Y-%m-%d}"
    )
    if options.out:
        options.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
