"""A machine's section in a human song: is it shown as mixed, and where? `python -m bench.sections --help`.

    python -m bench.sections --human DIR --ai DIR --out DIR [--sections-s 20 40] [--count 40]

Triples of two human and one generated recording, drawn by the seed. A section of the first is replaced, as
loud, by the middle of the generated one, and for comparison by the middle of the other human one: a medley is
no machine. All are judged, the first and the generated one alone too. Writes `sections.json` and prints a
table. Shares have Wilson's 95 % intervals; a recording too short for a section is left out of its rows.
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
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.aibench import files_of
from bench.aibench_measure import wilson
from bench.arguments import above_zero, at_least
from bench.layers import ALONE, RATE_HZ, rms, stereo, what_is_said
from classifiers.ai.degrade import unclipped
from classifiers.ai.detector import Assessment, load_detector
from classifiers.ai.evaluation import area_under_curve
from classifiers.ai.mixed import MACHINE_AT_LEAST
from classifiers.audio import Audio
from pipeline.decode import decode
from soundalike.errors import SoundalikeError

SECTIONS_S: Final = (20.0, 40.0)
LONGEST_S: Final = 180.0
EDGE_S: Final = 5.0
"""Of the song before a section and after it, at least."""
FADE_S: Final = 0.05
ROUNDING_S: Final = 1.0
"""A segment that is so nearly inside a section is inside."""
COUNTED: Final = ("mixed", "there", "likely", "accused")
"""What is counted: the record calls it mixed, the most suspicious segment lies in the section, the
probability is over one half, and the policy would act."""


@dataclass(frozen=True, slots=True)
class Triple:
    """Three files; at: in [0, 1], where between both edges a section lies. detector: see `bench.layers`."""

    human: Path
    other: Path
    machine: Path
    at: float
    sections_s: tuple[float, ...]
    longest_s: float
    detector: Path | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """said: COUNTED and more, by name. inside, outside: of the segments all in the section, or out of it."""

    said: dict[str, bool]
    inside: tuple[float, ...]
    outside: tuple[float, ...]


Answer = dict[str, Heard]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sections",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--human", type=Path, required=True, help="folder of human music")
    parser.add_argument("--ai", type=Path, required=True, help="folder of generated music")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--count", type=at_least(1), default=40, help="triples (%(default)s)")
    parser.add_argument("--longest-s", type=above_zero, default=LONGEST_S, help="of each (%(default)s)")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes (%(default)s)")
    add_sections(parser)
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        human, machine = (
            [path for paths in files_of(folder, what=what).values() for path in paths]
            for folder, what in ((options.human, "--human"), (options.ai, "--ai"))
        )
        random = np.random.default_rng(options.seed)
        triples = [
            Triple(
                human[int(random.integers(len(human)))],
                human[int(random.integers(len(human)))],
                machine[int(random.integers(len(machine)))],
                float(random.random()),
                tuple(options.sections_s),
                options.longest_s,
            )
            for _ in range(options.count)
        ]
        answers = hear_all(triples, workers=options.workers, console=console)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    return report(answers, options.out, console=console)


def add_sections(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--sections-s", type=above_zero, nargs="+", default=SECTIONS_S, help="seconds of a section (20 40)"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws what is spliced, and where")


def hear_all(triples: list[Triple], *, workers: int, console: Console) -> list[Answer | str]:
    with ProcessPoolExecutor(workers) as pool:
        return list(track(pool.map(hear, triples), "hearing", total=len(triples), console=console))


def hear(triple: Triple) -> Answer | str:
    """What is said of both alone and of each splice; of what can't be decoded, why."""
    try:
        human, other, machine = (
            stereo(decode(path).audio, longest_s=triple.longest_s)
            for path in (triple.human, triple.other, triple.machine)
        )
    except SoundalikeError as error:
        return str(error)
    detector = load_detector(triple.detector)
    answer: Answer = {}
    for name, samples in zip(ALONE, (human, machine), strict=True):
        answer[name] = what_is_heard(detector.assess(Audio(samples, RATE_HZ)), None)
    for section_s in triple.sections_s:
        length, edge = round(section_s * RATE_HZ), round(EDGE_S * RATE_HZ)
        room = human.shape[1] - length - 2 * edge
        for name, part in ((f"{section_s:g} s of others", other), (f"{section_s:g} s by a machine", machine)):
            if room < 0 or part.shape[1] < length:
                continue
            start = edge + round(triple.at * room)
            spliced = Audio(splice(human, part, start=start, length=length), RATE_HZ)
            at_s = (start / RATE_HZ, (start + length) / RATE_HZ)
            answer[name] = what_is_heard(detector.assess(spliced), at_s)
    return answer


def splice(
    human: NDArray[np.float32], part: NDArray[np.float32], *, start: int, length: int
) -> NDArray[np.float32]:
    """`human`, float32 [2, samples], with `length` samples from the middle of `part` instead of its own from
    `start` on, as loud as those were.
    """
    first = (part.shape[1] - length) // 2
    there = part[:, first : first + length]
    before = human[:, start : start + length]
    there = there * np.float32(rms(before) / max(rms(there), 1e-9))
    fade = np.minimum(np.arange(length), np.arange(length)[::-1]) / (FADE_S * RATE_HZ)
    weight = np.minimum(fade, 1.0).astype(np.float32)
    spliced = human.copy()
    spliced[:, start : start + length] = weight * there + (1 - weight) * before
    return unclipped(spliced)


def what_is_heard(assessment: Assessment, section_s: tuple[float, float] | None) -> Heard:
    """section_s: where it begins and ends; None: there is none."""
    said = what_is_said(assessment)
    inside: list[float] = []
    outside: list[float] = []
    start_s, end_s = section_s or (np.inf, np.inf)
    for first_s, last_s, probability in assessment.segments:
        if first_s >= start_s - ROUNDING_S and last_s <= end_s + ROUNDING_S:
            inside.append(probability)
        elif last_s <= start_s or first_s >= end_s:
            outside.append(probability)
    there = bool(inside) and max(inside) > max(outside, default=0.0)
    return Heard(said | {"there": there}, tuple(inside), tuple(outside))


def report(answers: list[Answer | str], out: Path, *, console: Console) -> int:
    """Writes and prints what is said of all triples that could be heard; 2 where none could."""
    results = summary([answer for answer in answers if isinstance(answer, dict)])
    skipped = [answer for answer in answers if isinstance(answer, str)]
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"sections": results, "skipped": skipped}, indent=1)
    (out / "sections.json").write_text(text + "\n", encoding="utf-8")
    Console().print(table(results))
    for why in skipped:
        console.print(f"left out: {why}", soft_wrap=True)
    return 0 if results else 2


def summary(answers: list[Answer]) -> dict[str, Any]:
    """By row: of how many recordings each of COUNTED is true, and what the segments say."""
    rows = list(dict.fromkeys(name for answer in answers for name in answer))
    return {row: _summed([answer[row] for answer in answers if row in answer]) for row in rows}


def _summed(heard: list[Heard]) -> dict[str, Any]:
    counts = {
        name: {
            "count": sum(one.said[name] for one in heard),
            "share_95": wilson([one.said[name] for one in heard]),
        }
        for name in COUNTED
    }
    inside, outside = (
        np.array([value for one in heard for value in getattr(one, where)]) for where in ("inside", "outside")
    )
    segments = {
        "inside": _share_over(inside),
        "outside": _share_over(outside),
        "auc": area_under_curve(outside, inside) if inside.size and outside.size else None,
    }
    return {"recordings": len(heard), **counts, "segments": segments}


def _share_over(probabilities: NDArray[np.float64]) -> float | None:
    """Of the segments the share that sounds machine-made."""
    return float((probabilities >= MACHINE_AT_LEAST).mean()) if probabilities.size else None


def table(results: dict[str, Any]) -> Table:
    shown = Table("", "of", *COUNTED, "inside", "outside", "AUC", box=box.SIMPLE, padding=(0, 1, 0, 0))
    shown.columns[0].no_wrap = True
    shown.caption = (
        "of so many recordings, over 95 % intervals of the shares in per cent;"
        " and of segments inside and outside of the section the share that sounds machine-made"
    )
    for name, row in results.items():
        counts = [row[said] for said in COUNTED]
        cells = [
            "{}\n{:.0f}–{:.0f}".format(one["count"], *(100 * edge for edge in one["share_95"]))
            for one in counts
        ]
        segments = row["segments"]
        shares = ["" if segments[part] is None else f"{segments[part]:.0%}" for part in ("inside", "outside")]
        auc = "" if segments["auc"] is None else f"{segments['auc']:.2f}"
        shown.add_row(name, str(row["recordings"]), *cells, *shares, auc)
    return shown


if __name__ == "__main__":
    sys.exit(main())
