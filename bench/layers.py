"""A machine over human music: how often is it heard, and shown as mixed? `python -m bench.layers --help`.

    python -m bench.layers --human DIR --ai DIR --out DIR [--levels-db -6 0 6] [--count 40]

Pairs of one generated and one human recording, drawn by the seed. The generated one is laid over the other in
the middle of the stereo picture, as a voice is mixed, so many dB louder. Both are judged alone too, so that
what the layer hides can be told from what was not heard in the first place. Writes `layers.json` and prints a
table. Shares have Wilson's 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.aibench import files_of, middle_of
from bench.aibench_measure import wilson
from bench.arguments import above_zero, at_least
from classifiers.ai.calibration import ACCUSING
from classifiers.ai.degrade import resample, unclipped
from classifiers.ai.detector import Assessment, load_detector
from classifiers.audio import Audio
from pipeline.decode import decode
from soundalike.errors import SoundalikeError

RATE_HZ: Final = 44_100
ALONE: Final = ("human alone", "machine alone")
SAID: Final = ("stride", "mixed", "likely", "accused")
"""What is counted: a lattice was found, exact or in short spectra, the record calls it mixed, its probability
is over one half, and the policy would act."""

LEVELS_DB: Final = (-6.0, 0.0, 6.0)
"""Of the machine over the other."""

Answer = dict[str, dict[str, bool]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two files to be laid over each other. longest_s: of each. detector: its folder; None: as shipped."""

    human: Path
    machine: Path
    longest_s: float
    levels_db: tuple[float, ...]
    detector: Path | None = None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.layers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--human", type=Path, required=True, help="folder of human music")
    parser.add_argument("--ai", type=Path, required=True, help="folder of generated music")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--levels-db", type=float, nargs="+", default=LEVELS_DB, help="of the machine over the other"
    )
    parser.add_argument("--count", type=at_least(1), default=40, help="pairs (%(default)s)")
    parser.add_argument("--longest-s", type=above_zero, default=60.0, help="of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        human, machine = (
            [path for paths in files_of(folder, what=what).values() for path in paths]
            for folder, what in ((options.human, "--human"), (options.ai, "--ai"))
        )
        random = np.random.default_rng(options.seed)
        pairs: list[Pair] = [
            Pair(
                human[int(random.integers(len(human)))],
                machine[int(random.integers(len(machine)))],
                options.longest_s,
                tuple(options.levels_db),
            )
            for _ in range(options.count)
        ]
        answers = hear_all(pairs, workers=options.workers, console=console)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    return report(answers, options.out, console=console)


def hear_all(pairs: list[Pair], *, workers: int, console: Console) -> list[Answer | str]:
    with ProcessPoolExecutor(workers) as pool:
        return list(track(pool.map(hear, pairs), "hearing", total=len(pairs), console=console))


def report(answers: list[Answer | str], out: Path, *, console: Console) -> int:
    """Writes and prints what is said of all pairs that could be heard; 2 where none could."""
    results = summary([answer for answer in answers if isinstance(answer, dict)])
    skipped = [answer for answer in answers if isinstance(answer, str)]
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"layers": results, "skipped": skipped}, indent=1)
    (out / "layers.json").write_text(text + "\n", encoding="utf-8")
    Console().print(table(results))
    for why in skipped:
        console.print(f"left out: {why}", soft_wrap=True)
    return 0 if results else 2


def hear(pair: Pair) -> Answer | str:
    """What is said of both alone and of each mix; of what can't be decoded, why."""
    try:
        human, machine = (
            stereo(decode(path).audio, longest_s=pair.longest_s) for path in (pair.human, pair.machine)
        )
    except SoundalikeError as error:
        return str(error)
    mixes = {f"{level_db:+g} dB": mix(human, machine, level_db=level_db) for level_db in pair.levels_db}
    detector = load_detector(pair.detector)
    return {
        name: what_is_said(detector.assess(Audio(samples, RATE_HZ)))
        for name, samples in (dict(zip(ALONE, (human, machine), strict=True)) | mixes).items()
    }


def mix(human: NDArray[np.float32], machine: NDArray[np.float32], *, level_db: float) -> NDArray[np.float32]:
    """float32 [2, samples], as long as the shorter; the machine in the middle, `level_db` over the other."""
    length = min(human.shape[1], machine.shape[1])
    bed, voice = human[:, :length], machine[:, :length].mean(axis=0)
    ratio = 10 ** (level_db / 20) * rms(bed) / max(rms(voice), 1e-9)
    return unclipped(0.5 * (bed + np.float32(ratio) * voice))


def what_is_said(assessment: Assessment) -> dict[str, bool]:
    names = {sign.name for sign in assessment.signs}
    return {
        "stride": "stride" in names,
        "mixed": "mixed" in names,
        "likely": (assessment.probability or 0.0) > 0.5,
        "accused": (assessment.low or 0.0) >= ACCUSING,
    }


def summary(answers: list[Answer]) -> dict[str, Any]:
    """By layer and by what is said: how many of all, and the interval of the share."""
    layers = list(answers[0]) if answers else []
    return {
        layer: {"pairs": len(answers)}
        | {
            said: {
                "count": sum(answer[layer][said] for answer in answers),
                "share_95": wilson([answer[layer][said] for answer in answers]),
            }
            for said in SAID
        }
        for layer in layers
    }


def table(results: dict[str, Any]) -> Table:
    shown = Table("layer", "pairs", *SAID)
    for layer, row in results.items():
        cells = [
            f"{row[said]['count']} ({row[said]['share_95'][0]:.0%}–{row[said]['share_95'][1]:.0%})"
            for said in SAID
        ]
        shown.add_row(layer, str(row["pairs"]), *cells)
    return shown


def stereo(audio: Audio, *, longest_s: float) -> NDArray[np.float32]:
    """`longest_s` from the middle at RATE_HZ, float32 [2, samples]."""
    part = middle_of(audio, longest_s=longest_s).samples[:2]
    part = resample(part, rate_hz=audio.sample_rate_hz, to_hz=RATE_HZ)
    return np.repeat(part, 2, axis=0) if len(part) == 1 else part


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


if __name__ == "__main__":
    sys.exit(main())
