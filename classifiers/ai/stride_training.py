"""How often chance and human music make a lattice: the calibration of the stride.

The sign learns nothing, so every generator is one it never met, and every recording can be counted.
Recordings are taken as they were published, a minute from their middle.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.calibration import Calibration, calibrate
from classifiers.ai.detector import DECADES
from classifiers.ai.evaluation import area_under_curve
from classifiers.ai.examples import CLEAN, Source
from classifiers.ai.whole import measure_recordings, stride_of

Member = TypeVar("Member")

LEAST_DECADES: Final = 10.0
"""Of 227 human recordings none passed 4.1; twice that, and some, for the music that is not among them. From
here on the sign is shown."""
CACHE_NAME: Final = "strides.json"
OF_EACH: Final = 8
CODECS_TOO: Final = {
    "opus-48k": ("human", "machine"),
    "mp3-128k": ("machine",),
    "aac-128k": ("machine",),
    "mp3-64k": ("machine",),
}
"""Opus makes lines of its own at low rates: human music is asked whether they count. Most uploads are MP3."""


def measure_strides(
    sources: list[Source], *, cache: Path, workers: int = 1, condition: str = CLEAN
) -> NDArray[np.float64]:
    """Decades of chance of every recording, float64 [sources]; kept in the folder `cache`."""
    return measure_recordings(
        sources, stride_of, cache=cache / CACHE_NAME, workers=workers, condition=condition
    )


def codec_sample(sources: list[Source]) -> list[int]:
    """Which are measured through codecs too, by index: OF_EACH of every group, spread evenly."""
    chosen: list[int] = []
    for group in sorted({source.group for source in sources}):
        members = [index for index, source in enumerate(sources) if source.group == group]
        chosen += spread(members, count=OF_EACH)
    return sorted(chosen)


def spread(members: list[Member], *, count: int) -> list[Member]:
    """So many at most, from the first to the last."""
    count = min(count, len(members))
    return [members[round(at)] for at in np.linspace(0, len(members) - 1, count)]


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


def strides_of(sources: list[Source], *, cache: Path, workers: int = 1) -> dict[tuple[str, str], float]:
    """Strength by path and condition: of all recordings as published, of the sample in CODECS_TOO as well."""
    sample = [sources[index] for index in codec_sample(sources)]
    found: dict[tuple[str, str], float] = {}
    for condition in (CLEAN, *CODECS_TOO):
        measured = sources
        if condition != CLEAN:
            measured = [source for source in sample if source.kind in CODECS_TOO[condition]]
        strengths = measure_strides(measured, cache=cache, workers=workers, condition=condition)
        for source, strength in zip(measured, strengths, strict=True):
            found[source.path, condition] = float(strength)
    return found
