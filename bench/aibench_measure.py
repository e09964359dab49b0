"""From assessments to numbers with intervals: one cell for each generator and condition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.calibration import ACCUSING
from classifiers.ai.evaluation import area_under_curve

DRAWS: Final = 500
Z_95: Final = 1.959964
LOWEST_SCORE: Final = -99.0
"""Where a recording of which nothing is known stands in the ranking: it is accused of nothing."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the detector said of one recording. source: the sub-folder; low and score None when not known."""

    file: str
    source: str
    machine_made: bool
    known: bool
    probability: float | None
    low: float | None
    score: float | None
    reason: str

    @property
    def accused(self) -> bool:
        """As the shipped policy decides: the low end of the interval reaches ACCUSING."""
        return self.low is not None and self.low >= ACCUSING

    @property
    def rank(self) -> float:
        return LOWEST_SCORE if self.score is None else self.score


def cell(human: Sequence[Heard], machine: Sequence[Heard], *, seed: int = 0) -> dict[str, Any]:
    """One generator (or all) under one condition. Shares with 95 % intervals: bootstrap, and Wilson.

    Recordings of which nothing is known count: as never accused, and as last in the ranking. `auc_known` is
    of the others alone, None where none is left of either.
    """
    low, high = ranks(human), ranks(machine)
    known_low, known_high = low[low > LOWEST_SCORE], high[high > LOWEST_SCORE]
    random = np.random.default_rng(seed)
    aucs, hits = [], []
    for _ in range(DRAWS):
        drawn_human = random.choice(low, low.size)
        drawn_machine = random.choice(high, high.size)
        aucs.append(area_under_curve(drawn_human, drawn_machine))
        hits.append(hits_at_one_percent(drawn_human, drawn_machine))
    both = known_low.size > 0 and known_high.size > 0
    return {
        "human": len(human),
        "machine": len(machine),
        "auc": area_under_curve(low, high),
        "auc_95": _quantiles(aucs),
        "auc_known": area_under_curve(known_low, known_high) if both else None,
        "tpr_at_1pct_fpr": hits_at_one_percent(low, high),
        "tpr_at_1pct_fpr_95": _quantiles(hits),
        "fpr_shipped": share([heard.accused for heard in human]),
        "fpr_shipped_95": wilson([heard.accused for heard in human]),
        "tpr_shipped": share([heard.accused for heard in machine]),
        "tpr_shipped_95": wilson([heard.accused for heard in machine]),
        "unknown_human": share([not heard.known for heard in human]),
        "unknown_machine": share([not heard.known for heard in machine]),
    }


def ranks(heard: Sequence[Heard]) -> NDArray[np.float64]:
    return np.array([one.rank for one in heard], dtype=np.float64)


def hits_at_one_percent(human: NDArray[np.float64], machine: NDArray[np.float64]) -> float:
    """At the lowest threshold that at most 1 % of the human recordings exceed: of fewer than 100, none."""
    allowed = int(0.01 * human.size)
    threshold = np.sort(human)[human.size - 1 - allowed]
    return float((machine > threshold).mean())


def share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")


def wilson(flags: Sequence[bool]) -> tuple[float, float]:
    """Score interval of a share; (0, 1) when there is nothing to count."""
    count = len(flags)
    if count == 0:
        return 0.0, 1.0
    rate, weight = sum(flags) / count, Z_95**2 / count
    middle = (rate + weight / 2) / (1 + weight)
    reach = Z_95 * math.sqrt(rate * (1 - rate) / count + weight / (4 * count)) / (1 + weight)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
