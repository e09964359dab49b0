"""A small convolutional network that looks at the fine structure of the spectrum.

What it sees is the residue: level in dB minus its own running mean over frequency. Tone colour,
equalisers and the cut of a codec are gone from it; what remains is how lines, noise and gaps lie beside each
other, in mid and side. Mean pooling makes it indifferent to the length of a look.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d
from torch import Tensor, nn

from classifiers.ai.listening import BIN_HZ, Float, Listening

LOWEST_HZ: Final = 640.0
HIGHEST_HZ: Final = 15_360.0
PICTURE_BINS: Final = round((HIGHEST_HZ - LOWEST_HZ) / BIN_HZ)
SMOOTH_BINS: Final = 31
"""620 Hz: wider than any comb spacing that is known, narrower than a formant of the mix."""
UNIT_DB: Final = 8.0
CLIP_DB: Final = 20.0


def picture(listening: Listening) -> Float:
    """float32 [looks, 2 (mid, side), frames, PICTURE_BINS], about unit variance, 0 where nothing sounds."""
    band = slice(round(LOWEST_HZ / BIN_HZ), round(HIGHEST_HZ / BIN_HZ))
    parts = []
    for level_db in (listening.mid_db, listening.side_db):
        rest = level_db - uniform_filter1d(level_db, SMOOTH_BINS, axis=2, mode="nearest")
        parts.append(np.clip(rest[..., band], -CLIP_DB, CLIP_DB) / np.float32(UNIT_DB))
    return np.stack(parts, axis=1)


class ResidueNetwork(nn.Module):
    """Pictures, float [batch, 2, frames, PICTURE_BINS], to log odds, float32 [batch]."""

    def __init__(self, *, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.body = nn.Sequential(
            *_layer(2, width, kernel=(3, 7), stride=(2, 2)),
            *_layer(width, 2 * width, kernel=(3, 5), stride=(2, 2)),
            *_layer(2 * width, 3 * width, kernel=(3, 3), stride=(1, 2)),
            *_layer(3 * width, 4 * width, kernel=(3, 3), stride=(1, 2)),
            *_layer(4 * width, 4 * width, kernel=(3, 3), stride=(1, 1)),
        )
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8 * width, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        states = self.body(pictures)  # [batch, channels, frames / 4, bins / 16]
        over_time = states.mean(dim=2)
        pooled = torch.cat((over_time.mean(dim=2), over_time.amax(dim=2)), dim=1)
        return self.head(self.drop(pooled))[:, 0]


def _layer(before: int, after: int, *, kernel: tuple[int, int], stride: tuple[int, int]) -> list[nn.Module]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return [
        nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    ]


@torch.inference_mode()
def log_odds(network: ResidueNetwork, pictures: Float, *, batch: int = 12) -> NDArray[np.float32]:
    """float32 [looks]; batches bound the memory of long recordings."""
    dtype = next(network.parameters()).dtype
    parts = [
        network(torch.from_numpy(pictures[first : first + batch]).to(dtype)).float().numpy()
        for first in range(0, len(pictures), batch)
    ]
    return np.concatenate(parts)
