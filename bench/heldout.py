"""AiBench on music that the detector never met: `python -m bench.heldout --help`.

    python -m classifiers.train_detector … --without-fold K --out FOLDS/K          # K = 0 to 3
    python -m bench.heldout --human tracks.csv --machine MANIFEST.csv --folds FOLDS --out DIR

Every family of generators and every package of human music is judged by the one detector of the four that
never met it. Takes a sample of each, spread evenly, and writes what AiBench writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.aibench import Job, judge
from bench.aibench_conditions import CONDITIONS, chosen
from bench.aibench_report import table, write_report
from bench.arguments import above_zero, at_least, names
from classifiers.ai.examples import Source
from classifiers.ai.training import FOLDS
from classifiers.train_detector import add_sources, sources_of
from soundalike.errors import SoundalikeError


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("bench.heldout", __doc__)
    parser.add_argument("--conditions", nargs="*", default=[], metavar="NAME", help=", ".join(CONDITIONS))
    parser.add_argument("--of-human", type=at_least(1), default=6, help="recordings of each package, at most")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        conditions = list(chosen(names(options.conditions)))
        real = [source for source in sources_of(options) if source.kind in ("human", "machine")]
        jobs = jobs_of(
            real,
            folds=options.folds,
            conditions=conditions,
            longest_s=options.longest_s,
            of_each={"human": options.of_human, "machine": options.of_machine},
        )
        results = judge(jobs, workers=options.workers, console=console)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    write_report(results, options.out)
    print(table(results))
    return 0


def parser_of(name: str, description: str | None) -> argparse.ArgumentParser:
    """With the options of whatever judges by the four detectors."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_sources(parser)
    parser.add_argument("--folds", type=Path, required=True, help="folder with the detectors 0, 1, 2, 3")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument(
        "--of-machine", type=at_least(1), default=8, help="recordings of each family, at most"
    )
    parser.add_argument("--longest-s", type=above_zero, default=60.0, help="judge this long a middle part")
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes")
    parser.set_defaults(without_fold=None)
    return parser


def jobs_of(
    sources: list[Source], *, folds: Path, conditions: list[str], longest_s: float, of_each: dict[str, int]
) -> list[Job]:
    """A job for each of the sample, with the detector that never met its group."""
    jobs: list[Job] = []
    for group in sorted({source.group for source in sources}):
        fold = next((index for index, fold in enumerate(FOLDS) if group in fold), None)
        if fold is None:  # stands in no fold: every detector has met it
            continue
        members = [source for source in sources if source.group == group]
        for source in spread(members, count=of_each[members[0].kind]):
            made = source.machine_made
            jobs.append((Path(source.path), group, made, conditions, folds / str(fold), longest_s))
    return jobs


def of_folds(sources: list[Source]) -> Iterator[tuple[int, list[Source], list[list[Source]]]]:
    """Of each fold that has both: its number, its human music, and what each of its families made."""
    for number, fold in enumerate(FOLDS):
        human = [source for source in sources if source.kind == "human" and source.group in fold]
        made = [source for source in sources if source.kind == "machine" and source.group in fold]
        families = [
            [source for source in made if source.group == group]
            for group in sorted({source.group for source in made})
        ]
        if human and families:
            yield number, human, families


def spread(members: list[Source], *, count: int) -> list[Source]:
    """So many at most, from the first to the last."""
    count = min(count, len(members))
    return [members[round(at)] for at in np.linspace(0, len(members) - 1, count)]


if __name__ == "__main__":
    sys.exit(main())
