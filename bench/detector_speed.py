"""How long the second ear takes, decoding excluded: wall and CPU seconds of each recording.

    python -m bench.detector_speed RECORDING... [--seconds 180] [--repeats 6]

The best and the median of the repeats are shown, after one that is not counted. A recording of fewer seconds
is heard as it is. CPU seconds are those of all threads of this process, so two busy cores give two a second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.arguments import at_least, at_least_s
from classifiers.ai.detector import Detector, load_detector
from classifiers.ai.ground import LEAST_S
from classifiers.audio import Audio
from pipeline.decode import decode
from soundalike.errors import SoundalikeError


@dataclass(frozen=True, slots=True)
class Heard:
    """Of one recording: seconds of sound, wall seconds of each repeat, and the least CPU seconds."""

    duration_s: float
    wall_s: tuple[float, ...]
    cpu_s: float


def hear(detector: Detector, audio: Audio, *, seconds: float, repeats: int) -> Heard:
    """Assesses the first `seconds` of a recording `repeats` times, after once that is not counted."""
    heard = Audio(audio.samples[:, : round(seconds * audio.sample_rate_hz)], audio.sample_rate_hz)
    detector.assess(heard)
    wall_s, cpu_s = [], []
    for _ in range(repeats):
        began_s, busy_s = time.perf_counter(), time.process_time()
        detector.assess(heard)
        wall_s.append(time.perf_counter() - began_s)
        cpu_s.append(time.process_time() - busy_s)
    return Heard(heard.duration_s, tuple(wall_s), min(cpu_s))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.detector_speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", nargs="+", type=Path, metavar="RECORDING")
    parser.add_argument(
        "--seconds", type=at_least_s(LEAST_S), default=180.0, help="of each recording (%(default)s)"
    )
    parser.add_argument("--repeats", type=at_least(1), default=6, help="of each recording (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console()
    table = Table("recording", "s", "best wall s", "median wall s", "best CPU s")
    detector, failed = load_detector(), False
    for path in options.recordings:
        try:
            audio = decode(path).audio
        except SoundalikeError as error:
            console.print(f"detector_speed: {error}", style="red", highlight=False, soft_wrap=True)
            failed = True
            continue
        heard = hear(detector, audio, seconds=options.seconds, repeats=options.repeats)
        figures = (min(heard.wall_s), statistics.median(heard.wall_s), heard.cpu_s)
        table.add_row(path.name, f"{heard.duration_s:.0f}", *(f"{figure:.2f}" for figure in figures))
    if table.row_count:
        console.print(table)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
