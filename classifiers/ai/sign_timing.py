"""Attacks: how fast notes and drums begin, and whether all bands begin together.

A struck string starts in every band within a millisecond or two. Latents of 10–20 ms a frame blur this,
band by band; spectrogram models repeat it on their grid. Windows of 5 ms, steps of 2.5 ms.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from classifiers.ai.listening import Listening, power
from classifiers.ai.signs import Features

STEP_S: Final = 0.0025
WINDOW_STEPS: Final = 2
BANDS_HZ: Final = ((400, 2000), (2000, 5000), (5000, 10_000), (10_000, 15_000))
DEPTH: Final = 1e-6
"""Power under this share of the band's loudest moment is no attack."""


class Timing:
    name = "attacks"
    describes = "sharpness of attacks and whether they fall together in all bands"
    features = (
        *(
            f"{kind}_{low}hz"
            for low, _ in BANDS_HZ
            for kind in ("sharpness", "asymmetry", "tails", "memory_5ms", "memory_20ms", "dynamics")
        ),
        *(f"together_{low}hz" for low, _ in BANDS_HZ[1:]),
    )

    def measure(self, listening: Listening) -> Features:
        step = round(listening.sample_rate_hz * STEP_S)
        window = WINDOW_STEPS * step
        bin_hz = listening.sample_rate_hz / window
        bands = np.zeros((window // 2 + 1, len(BANDS_HZ)), dtype=np.float32)
        for index, (low_hz, high_hz) in enumerate(BANDS_HZ):
            low = int(low_hz / bin_hz)
            bands[low : max(int(high_hz / bin_hz), low + 1), index] = 1.0  # none beyond the Nyquist frequency
        taper = np.hanning(window).astype(np.float32)
        energy = np.stack(
            [
                power(scipy.fft.rfft(sliding_window_view(look, window)[::step] * taper, axis=1)) @ bands
                for look in listening.middle
            ]
        )
        floor = np.maximum(energy.max(axis=1, keepdims=True) * np.float32(DEPTH), np.float32(1e-12))
        levels = np.log(energy + floor)
        columns, rises = [], []
        for index in range(len(BANDS_HZ)):
            level = levels[..., index]
            change = np.diff(level, axis=1)
            scatter = change.std(axis=1, keepdims=True) + np.float32(1e-3)
            unit = (change - change.mean(axis=1, keepdims=True)) / scatter
            columns += [
                scatter[:, 0],
                np.clip((unit * unit * unit).mean(axis=1), -10, 10),
                np.log(np.square(unit * unit).mean(axis=1) + 1e-3),
                (unit[:, :-2] * unit[:, 2:]).mean(axis=1),
                (unit[:, :-8] * unit[:, 8:]).mean(axis=1),
                level.std(axis=1),
            ]
            rises.append(np.maximum(unit, 0))
        columns += [(low * high).mean(axis=1) for low, high in pairwise(rises)]
        return np.stack(columns, axis=1).astype(np.float32)

    def place(self, listening: Listening) -> str:
        return ""
