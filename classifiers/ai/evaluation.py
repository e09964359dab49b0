"""What signs are worth on groups held out: area under the curve, hits, by family and by codec."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from classifiers.ai.calibration import FALSE_POSITIVES
from classifiers.ai.examples import CLEAN, PANEL
from classifiers.ai.training import Flags, Table

PANEL_ALONE: Final = ("repeats", "joined_repeats", "all", "nested_repeats", "nested_all")
"""Scores with what belongs to a whole recording in one condition: never a mean over conditions."""


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


def evaluate(table: Table, odds: dict[str, NDArray[Any]], scored: Flags) -> dict[str, Any]:
    """By sign, for recordings (the mean over all their looks), family by family; by codec of the panel.

    odds: by sign; "joined", all that was learnt; "joined_repeats", what the repeats add with it; "all", the
    stride too; "nested" and so on, the same with weights that were fitted without the fold. [looks], NaN
    where unknown.
    """
    real = scored & np.isin(table.kinds, ("human", "machine"))
    report: dict[str, Any] = {
        name: _of_recordings(table, values, real, families=True)
        for name, values in odds.items()
        if name not in PANEL_ALONE
    }
    report["recordings"] = report["joined"]["recordings"]
    report["panel"] = {
        condition: {
            name: _of_recordings(table, odds[name], real & (table.conditions == condition), families=True)
            for name in ("joined", "nested", *PANEL_ALONE)
        }
        for condition in (CLEAN, *PANEL)
    }
    chains = real & (table.conditions == "chain")
    single = odds["joined"][chains]
    of_machine, codecs = table.machine_made[chains], table.codecs[chains]
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


def _of_recordings(
    table: Table, values: NDArray[Any], members: Flags, *, families: bool = False
) -> dict[str, Any]:
    """AUC and hits of recordings, each the mean over its looks among `members`."""
    members = members & np.isfinite(values)
    tracks, first, inverse = np.unique(table.tracks[members], return_index=True, return_inverse=True)
    means = np.bincount(inverse, weights=values[members]) / np.bincount(inverse, minlength=tracks.size)
    machine, groups = table.machine_made[members][first], table.groups[members][first]
    human = means[~machine]

    def cell(which: NDArray[np.bool_]) -> dict[str, Any]:
        return {"auc": area_under_curve(human, means[which]), "hits": hits_at(human, means[which])}

    report = cell(machine) | {"recordings": {"human": human.size, "machine": int(machine.sum())}}
    if families:
        report["families"] = {
            str(family): cell(groups == family) | {"recordings": int((groups == family).sum())}
            for family in np.unique(groups[machine])
        }
    return report


def accusations(
    table: Table, score: NDArray[Any], scored: Flags, *, threshold: float, least_decades: float
) -> dict[str, Any]:
    """Who is accused as the detector ships, by codec of the panel: packages and families.

    least_decades: of the stride, without which nobody is.
    """
    report: dict[str, Any] = {}
    for condition in (CLEAN, *PANEL):
        members = scored & (table.conditions == condition) & np.isfinite(score)
        tracks, first, inverse = np.unique(table.tracks[members], return_index=True, return_inverse=True)
        means = np.bincount(inverse, weights=score[members]) / np.bincount(inverse, minlength=tracks.size)
        groups, machine = table.groups[members][first], table.machine_made[members][first]
        found = (means >= threshold) & (table.decades[members][first] >= least_decades)
        cells = {"human": ~machine, "machine": machine}
        cells |= {str(group): groups == group for group in np.unique(groups)}
        report[condition] = {
            name: {"recordings": int(which.sum()), "accused": int(found[which].sum())}
            for name, which in cells.items()
        }
    return report
