"""From answers to numbers: thresholds, recall with its interval, errors in place, pitch and tempo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from bench.clonebench.systems import Hit
from bench.conditions import Condition

SHIFT_TOLERANCE_SEMITONES: Final = 0.25
TEMPO_TOLERANCE: Final = 0.01
Z_95: Final = 1.959964


@dataclass(frozen=True, slots=True)
class Answer:
    """What one system said of one rendered query.

    track_id: the true track, null for a distractor. top: its best hit, null for none.
    """

    condition: Condition
    track_id: str | None
    excerpt_start_s: float
    top: Hit | None
    seconds: float

    @property
    def right(self) -> bool:
        return self.top is not None and self.track_id is not None and self.top.track_id == self.track_id

    @property
    def score(self) -> float:
        return self.top.score if self.top is not None else -math.inf

    @property
    def start_error_s(self) -> float:
        """How far the claimed alignment lies from the true one at the claimed query second."""
        assert self.top is not None
        true_s = self.condition.reference_s(self.top.query_start_s, excerpt_start_s=self.excerpt_start_s)
        return abs(self.top.reference_start_s - true_s)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A hit counts when `score` ≥ value, or, where the system states one, its false-positive rate ≤ value."""

    name: str
    value: float
    on: str
    origin: str

    def accepts(self, answer: Answer) -> bool:
        if answer.top is None:
            return False
        if self.on == "false_positive_rate":
            rate = answer.top.false_positive_rate
            return rate is not None and rate <= self.value
        return answer.score >= self.value


def thresholds(answers: Sequence[Answer]) -> list[Threshold]:
    """Of one system: at ≤ 1 % and ≤ 0.1 % of this run's distractor queries, and its own if it has one."""
    negatives = [answer for answer in answers if answer.track_id is None]
    found = [
        _measured(negatives, share=0.01, name="1% FP"),
        _measured(negatives, share=0.001, name="0.1% FP"),
    ]
    if any(answer.top is not None and answer.top.false_positive_rate is not None for answer in answers):
        shipped = "the calibration that ships with the system (index/calibration.py)"
        found.append(Threshold("shipped 1%", 0.01, "false_positive_rate", shipped))
        found.append(Threshold("shipped 0.1%", 0.001, "false_positive_rate", shipped))
    return found


def _measured(negatives: Sequence[Answer], *, share: float, name: str) -> Threshold:
    scores = sorted((answer.score for answer in negatives), reverse=True)
    allowed = math.floor(share * len(scores))
    # Just above the first score that must not pass: at most `allowed` distractor queries reach it.
    border = scores[allowed] if len(scores) > allowed else -math.inf
    value = float(np.nextafter(border, math.inf)) if math.isfinite(border) else -math.inf
    origin = f"{len(scores)} distractor queries of this run, at most {allowed} above"
    if allowed == 0:
        origin += f" (too few to show {100 * share:g} %: it lies above all of them)"
    return Threshold(name, value, "score", origin)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    if n == 0:
        return 0.0, 1.0
    share, spread = hits / n, Z_95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z_95 * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def condition_numbers(answers: Sequence[Answer], found: Sequence[Threshold]) -> dict[str, Any]:
    """One system under one condition. `answers` are those of catalog queries."""
    condition = answers[0].condition
    n = len(answers)
    right = [answer for answer in answers if answer.right]
    recall = {}
    for threshold in found:
        hits = sum(threshold.accepts(answer) for answer in right)
        low, high = wilson(hits, n)
        recall[threshold.name] = {"recall": hits / n, "low": low, "high": high}
    errors_s = [answer.start_error_s for answer in right]
    return {
        "n": n,
        "top1": len(right) / n,
        "recall": recall,
        "median_start_error_s": float(np.median(errors_s)) if errors_s else None,
        "right_transposition": _share(
            right, lambda hit: hit.shift_semitones, condition.shift_semitones, SHIFT_TOLERANCE_SEMITONES
        ),
        "right_tempo": _share(
            right, lambda hit: hit.tempo_ratio, condition.tempo_ratio, TEMPO_TOLERANCE * condition.tempo_ratio
        ),
        "truth": {"shift_semitones": condition.shift_semitones, "tempo_ratio": condition.tempo_ratio},
    }


def _share(
    right: Sequence[Answer], said: Callable[[Hit], float | None], true: float, tolerance: float
) -> float | None:
    """Of the rightly recognised queries, those whose stated value is right; null if never stated."""
    values = [said(answer.top) for answer in right if answer.top is not None]
    stated = [value for value in values if value is not None]
    if not stated:
        return None
    return sum(abs(value - true) <= tolerance for value in stated) / len(values)


def system_numbers(answers: Sequence[Answer]) -> dict[str, Any]:
    """Everything of one system: thresholds, false positives, numbers by condition, means."""
    found = thresholds(answers)
    negatives = [answer for answer in answers if answer.track_id is None]
    positives: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.track_id is not None:
            positives.setdefault(answer.condition.name, []).append(answer)
    conditions = {name: condition_numbers(rows, found) for name, rows in positives.items()}
    false_positives = {}
    for threshold in found:
        hits = sum(threshold.accepts(answer) for answer in negatives)
        low, high = wilson(hits, len(negatives))
        false_positives[threshold.name] = {
            "n": len(negatives),
            "false_positives": hits,
            "rate": hits / len(negatives) if negatives else None,
            "low": low,
            "high": high,
        }
    return {
        "thresholds": [asdict(threshold) for threshold in found],
        "false_positives": false_positives,
        "mean_top1": _mean([row["top1"] for row in conditions.values()]),
        "mean_recall": {
            threshold.name: _mean([row["recall"][threshold.name]["recall"] for row in conditions.values()])
            for threshold in found
        },
        "mean_query_s": _mean([answer.seconds for answer in answers]),
        "conditions": conditions,
    }


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
