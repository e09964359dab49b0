"""From a score to a probability with an interval, and to a false-positive rate that means what it says.

Scores of human recordings that the model never heard give the conformal rate: of n such recordings,
(k + 1) / (n + 1) score at least this high, which bounds the chance that the next human recording of the
same kind does, whatever the scores' distribution (Vovk, Gammerman, Shafer 2005). Tracks count by the root of
their package's size, so that the largest package is not the measure of all music.

The probability is a logistic curve through the same scores, both classes weighing the same: it answers for
an even prior, and whoever knows the share of machine-made uploads can shift it. Its interval comes from
drawing packages and generator families anew, not clips, because the next upload comes from neither.

Two parameters don't follow the tail, where people are accused. There the curve is lifted to what was counted:
the share of machine-made recordings among all that score at least this high. So `low` reaches `ACCUSING`
exactly where the conformal rate is at most `FALSE_POSITIVES`, stays under twice that when packages are drawn
anew, and that share is large enough; never else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Float = NDArray[np.float64]

FALSE_POSITIVES: Final = 0.01
FALSE_POSITIVES_AT_MOST: Final = 0.02
"""What that rate may reach when packages are drawn anew (INTERVAL): new music is a new package."""
ACCUSING: Final = 0.9
"""The lower bound from which the policy takes the detector at its word (policy default)."""
CAUTIOUS: Final = ACCUSING - 0.01
"""Where `low` stays below the threshold."""
INTERVAL: Final = (5.0, 95.0)
DRAWS: Final = 200
SCORES: Final = np.linspace(-6.0, 6.0, 121)
"""Knots of the tables: every 0.1 of log odds."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a score means. Shares in [0, 1], low ≤ probability ≤ high."""

    probability: float
    low: float
    high: float
    false_positive_rate: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Monotone curves over `SCORES`, each float64 [121]."""

    probability: Float
    low: Float
    high: Float
    false_positive_rate: Float
    threshold: float
    """The least score from which `low` reaches ACCUSING; infinite if none does."""

    def read(self, score: float) -> Reading:
        probability, low, high, rate = (
            float(np.interp(score, SCORES, curve))
            for curve in (self.probability, self.low, self.high, self.false_positive_rate)
        )
        if score < self.threshold:
            low = min(low, CAUTIOUS)
        return Reading(probability, min(low, probability), max(high, probability), rate)

    def to_document(self) -> dict[str, Any]:
        curves = ("probability", "low", "high", "false_positive_rate")
        return {name: [round(float(value), 5) for value in getattr(self, name)] for name in curves} | {
            "threshold": self.threshold
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Calibration:
        curves = {
            name: np.asarray(document[name], dtype=np.float64)
            for name in ("probability", "low", "high", "false_positive_rate")
        }
        if any(curve.shape != SCORES.shape for curve in curves.values()):
            raise ValueError(f"calibration curves need {SCORES.size} points each")
        return cls(**curves, threshold=float(document["threshold"]))


def calibrate(
    scores: Float,
    *,
    machine_made: NDArray[np.bool_],
    groups: NDArray[np.str_],
    false_positives: float = FALSE_POSITIVES,
    seed: int = 0,
) -> Calibration:
    """scores, machine_made, groups: [recordings]; each score from a model that knows no kin of it.

    false_positives: the conformal rate from which `low` may reach ACCUSING.
    """
    weights = group_weights(groups, machine_made=machine_made)
    probability = _logistic(scores, machine_made, weights)
    random = np.random.default_rng(seed)
    rate = conformal_rate(scores[~machine_made], SCORES, weights=weights[~machine_made])
    tail = _tail(scores, machine_made, weights, rate)
    curves, tails, rates = [], [], []
    for _ in range(DRAWS):
        drawn = weights * _draw_groups(groups, machine_made, random)
        curves.append(_logistic(scores, machine_made, drawn))
        tails.append(_tail(scores, machine_made, drawn, rate))
        rates.append(conformal_rate(scores[~machine_made], SCORES, weights=drawn[~machine_made]))
    low, high = np.percentile(curves, INTERVAL, axis=0)
    tail_low = np.percentile(tails, INTERVAL[0], axis=0)
    rate_high = np.percentile(rates, INTERVAL[1], axis=0)
    accusing = (rate <= false_positives) & (np.maximum.accumulate(tail_low) >= ACCUSING)
    accusing &= rate_high <= FALSE_POSITIVES_AT_MOST * false_positives / FALSE_POSITIVES
    low = np.where(accusing, np.maximum(low, np.maximum.accumulate(tail_low)), np.minimum(low, CAUTIOUS))
    probability = np.where(accusing, np.maximum(probability, np.maximum.accumulate(tail)), probability)
    threshold = float(SCORES[accusing.argmax()]) if accusing.any() else float("inf")
    return Calibration(
        probability, np.maximum.accumulate(low), np.maximum(high, probability), rate, threshold
    )


def conformal_rate(human: Float, at: Float, *, weights: Float | None = None) -> Float:
    """The share of human scores at or above each of `at`, one more human counted in: never zero."""
    share = np.ones_like(human) if weights is None else weights / weights.mean()
    order = np.argsort(human)
    above = np.concatenate((np.cumsum(share[order][::-1])[::-1], [0.0]))
    first = np.searchsorted(human[order], at, side="left")
    return np.asarray((above[first] + 1.0) / (human.size + 1.0))


def group_weights(groups: NDArray[np.str_], *, machine_made: NDArray[np.bool_]) -> Float:
    """Each group by the root of its size, both classes to the same sum, mean 1."""
    weights = np.zeros(groups.size)
    for machine in (False, True):
        members = machine_made == machine
        names, inverse, counts = np.unique(groups[members], return_inverse=True, return_counts=True)
        if names.size:
            share = 1.0 / np.sqrt(counts[inverse])
            weights[members] = share / share.sum()
    return np.asarray(weights / weights.mean())


def _logistic(scores: Float, machine_made: NDArray[np.bool_], weights: Float) -> Float:
    """Probabilities over SCORES of the weighted logistic curve; slope kept positive, lightly regularised."""
    sign = np.where(machine_made, 1.0, -1.0)
    share = weights / weights.sum()

    def loss(parameters: Float) -> float:
        slope, offset = np.exp(parameters[0]), parameters[1]
        return float(
            (share * np.logaddexp(0.0, -sign * (slope * scores + offset))).sum()
            + 1e-3 * (parameters[0] ** 2 + parameters[1] ** 2)
        )

    slope, offset = minimize(loss, np.zeros(2), method="Nelder-Mead").x
    return np.asarray(1 / (1 + np.exp(-(np.exp(slope) * SCORES + offset))))


def _tail(scores: Float, machine_made: NDArray[np.bool_], weights: Float, rate: Float) -> Float:
    """The share of machine-made recordings among all that score at least SCORES, at an even prior."""
    share = weights[machine_made] / weights[machine_made].sum()
    hits = (share[:, None] * (scores[machine_made][:, None] >= SCORES)).sum(axis=0)
    return np.asarray(hits / (hits + rate))


def _draw_groups(
    groups: NDArray[np.str_], machine_made: NDArray[np.bool_], random: np.random.Generator
) -> Float:
    """How often each recording occurs when groups are drawn with replacement, class by class."""
    times = np.zeros(groups.size)
    for machine in (False, True):
        members = machine_made == machine
        names, inverse = np.unique(groups[members], return_inverse=True)
        drawn = np.bincount(random.integers(names.size, size=names.size), minlength=names.size)
        times[members] = drawn[inverse]
    return times
