"""How often chance and human music make a lattice: the calibration of the stride.

The sign learns nothing, so every generator is one it never met, and every recording can be counted.
Recordings are taken as they were published, a minute from their middle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.calibration import Calibration, calibrate
from classifiers.ai.detector import DECADES
from classifiers.ai.evaluation import area_under_curve
from classifiers.ai.examples import Source

LEAST_DECADES: Final = 10.0
"""The middle minutes of 227 human recordings, as published and through four codecs, have none that are exact,
nor have 4,874 cuts of 20 to 50 s of them; blurred ones count six at most (docs/ai.md). From here on the sign
is shown."""


def calibrate_stride(sources: list[Source], strengths: NDArray[np.float64]) -> Calibration:
    """Of human and machine-made recordings; synthetic sounds and proxies are no recordings.

    Never under LEAST_DECADES, whatever the human recordings at hand allow.
    """
    calibration = calibrate(
        strengths / DECADES,
        machine_made=np.array([source.machine_made for source in sources]),
        groups=np.array([source.group for source in sources]),
    )
    return replace(calibration, threshold=max(calibration.threshold, LEAST_DECADES / DECADES))


def report_stride(
    sources: list[Source], strengths: NDArray[np.float64], calibration: Calibration
) -> dict[str, Any]:
    """AUC and shares at the calibrated threshold, family by family and package by package."""
    machine = np.array([source.machine_made for source in sources])
    groups = np.array([source.group for source in sources])
    found = strengths / DECADES >= calibration.threshold

    def share(members: NDArray[np.bool_]) -> dict[str, Any]:
        return {"recordings": int(members.sum()), "found": int(found[members].sum())}

    human = strengths[~machine]
    return {
        "threshold_decades": calibration.threshold * DECADES,
        "auc": area_under_curve(human, strengths[machine]),
        "human": share(~machine),
        "machine": share(machine),
        "packages": {str(group): share(groups == group) for group in np.unique(groups[~machine])},
        "families": {
            str(group): share(groups == group) | {"auc": area_under_curve(human, strengths[groups == group])}
            for group in np.unique(groups[machine])
        },
    }
