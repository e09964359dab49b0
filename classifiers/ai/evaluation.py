"""What signs are worth on groups held out: area under the curve, hits, by family and by codec."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from classifiers.ai.calibration import FALSE_POSITIVES
from classifiers.ai.training import Flags, Float, Table


def area_under_curve(human: NDArray[Any], machine: NDArray[Any]) -> float:
    """The chance that a machine-made recording scores above a human one; NaN if there is none of either."""
    if not human.size or not machine.size:
        return float("nan")
    ranks = rankdata(np.concatenate((human, machine)))
    above = ranks[human.size :].sum() - machine.size * (machine.size + 1) / 2
    return float(above / (human.size * machine.size))


def hits_at(human: NDArray[Any], machine: NDArray[Any], *, false_positives: float = FALSE_POSITIVES) -> float:
    """The share of machine-made recordings above the score that this share of the human ones exceeds."""
    if not human.size or not machine.size:
        return float("nan")
    return float((machine > np.quantile(human, 1 - false_positives)).mean())


def evaluate(table: Table, odds: dict[str, Float], scored: Flags) -> dict[str, Any]:
    """By sign, for recordings (the mean over their excerpts): all, then family by family."""
    real = scored & np.isin(table.kinds, ("human", "machine"))
    tracks, first, inverse = np.unique(table.tracks[real], return_index=True, return_inverse=True)
    machine = table.machine_made[real][first]
    groups = table.groups[real][first]
    report: dict[str, Any] = {"recordings": {"human": int((~machine).sum()), "machine": int(machine.sum())}}
    for name, values in odds.items():
        means = np.bincount(inverse, weights=values[real]) / np.bincount(inverse, minlength=tracks.size)
        human = means[~machine]
        report[name] = {
            "auc": area_under_curve(human, means[machine]),
            "hits": hits_at(human, means[machine]),
        } | {
            "families": {
                str(family): {
                    "auc": area_under_curve(human, means[groups == family]),
                    "hits": hits_at(human, means[groups == family]),
                    "recordings": int((groups == family).sum()),
                }
                for family in np.unique(groups[machine])
            }
        }
    single = odds["joined"][real]
    of_machine, codecs = table.machine_made[real], table.codecs[real]
    limit = np.quantile(single[~of_machine], 1 - FALSE_POSITIVES)
    report["single_looks_by_codec"] = {
        str(codec): {
            "auc": area_under_curve(
                single[~of_machine & (codecs == codec)], single[of_machine & (codecs == codec)]
            ),
            "false_positives": float((single[~of_machine & (codecs == codec)] > limit).mean()),
        }
        for codec in np.unique(codecs)
    }
    return report
