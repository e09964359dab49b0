"""Texture: what noise, hiss and breath look like cell by cell.

The cells of natural noise scatter by the Rayleigh law (5.6 dB in level) and forget each other
from one window to the next. Decoders draw noise from a learnt palette: it scatters less or more, is
correlated between neighbouring cells, and its phase runs on where it should be random.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import uniform_filter1d

from classifiers.ai.listening import BIN_HZ, DEPTH_DB, Listening
from classifiers.ai.signs import Features

SMOOTH_BINS: Final = 15
BANDS_HZ: Final = (
    *((200, 800), (800, 2000), (2000, 3200), (3200, 4800), (4800, 6400), (6400, 8000)),
    *((8000, 10_000), (10_000, 12_500), (12_500, 15_500)),
)
STEP: Final = 2
"""Frames between windows that do not overlap."""


class Texture:
    name = "texture"
    describes = "scatter, memory and phase of the fine structure, where noise should be random"
    features = tuple(
        f"{kind}_{low}hz"
        for low, _ in BANDS_HZ
        for kind in (
            "scatter",
            "skewness",
            "tails",
            "memory",
            "long_memory",
            "across",
            "range",
            "phase_runs_on",
            "empty",
        )
    )

    def measure(self, listening: Listening) -> Features:
        level_db, spectra = listening.mid_db, listening.mid
        rest_db = level_db - uniform_filter1d(level_db, SMOOTH_BINS, axis=2, mode="nearest")
        columns = []
        for low_hz, high_hz in BANDS_HZ:
            band = slice(round(low_hz / BIN_HZ), round(high_hz / BIN_HZ))
            rest, level, cells = rest_db[..., band], level_db[..., band], spectra[..., band]
            scatter = rest.std(axis=(1, 2)) + np.float32(0.1)
            unit = (rest - rest.mean(axis=(1, 2), keepdims=True)) / scatter[:, None, None]
            square = unit * unit
            loud_db, quiet_db = np.percentile(level.mean(axis=2), (95, 5), axis=1)
            first, middle, last = cells[:, : -2 * STEP], cells[:, STEP:-STEP], cells[:, 2 * STEP :]
            turning = first * last
            turning *= np.conj(middle * middle)
            run = np.abs(turning.sum(axis=1)).mean(axis=1) / (
                np.abs(turning).sum(axis=1).mean(axis=1) + np.float32(1e-30)
            )
            columns += [
                scatter / 5.6,
                (square * unit).mean(axis=(1, 2)),
                np.log((square * square).mean(axis=(1, 2)) + 1e-3),
                (unit[:, :-STEP] * unit[:, STEP:]).mean(axis=(1, 2)),
                (unit[:, : -4 * STEP] * unit[:, 4 * STEP :]).mean(axis=(1, 2)),
                (unit[..., :-4] * unit[..., 4:]).mean(axis=(1, 2)),
                (loud_db - quiet_db) / 20,
                run,
                (level <= -DEPTH_DB + 1).mean(axis=(1, 2)),
            ]
        return np.stack(columns, axis=1).astype(np.float32)

    def place(self, listening: Listening) -> str:
        return ""
