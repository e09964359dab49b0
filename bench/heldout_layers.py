"""Layers of machines over music that the detector never met: `python -m bench.heldout_layers --help`.

    python -m classifiers.train_detector … --without-fold K --out FOLDS/K          # K = 0 to 3
    python -m bench.heldout_layers --human tracks.csv --machine MANIFEST.csv --folds FOLDS --out DIR

Some recordings of every family of generators, each laid over a recording of the same fold as `bench.layers`
does it, judged by the one detector of the four that met neither. Writes what `bench.layers` writes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.heldout import of_folds, parser_of, spread
from bench.layers import LEVELS_DB, Pair, hear_all, report
from classifiers.ai.examples import Source
from classifiers.train_detector import sources_of
from soundalike.errors import SoundalikeError


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("bench.heldout_layers", __doc__)
    parser.add_argument(
        "--levels-db", type=float, nargs="+", default=LEVELS_DB, help="of the machine over the other"
    )
    parser.add_argument("--seed", type=int, default=0, help="draws what lies under each")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        pairs = pairs_of(
            sources_of(options),
            folds=options.folds,
            levels_db=tuple(options.levels_db),
            longest_s=options.longest_s,
            of_machine=options.of_machine,
            seed=options.seed,
        )
        answers = hear_all(pairs, workers=options.workers, console=console)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]", soft_wrap=True)
        return 2
    return report(answers, options.out, console=console)


def pairs_of(
    sources: list[Source],
    *,
    folds: Path,
    levels_db: tuple[float, ...],
    longest_s: float,
    of_machine: int,
    seed: int,
) -> list[Pair]:
    """Every machine-made recording of the sample over one human recording, drawn from the same fold."""
    random = np.random.default_rng(seed)
    pairs: list[Pair] = []
    for number, human, families in of_folds(sources):
        for members in families:
            for source in spread(members, count=of_machine):
                under = human[int(random.integers(len(human)))]
                files = Path(under.path), Path(source.path)
                pairs.append(Pair(*files, longest_s, levels_db, detector=folds / str(number)))
    return pairs


if __name__ == "__main__":
    sys.exit(main())
