"""The contour: one bit a cell of a coarse log-frequency picture, for verifying an alignment.

A cell's bit says whether it stands out from its neighbours in frequency by more than it usually
does around that second. Levels, filters and reverberation cancel; what remains is when which
partial sounds. 152 bands at 10 frames per second are 190 bytes a second, 34 KB for three minutes.
The idea of sign bits of local differences is Haitsma and Kalker's (2002); here they serve to verify
and to measure transposition, tempo and offset, not to search.
"""

from __future__ import annotations

from collections.abc import Sequence

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
_AROUND_S = 0.5
_FREQUENCY_NEIGHBOURS = 19
"""+- 4.5 semitones: wider than a partial, narrower than a filter's slope or a drum's spectrum."""
_QUERY_NEIGHBOURS = 31
"""+- 7.5 semitones in what is asked: noise drowns the valleys between partials, and more bands tell its
level. With it and square roots of the contrast, noisy excerpts stand 0.4 to 0.7 further above chance.
"""
_STEADY_S = 1.55
"""+- 1.55 s: longer than most notes, so that they stand out; shorter than a fade."""
_CLIP_DB = 12.0


def contrast(level_db: Tensor, rate_hz: float, *, neighbours: int = _FREQUENCY_NEIGHBOURS) -> Tensor:
    """How far each cell stands out, dB clipped to +-_CLIP_DB: float32 [BANDS, frames].

    level_db: float32 [BANDS, frames] at `rate_hz` frames per second. neighbours: bands around each, itself
    among them, whose mean it is compared with.
    """
    if level_db.shape[1] == 0:
        return level_db
    loudest = level_db.amax(dim=0)
    reach = round(_AROUND_S * rate_hz)
    around = functional.max_pool1d(loudest[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0]
    level = torch.maximum(level_db, around - _DEPTH_DB)
    standing = level - _box(level, neighbours // 2, dim=0)
    changing = standing - _box(standing, int(_STEADY_S * rate_hz), dim=1)
    return changing.clamp_(-_CLIP_DB, _CLIP_DB)


def _box(values: Tensor, reach: int, *, dim: int) -> Tensor:
    """Running mean over +-reach cells along a dimension, over the cells that exist at the edges.

    A difference of running sums: on pictures of this size six times as fast as a pooling layer.
    """
    count = values.shape[dim]
    # Removing the mean keeps the sums small, so that 32 bits lose nothing that matters.
    mean = values.mean(dim=dim, keepdim=True)
    zero = torch.zeros_like(mean)
    summed = torch.cat([zero, (values - mean).cumsum_(dim=dim)], dim=dim)
    centre = torch.arange(count)
    width = (centre + reach + 1).clamp_max(count) - (centre - reach).clamp_min(0)
    # The sum up to where the window ends, less that up to where it begins: slices, not a look-up a cell.
    box = summed.narrow(dim, count, 1).expand_as(values).clone()
    inside = max(count - reach - 1, 0)  # windows that end within
    box.narrow(dim, 0, inside).copy_(summed.narrow(dim, count - inside, inside))
    late = max(count - reach, 0)  # those that begin within
    box.narrow(dim, count - late, late).sub_(summed.narrow(dim, 0, late))
    return box.div_(width.view(-1, 1) if dim == 0 else width.view(1, -1)).add_(mean)


class Stretchable:
    """Contrast of a recording, as square roots with their signs, that can be looked at at any tempo.

    The contrast is taken once, at 50 Hz; running sums make a cell of any width one difference. Its local mean
    is nothing, so the sums stay small.
    """

    def __init__(self, power_db: Tensor) -> None:
        """power_db: float32 [BANDS, frames] at 50 Hz."""
        self.frames = power_db.shape[1]
        self.duration_s = self.frames / FRAME_RATE_HZ
        standing = contrast(power_db, FRAME_RATE_HZ, neighbours=_QUERY_NEIGHBOURS)
        # What it is compared with is signs alone: a cell that stands out far should not speak for ten.
        summed = (standing.sign() * standing.abs().sqrt()).cumsum(dim=1)
        # Time first: a look-up copies whole rows, in half the time. In `at` the last row counts for nothing.
        self._summed = functional.pad(summed, (1, 1)).T.contiguous()

    def at(self, tempo_ratios: Sequence[float], *, start_s: float, end_s: float) -> tuple[Tensor, Tensor]:
        """The stretch [start_s, end_s) in the time of a reference that it plays at each of these tempos.

        A query played at `tempo_ratio` times the reference's tempo runs through as many seconds of the
        reference in one of its own. Returns float32 [tempos, BANDS, cells] at CONTOUR_RATE_HZ, zero past the
        end of each, and the number of cells of each, int64 [tempos].
        """
        ratios = np.array(tempo_ratios, dtype=np.float64)
        cells = np.maximum(np.rint((end_s - start_s) * ratios * CONTOUR_RATE_HZ).astype(np.int64), 1)
        edge = np.minimum(np.arange(cells.max() + 1)[None, :], cells[:, None]) - 0.5
        at = start_s * FRAME_RATE_HZ + edge * (_FRAMES_PER_CELL / ratios[:, None]) + 0.5
        at = at.clip(0.0, float(self.frames))
        left = at.astype(np.int64)
        near, part = torch.from_numpy(left), torch.from_numpy((at - left).astype(np.float32))
        sums = torch.lerp(self._summed[near], self._summed[near + 1], part[:, :, None])
        width = torch.from_numpy(np.diff(at).clip(min=1e-3).astype(np.float32))
        return (sums.diff(dim=1) / width[:, :, None]).transpose(1, 2), torch.from_numpy(cells)


def coarse_db(power_db: Tensor) -> Tensor:
    """Mean level of a picture at 50 Hz in cells at CONTOUR_RATE_HZ: float32 [BANDS, cells]."""
    frames = power_db.shape[1]
    edges = torch.arange(frames // _FRAMES_PER_CELL + 1) * _FRAMES_PER_CELL - _FRAMES_PER_CELL // 2
    edges = edges.clamp(0, frames)
    mean = power_db.mean(dim=1, keepdim=True) if frames else power_db.new_zeros(len(power_db), 1)
    summed = functional.pad((power_db - mean).cumsum(dim=1, dtype=torch.float64), (1, 0))[:, edges]
    return ((summed[:, 1:] - summed[:, :-1]) / (edges[1:] - edges[:-1])).float() + mean


def contour_bits(power_db: Tensor) -> NDArray[np.uint8]:
    """Packed contour of a recording: uint8 [frames, BANDS / 8], a bit set where the contrast is positive."""
    # A thousandth of a decibel: what is level stays level however the sums are rounded.
    bits = (contrast(coarse_db(power_db), CONTOUR_RATE_HZ) > 1e-3).T.contiguous().numpy()
    return np.packbits(bits, axis=1)


def unpack(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Packed contour to signs: float32 [BANDS, frames] of -1 and +1."""
    # Turned over as bytes, not as floats: 0.3 ms for three minutes instead of 2.2.
    ones = np.ascontiguousarray(np.unpackbits(bits, axis=1, count=BANDS).T).view(np.int8)
    return (2 * ones - 1).astype(np.float32)
