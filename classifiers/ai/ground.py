"""When the second ear has no ground to speak: too short, too quiet, too narrow, or unlike all it knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.listening import Listening
from classifiers.ai.signs import Features

LEAST_S: Final = 4.5
"""An excerpt of 5 s that was sped up by a tenth is the shortest that was calibrated on."""
LEAST_LOUDNESS_DB: Final = -55.0
"""RMS relative to full scale: below it the 16-bit steps are a tenth of the music."""
LEAST_BAND_HZ: Final = 5_000.0
"""Soft recordings without highs end at 5 to 7 kHz, among them three in a hundred generated ones. What comes
from a telephone ends under 4."""
FAMILIAR_PERCENT: Final = 99.9
"""Of the looks of calibration. At 99.5 what is new was strange too often: 1.3 % of the looks of human
packages held out and a quarter of those of one family of generators; so it is 0.3 % and a twelfth."""
STRANGE_SHARE: Final = 0.5
"""A recording most of whose looks are strange is strange."""


@dataclass(frozen=True, slots=True)
class Familiarity:
    """How far from everything that was calibrated on: Mahalanobis distance in the standardised features.

    mean: float64 [features]. whitening: float64 [features, kept]. limit: the distance within which
    FAMILIAR_PERCENT of the looks of calibration lie.
    """

    mean: NDArray[np.float64]
    whitening: NDArray[np.float64]
    limit: float

    def distance(self, standardised: Features) -> NDArray[np.float64]:
        """float32 [looks, features] to float64 [looks], about 1 for what is typical."""
        white = (standardised - self.mean) @ self.whitening
        return np.asarray(np.sqrt(np.square(white).mean(axis=1)))


def fit_familiarity(
    standardised: Features, *, weights: NDArray[np.float64], keep: float = 0.99
) -> Familiarity:
    """From the looks of calibration, float32 [looks, features]; directions with `keep` of the variance."""
    share = weights / weights.sum()
    mean = share @ standardised
    centred = standardised - mean
    values, vectors = np.linalg.eigh((centred * share[:, None]).T @ centred)
    order = np.argsort(values)[::-1]
    count = int(np.searchsorted(np.cumsum(values[order]) / values.sum(), keep)) + 1
    kept = order[:count]
    whitening = vectors[:, kept] / np.sqrt(values[kept] + 1e-6)
    distances = np.sqrt(np.square(centred @ whitening).mean(axis=1))
    return Familiarity(mean, whitening, float(np.percentile(distances, FAMILIAR_PERCENT)))


def no_ground(listening: Listening, *, duration_s: float) -> str | None:
    """Why the signs have nothing to go by, in words; None where they have."""
    if duration_s < LEAST_S:
        return f"too short: {duration_s:.1f} s, at least {LEAST_S} s are needed"
    loud = listening.loudness_db >= LEAST_LOUDNESS_DB
    if not loud.any():
        return f"too quiet: {float(listening.loudness_db.max()):.0f} dB below full scale at the loudest"
    if listening.band_limit_hz < LEAST_BAND_HZ:
        return f"band-limited: nothing above {listening.band_limit_hz / 1000:.1f} kHz"
    return None
