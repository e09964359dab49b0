"""AiBench: is the second ear right, on folders it has never seen? `python -m bench.aibench --help`.

    python -m bench.aibench --human DIR --ai DIR --out DIR [--conditions clean mp3-64k …]

Every sub-folder of --ai is one generator; sub-folders of --human are sources, for the table of false
positives. Writes `results.json` (every number with its 95 % interval, every assessment), `results.md` and
`results.png`. Decoding is the pipeline's own; nothing is read but the files, no tag is looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import track

from bench.aibench_conditions import CONDITIONS, chosen, render
from bench.aibench_measure import Heard, cell, share, wilson
from bench.aibench_report import table, write_report
from bench.arguments import above_zero, at_least, names
from classifiers.ai.detector import Detector, load_detector
from classifiers.audio import Audio
from pipeline.decode import decode
from soundalike.errors import AudioError, SettingsError, SoundalikeError

LONGEST_S: Final = 180.0
"""Longer recordings are judged by their middle: three minutes decide, and conditions cost time
(`--longest-s`)."""
Job = tuple[Path, str, bool, list[str], Path | None, float]
"""File, source, whether a machine made it, conditions, weights (None: shipped), longest part in seconds."""
ENDINGS: Final = frozenset(
    {".mp3", ".ogg", ".opus", ".flac", ".wav", ".m4a", ".aac", ".aiff", ".aif", ".wma", ".oga", ".mp4"}
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.aibench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--human", type=Path, required=True, help="folder of human music")
    parser.add_argument(
        "--ai", type=Path, required=True, help="folder with one sub-folder for each generator"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--conditions", nargs="*", default=[], metavar="NAME", help=", ".join(CONDITIONS))
    parser.add_argument("--weights", type=Path, help="another detector's folder (default: the shipped one)")
    parser.add_argument(
        "--longest-s", type=above_zero, default=LONGEST_S, help="judge this long a middle part (default: 180)"
    )
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes (%(default)s)")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        results = run(
            human=files_of(options.human, what="--human"),
            machine=files_of(options.ai, what="--ai"),
            conditions=list(chosen(names(options.conditions))),
            weights=options.weights,
            longest_s=options.longest_s,
            workers=options.workers,
            console=console,
        )
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    write_report(results, options.out)
    print(table(results))
    return 0


def files_of(folder: Path, *, what: str) -> dict[str, list[Path]]:
    """Audio files by sub-folder (its name); those that lie in the folder itself under its own name."""
    if not folder.is_dir():
        raise SettingsError(f"{what} {folder}: no such folder")
    groups: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in ENDINGS and path.is_file():
            inside = path.relative_to(folder).parts
            groups.setdefault(inside[0] if len(inside) > 1 else folder.name, []).append(path)
    if not groups:
        raise SettingsError(f"{what} {folder}: no audio file in it ({', '.join(sorted(ENDINGS))})")
    return groups


def run(
    *,
    human: dict[str, list[Path]],
    machine: dict[str, list[Path]],
    conditions: list[str],
    weights: Path | None = None,
    longest_s: float = LONGEST_S,
    workers: int = 1,
    console: Console | None = None,
) -> dict[str, Any]:
    """Hear every file under every condition, and count."""
    jobs: list[Job] = [
        (path, source, made, conditions, weights, longest_s)
        for made, groups in ((False, human), (True, machine))
        for source, paths in groups.items()
        for path in paths
    ]
    return judge(jobs, workers=workers, console=console)


def judge(jobs: list[Job], *, workers: int = 1, console: Console | None = None) -> dict[str, Any]:
    """All jobs under the conditions of the first. What can't be decoded is named, not counted."""
    _, _, _, conditions, weights, longest_s = jobs[0]
    detector = load_detector(weights)
    heard: dict[str, list[Heard]] = {name: [] for name in conditions}
    skipped: list[dict[str, str]] = []
    with ProcessPoolExecutor(workers) as pool:
        answers: Iterable[dict[str, Heard] | str] = pool.map(_hear, jobs)
        for job, answer in zip(
            jobs, track(answers, "hearing", total=len(jobs), console=console), strict=True
        ):
            if isinstance(answer, str):
                skipped.append({"file": job[0].name, "why": answer})
                continue
            for name, one in answer.items():
                heard[name].append(one)
    return {
        "detector": {"name": detector.name, "sha256": detector.sha256},
        "longest_s": longest_s,
        "conditions": {name: summary(ones) for name, ones in heard.items()},
        "skipped": skipped,
        "assessments": {
            name: [
                {"file": one.file, "source": one.source, "machine_made": one.machine_made}
                | {"probability": one.probability, "low": one.low, "score": one.score, "reason": one.reason}
                for one in ones
            ]
            for name, ones in heard.items()
        },
    }


def summary(heard: list[Heard]) -> dict[str, Any]:
    """All generators together, each alone, and the false positives of each human source."""
    human = [one for one in heard if not one.machine_made]
    machine = [one for one in heard if one.machine_made]
    if not human or not machine:
        raise SettingsError("of one side nothing could be decoded: give other files")
    return {
        "all": cell(human, machine),
        "generators": {
            name: cell(human, [one for one in machine if one.source == name])
            for name in sorted({one.source for one in machine})
        },
        "human_sources": {
            name: _source([one for one in human if one.source == name])
            for name in sorted({one.source for one in human})
        },
    }


def _source(heard: list[Heard]) -> dict[str, Any]:
    accused = [one.accused for one in heard]
    return {
        "recordings": len(heard),
        "fpr_shipped": share(accused),
        "fpr_shipped_95": wilson(accused),
        "unknown": share([not one.known for one in heard]),
    }


@cache
def _detector(weights: Path | None) -> Detector:
    return load_detector(weights)


def _hear(job: Job) -> dict[str, Heard] | str:
    path, source, made, conditions, weights, longest_s = job
    try:
        audio = middle_of(decode(path).audio, longest_s=longest_s)
    except AudioError as error:
        return str(error)
    answers = {}
    for name in conditions:
        said = _detector(weights).assess(render(audio, name, file_name=path.name))
        answers[name] = Heard(
            file=path.name,
            source=source,
            machine_made=made,
            known=said.known,
            probability=said.probability,
            low=said.low,
            score=said.score,
            reason=said.reason,
        )
    return answers


def middle_of(audio: Audio, *, longest_s: float) -> Audio:
    length = round(longest_s * audio.sample_rate_hz)
    start = max(audio.samples.shape[1] - length, 0) // 2
    return Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)


if __name__ == "__main__":
    sys.exit(main())
