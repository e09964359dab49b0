"""How fast the way of an upload is, stage by stage: audio seconds per wall second, and peak memory.

    python -m bench.throughput --catalog runs/sets/tune --uploads runs/sets/test --count 10 --tracks 1000

Each upload is decoded, turned into a picture, embedded, searched, aligned and judged as in the job, one
after the other in this process; each stage's wall time is summed. Figures of one run compare with each
other; on a shared machine they do not compare with another day's.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.clonebench.recordings import find
from classifiers.audio import Audio
from classifiers.fingerprint import Fingerprinter, ReferencePrint, load_fingerprinter
from classifiers.resample import to_mono
from classifiers.spectrogram import log_frequency_db
from index.matcher import Matcher
from pipeline.decode import decode
from pipeline.events import Upload
from pipeline.evidence import AiAssessment
from pipeline.loudness import integrated_lufs
from pipeline.policy import Case, judge
from soundalike.errors import AudioError, SettingsError

R = TypeVar("R")
LONGEST_S = 180.0
"""Of each recording: a usual upload."""


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
        lines = watch.time("search", partial(matcher.hypotheses, query))
        watch.time("align", partial(matcher.match, query, lines))
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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, required=True, help="folder of recordings to search in")
    parser.add_argument("--uploads", type=Path, required=True, help="folder of recordings to judge")
    parser.add_argument("--count", type=int, default=10, help="uploads to judge (default 10)")
    parser.add_argument("--tracks", type=int, default=0, help="fill the catalog up with invented tracks")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        uploads = _spread(find(options.uploads), options.count, folder=options.uploads)
        fingerprinter = load_fingerprinter()
        prints = _catalog(find(options.catalog), fingerprinter, console)
        matcher = Matcher(dict(fill_up(prints, options.tracks)))
        _decode(uploads[0])  # the decoding process starts once, not per upload
        watch, audio_s = measure(uploads, fingerprinter=fingerprinter, matcher=matcher, console=console)
    except SettingsError as error:
        console.print(f"throughput: {error}")
        return 2
    total = sum(watch.seconds.values())
    table = Table("stage", "s per 3 min", "audio s per wall s", "share")
    for stage, seconds in [*watch.seconds.items(), ("all", total)]:
        share = f"{seconds / total:.0%}"
        table.add_row(stage, f"{seconds / audio_s * 180:.3f}", f"{audio_s / max(seconds, 1e-9):,.0f}", share)
    Console().print(table)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(uploads)} uploads, {audio_s:.0f} s of audio, {matcher.tracks} catalog tracks,"
        f" {torch.get_num_threads()} threads; peak memory {peak_mib:.0f} MiB; {datetime.now(UTC):%Y-%m-%d}"
    )
    if options.out:
        figures = {
            "audio_s": audio_s,
            "stage_s": watch.seconds,
            "peak_mib": peak_mib,
            "tracks": matcher.tracks,
        }
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
