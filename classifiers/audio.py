"""Decoded audio as every ear receives it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Audio:
    """One decoded recording.

    samples: float32 [channels, samples], nominally in [-1, 1], channel order as in the file.
    sample_rate_hz: of `samples`; the file's own rate (no resampling happens while decoding).
    """

    samples: NDArray[np.float32]
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        return float(self.samples.shape[1] / self.sample_rate_hz)

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])
