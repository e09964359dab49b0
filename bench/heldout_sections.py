"""Sections by machines that the detector never met: `python -m bench.heldout_sections --help`.

    python -m classifiers.train_detector … --without-fold K --out FOLDS/K          # K = 0 to 3
    python -m bench.heldout_sections --human tracks.csv --machine MANIFEST.csv --folds FOLDS --out DIR

Some recordings of every family of generators, each spliced into a recording of the same fold as
`bench.sections` does it, judged by the one detector of the four that met none of the three. Writes what
`bench.sections` writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.heldout import of_folds, parser_of, spread
from bench.sections import LONGEST_S, Triple, add_sections, hear_all, report
from classifiers.ai.examples import Source
from classifiers.train_detector import sources_of
from soundalike.errors import SoundalikeError


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("bench.heldout_sections", __doc__)
    parser.set_defaults(longest_s=LONGEST_S)
    add_sections(parser)
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        triples = triples_of(
            sources_of(options),
            folds=options.folds,
            sections_s=tuple(options.sections_s),
            longest_s=options.longest_s,
            of_machine=options.of_machine,
            seed=options.seed,
        )
        answers = hear_all(triples, workers=options.workers, console=console)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    return report(answers, options.out, console=console)


def triples_of(
    sources: list[Source],
    *,
    folds: Path,
    sections_s: tuple[float, ...],
    longest_s: float,
    of_machine: int,
    seed: int,
) -> list[Triple]:
    """Every machine-made recording of the sample, with two human ones that are drawn from the same fold."""
    random = np.random.default_rng(seed)
    triples: list[Triple] = []
    for number, human, families in of_folds(sources):
        for members in families:
            for source in spread(members, count=of_machine):
                under, other = (human[int(random.integers(len(human)))] for _ in range(2))
                files = Path(under.path), Path(other.path), Path(source.path)
                at = float(random.random())
                triples.append(Triple(*files, at, sections_s, longest_s, detector=folds / str(number)))
    return triples


if __name__ == "__main__":
    sys.exit(main())
