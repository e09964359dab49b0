"""Fit what a score is worth: how often unrelated music reaches it.

    python -m bench.calibrate --catalog runs/sets/train --unrelated runs/sets/tune --queries 1000

Excerpts of the unrelated music, as many of each length, each through one condition of CloneBench, are
searched in the catalog; what comes back is false by construction, so the two folders must not share an
artist. The best scores' upper tail is exponential, and its line is printed as the two constants of
`index/calibration.py`, which are copied there by hand, with the run that gave them. Short queries are judged
in another way, and brought to the scale of long ones (`index/cohort.py`): their lines, printed apart, agree
where its constants are right. Beyond what the line was fitted on, large catalogs and long uploads have
something taken off (`search_space`): a line fitted there (`--tracks`, `--lengths-s`) says if it suffices.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from bench.arguments import above_zero, at_least
from bench.clonebench.ours import Soundalike
from bench.clonebench.recordings import RATE_HZ, Recording, find, probe_all, read
from bench.clonebench.systems import Hit
from bench.conditions import CONDITIONS, Condition, Scene
from index.calibration import score_at
from index.matcher import SINGLE_BLOCK_S
from soundalike.errors import SettingsError

LENGTHS_S = (3.0, 5.0, 10.0, 30.0, 90.0)
TAIL_SHARE = 0.06
"""The queries with the best scores make the tail. Of 500, the best tenth made it a quarter longer (1.9 a
decade: segments begin at a score of 5, and the tail is bent there), the best twentieth a third shorter.
"""
FEWEST = 100
STATED = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Rates: how many queries reach a score of which the shipped calibration states so little."""
SHOWN = 10
"""Of the highest false matches, which should be listened to: they may be right."""


@dataclass(frozen=True, slots=True)
class Fit:
    """``rate(score) = 10 ** -((score - score_at_one) / score_per_decade)``; the tail begins at threshold."""

    queries: int
    with_a_match: int
    score_at_one: float
    score_per_decade: float
    threshold: float
    highest: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One query about music that the catalog does not hold. best: the surest of the false matches, if any."""

    length_s: float
    piece: str
    condition: str
    best: Hit | None

    @property
    def score(self) -> float:
        return self.best.score if self.best else 0.0


def fit_tail(scores: NDArray[np.float64]) -> Fit:
    """scores: float64 [queries], the best of each, 0 where nothing came back.

    The mean excess over a threshold estimates an exponential tail (Hill's estimator on a log scale).
    """
    if len(scores) < FEWEST:
        raise SettingsError(f"{len(scores)} queries can't show a tail; ask for at least {FEWEST} (--queries)")
    ordered = np.sort(scores)[::-1]
    count = int(TAIL_SHARE * len(ordered))
    threshold = float(ordered[count])
    excess = float(np.mean(ordered[:count] - threshold))
    per_decade = max(excess, 0.05) * math.log(10.0)
    share = count / len(ordered)
    return Fit(
        queries=len(scores),
        with_a_match=int(np.count_nonzero(scores)),
        score_at_one=threshold + per_decade * math.log10(share),
        score_per_decade=per_decade,
        threshold=threshold,
        highest=float(ordered[0]),
    )


def ask(
    system: Soundalike,
    unrelated: list[Recording],
    *,
    queries: int,
    lengths_s: tuple[float, ...] = LENGTHS_S,
    seed: int,
    progress: Progress,
) -> list[Asked]:
    random = np.random.default_rng(seed)
    conditions = [condition for condition in CONDITIONS.values() if condition.query_s is None]
    asked = []
    for number in progress.track(range(queries), description="Asking for unrelated music"):
        length_s = lengths_s[number % len(lengths_s)]
        condition = conditions[int(random.integers(len(conditions)))]
        recording, other = (unrelated[int(k)] for k in random.integers(len(unrelated), size=2))
        rendered = _render(
            condition, recording, other, wanted_s=length_s, random=random, seed=seed * 100_000 + number
        )
        best = max(system.query(rendered, RATE_HZ), key=lambda hit: hit.score, default=None)
        asked.append(Asked(length_s, recording.track_id, condition.name, best))
    return asked


def draw(files: list[Path], count: int | None) -> list[Path]:
    """The first `count` of the files in a random order that is always the same; None: all, as they are."""
    if count is None:
        return files
    if count > len(files):
        raise SettingsError(f"--tracks {count}: the catalog has {len(files)}")
    order = np.random.default_rng(0).permutation(len(files))
    return [files[number] for number in order[:count].tolist()]


def _render(
    condition: Condition,
    recording: Recording,
    other: Recording,
    *,
    wanted_s: float,
    random: np.random.Generator,
    seed: int,
) -> NDArray[np.float32]:
    # As long as the piece allows.
    query_s = min(wanted_s, 0.9 * recording.duration_s * wanted_s / condition.excerpt_s(wanted_s))
    need = condition.excerpt_s(query_s)
    start = float(random.uniform(0.0, recording.duration_s - need))
    excerpt = read(recording.path, start_s=start, duration_s=need)
    bed = read(other.path, duration_s=min(other.duration_s, condition.other_s(query_s) + 1.0))
    repeats = math.ceil((condition.other_s(query_s) + 1.0) * RATE_HZ / bed.shape[1])
    scene = Scene(excerpt=excerpt, other=np.tile(bed, (1, repeats)), rate_hz=RATE_HZ, seed=seed)
    return condition.render(scene)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--catalog", type=Path, required=True, help="folder of music to search in")
    parser.add_argument("--unrelated", type=Path, required=True, help="folder of music by other artists")
    parser.add_argument("--queries", type=at_least(1), default=1000)
    parser.add_argument(
        "--lengths-s",
        type=above_zero,
        nargs="+",
        default=LENGTHS_S,
        metavar="S",
        help="of the excerpts; a piece that is shorter gives what it can (default 3 5 10 30 90)",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tracks",
        type=at_least(1),
        metavar="N",
        help="search in so many of the catalog's tracks, drawn at random; a larger draw holds the smaller",
    )
    parser.add_argument(
        "--seconds", type=above_zero, default=120.0, help="of each catalog track (default 120)"
    )
    parser.add_argument("--model", help="folder of another embedder")
    parser.add_argument("--out", type=Path, help="also write the figures to this JSON file")
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        system = Soundalike(options.model)
        with Progress(console=console) as progress:
            files = draw(find(options.catalog), options.tracks)
            for path in progress.track(files, description="Reading the catalog"):
                system.add(path.name, read(path)[:, : round(options.seconds * RATE_HZ)], RATE_HZ)
            unrelated, left_out = probe_all(find(options.unrelated), folder=options.unrelated)
            for name, why in left_out.items():
                console.print(f"left out: {name}: {why}")
            asked = ask(
                system,
                unrelated,
                queries=options.queries,
                lengths_s=tuple(options.lengths_s),
                seed=options.seed,
                progress=progress,
            )
        fit = fit_tail(np.array([one.score for one in asked]))
    except SettingsError as error:
        console.print(f"calibrate: {error}")
        return 2
    scores = {
        length_s: np.array([one.score for one in asked if one.length_s == length_s])
        for length_s in options.lengths_s
    }
    apart = {
        kind: np.array([one.score for one in asked if (one.length_s <= SINGLE_BLOCK_S) == (kind == "short")])
        for kind in ("short", "long")
    }
    figures = asdict(fit) | {"tracks": len(files), "model": system.version, "seed": options.seed}
    figures["apart"] = {
        kind: asdict(fit_tail(found)) for kind, found in apart.items() if len(found) >= FEWEST
    }
    figures["reach_what_is_stated_as"] = {
        f"{rate:g}": sum(one.score >= score_at(rate) for one in asked) for rate in STATED
    }
    figures["nine_tenths_under"] = {
        f"{length_s:g}": round(float(np.quantile(found, 0.9)), 2) for length_s, found in scores.items()
    }
    figures["highest_matches"] = [
        asdict(one) for one in sorted(asked, key=lambda one: -one.score)[:SHOWN] if one.best
    ]
    figures["scores"] = {
        f"{length_s:g}": [round(one, 2) for one in sorted(found.tolist(), reverse=True)]
        for length_s, found in scores.items()
    }
    json.dump(figures, sys.stdout, indent=1)
    print()
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
