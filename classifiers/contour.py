"""The contour: one bit a cell of a coarse log-frequency picture, for verifying an alignment.

A cell's bit says whether it stands out from its neighbours in frequency by more than it usually
does around that second. Levels, filters and reverberation cancel; what remains is when which
partial sounds. 152 bands at 10 frames per second are 190 bytes a second, 34 KB for three minutes.
The idea of sign bits of local differences is Haitsma and Kalker's (2002); here they serve to verify
and to measure transposition, tempo and offset, not to search.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from classifiers.spectrogram import BANDS, FRAME_RATE_HZ

CONTOUR_RATE_HZ = 10.0
_FRAMES_PER_CELL = int(FRAME_RATE_HZ / CONTOUR_RATE_HZ)
_DEPTH_DB = 50.0
"""Cells further below the loudest of the second around them carry no contour: that is noise floor."""
_FREQUENCY_NEIGHBOURS = 19
"""+- 4.5 semitones: wider than a partial, narrower than a filter's slope or a drum's spectrum."""
_TIME_NEIGHBOURS = 31
"""3.1 s: longer than most notes, so that they stand out; shorter than a fade."""
_CLIP_DB = 12.0


class Picture:
    """A 50 Hz picture in dB, [BANDS, frames], that can be resampled in time at any stride.

    Running sums make a cell of any width one difference, whatever the picture's length.
    """

    def __init__(self, power_db: Tensor) -> None:
        self.frames = power_db.shape[1]
        self.duration_s = self.frames / FRAME_RATE_HZ
        self._summed = functional.pad(power_db.cumsum(dim=1, dtype=torch.float64), (1, 0))

    def coarse_db(self, *, stride: float = 1.0, start_s: float = 0.0, cells: int | None = None) -> Tensor:
        """Mean level at CONTOUR_RATE_HZ: float32 [BANDS, cells].

        Cell k is the mean around second ``start_s + k * stride / CONTOUR_RATE_HZ``. A query played
        at `tempo_ratio` times the reference's tempo runs through as many seconds of the reference in
        one of its own, and is brought to the reference's time by ``stride = 1 / tempo_ratio``.
        """
        step = stride * _FRAMES_PER_CELL
        start = start_s * FRAME_RATE_HZ
        if cells is None:
            cells = max(int((self.frames - start) / step), 0)
        if self.frames == 0:
            return self._summed.new_zeros(len(self._summed), 0, dtype=torch.float32)
        edges = start + (torch.arange(cells + 1, dtype=torch.float64) - 0.5) * step + 0.5
        edges = edges.clamp(0.0, float(self.frames))
        left = edges.floor().long().clamp(max=self.frames - 1)
        first, last = int(left[0]), int(left[-1])
        summed = self._summed[:, first : last + 2]
        at_edge = torch.lerp(summed[:, left - first], summed[:, left - first + 1], edges - left)
        width = (edges[1:] - edges[:-1]).clamp_min(1e-3)
        return ((at_edge[:, 1:] - at_edge[:, :-1]) / width).float()


def contrast(level_db: Tensor) -> Tensor:
    """How far each cell stands out, dB clipped to +-_CLIP_DB: float32 [BANDS, frames]."""
    if level_db.shape[1] == 0:
        return level_db
    loudest = level_db.amax(dim=0)
    around = functional.max_pool1d(loudest[None, None], 11, stride=1, padding=5)[0, 0]
    level = torch.maximum(level_db, around - _DEPTH_DB)
    standing = level - _box(level.T, _FREQUENCY_NEIGHBOURS).T
    changing = standing - _box(standing, _TIME_NEIGHBOURS)
    return changing.clamp(-_CLIP_DB, _CLIP_DB)


def _box(values: Tensor, width: int) -> Tensor:
    """Running mean along the last axis, over the cells that exist at the edges.

    A difference of running sums: on pictures of this size six times as fast as a pooling layer.
    """
    count = values.shape[1]
    summed = functional.pad(values.cumsum(dim=1, dtype=torch.float64), (1, 0))
    centre = torch.arange(count)
    first = (centre - width // 2).clamp_min(0)
    last = (centre + width // 2 + 1).clamp_max(count)
    return ((summed[:, last] - summed[:, first]) / (last - first)).float()


def contour_bits(power_db: Tensor) -> NDArray[np.uint8]:
    """Packed contour of a recording: uint8 [frames, BANDS / 8], a bit set where the contrast is positive."""
    bits = (contrast(Picture(power_db).coarse_db()) > 0.0).T.contiguous().numpy()
    return np.packbits(bits, axis=1)


def unpack(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed contour to signs: float32 [BANDS, frames] of -1 and +1."""
    signs = np.unpackbits(bits, axis=1, count=BANDS).astype(np.float32)
    return np.ascontiguousarray(signs.T * 2.0 - 1.0)
