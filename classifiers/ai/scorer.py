"""From the numbers of one sign to log odds: a kernel machine over landmarks.

The score of a look is a weighted sum of its likenesses to some hundred looks of training, the landmarks
(Nyström's approximation of kernel ridge regression). Inputs are standardised by median and quartiles and
clipped: a value that training never saw counts as the edge of what it saw, and what is like no landmark
gets the odds of nothing known.

Measured on held-out families: area under the curve 0.87 for recordings, against 0.80 with six small neural
networks for each sign, and 0.80 with logistic regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.signs import Features

CLIP: Final = 3.0
"""Quartile distances: a Gaussian lies beyond in one case of a thousand."""
SCORER_PARTS: Final = ("centre", "scale", "landmarks", "likeness", "line")
ENVELOPE: Final = 4.0
"""Log odds are squashed into ±4 (2–98 %): no look alone may be surer than its training set is large."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scorer:
    """centre, scale: float32 [features]. landmarks: float16 [landmarks, features], standardised.

    likeness: float32 [landmarks], what likeness to each is worth. line: float32 [2], the kernel's
    falling-off, and the slope from its sum to log odds.
    """

    centre: Float
    scale: Float
    landmarks: NDArray[np.float16]
    likeness: Float
    line: Float

    def standardise(self, features: Features) -> Features:
        return np.asarray(np.clip((features - self.centre) / self.scale, -CLIP, CLIP), dtype=np.float32)

    def __call__(self, features: Features) -> Float:
        """float32 [looks, features] to log odds, float32 [looks] within ±ENVELOPE."""
        falling, slope = (float(value) for value in self.line)
        near = kernel(self.standardise(features), self.landmarks.astype(np.float32), falling=falling)
        odds = slope * (near @ self.likeness)
        return np.asarray(ENVELOPE * np.tanh(odds / ENVELOPE), dtype=np.float32)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        return {name: getattr(self, name) for name in SCORER_PARTS}


def kernel(rows: Float, landmarks: Float, *, falling: float) -> Float:
    """Gaussian likeness, 1 for the same, float32 [rows, landmarks]."""
    squared = (
        np.square(rows).sum(axis=1)[:, None]
        + np.square(landmarks).sum(axis=1)[None]
        - 2 * (rows @ landmarks.T)
    )
    return np.asarray(np.exp(-falling * np.maximum(squared, 0.0)), dtype=np.float32)
