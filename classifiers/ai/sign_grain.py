"""Grain: the same questions as texture, asked of windows of 200 ms.

Lines 10 Hz apart are told apart here, so faint steady tones, beating partials and the lattice of a
latent's frame rate show as what they are. Short windows see none of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import uniform_filter1d

from classifiers.ai.listening import Listening, decibels, power
from classifiers.ai.signs import Features

WINDOW_S: Final = 0.2
SMOOTH_HZ: Final = 300.0
STEP: Final = 2
"""Frames between windows that do not overlap."""
ACROSS_BINS: Final = 3
"""Beyond the main lobe of the window: neighbours that share no energy."""
DEPTH: Final = 1e-9
"""Power under this share of the loudest cell is none (-90 dB)."""
BANDS_HZ: Final = (
    *((200, 800), (800, 2000), (2000, 4000), (4000, 6000)),
    *((6000, 8000), (8000, 10_000), (10_000, 12_500), (12_500, 15_500)),
)


class Grain:
    name = "grain"
    describes = "steady lines and the scatter between them, in windows of 200 ms"
    features = tuple(
        f"{kind}_{low}hz"
        for low, _ in BANDS_HZ
        for kind in ("scatter", "skewness", "tails", "memory", "across", "steady", "empty")
    )

    def measure(self, listening: Listening) -> Features:
        rate_hz = listening.sample_rate_hz
        window = round(rate_hz * WINDOW_S)
        bin_hz = rate_hz / window
        frames = sliding_window_view(listening.middle, window, axis=1)[:, :: window // 2]
        spectrum = scipy.fft.rfft(frames * np.hanning(window).astype(np.float32), axis=2)
        level = power(spectrum[..., : round(BANDS_HZ[-1][1] / bin_hz)])
        level /= np.maximum(level.max(axis=(1, 2), keepdims=True), np.float32(1e-12))
        level_db = decibels(np.maximum(level, np.float32(DEPTH), out=level))
        smooth = round(SMOOTH_HZ / bin_hz) | 1
        rest_db = level_db - uniform_filter1d(level_db, smooth, axis=2, mode="nearest")
        columns = []
        for low_hz, high_hz in BANDS_HZ:
            band = slice(round(low_hz / bin_hz), round(high_hz / bin_hz))
            rest = rest_db[..., band]
            if rest.shape[2] <= ACROSS_BINS:  # beyond the Nyquist frequency
                columns += [np.zeros(listening.looks, dtype=np.float32)] * 6
                columns.append(np.ones(listening.looks, dtype=np.float32))
                continue
            scatter = rest.std(axis=(1, 2)) + np.float32(0.1)
            unit = (rest - rest.mean(axis=(1, 2), keepdims=True)) / scatter[:, None, None]
            square = unit * unit
            columns += [
                scatter / 5.6,
                (square * unit).mean(axis=(1, 2)),
                np.log((square * square).mean(axis=(1, 2)) + 1e-3),
                (unit[:, :-STEP] * unit[:, STEP:]).mean(axis=(1, 2)),
                (unit[..., :-ACROSS_BINS] * unit[..., ACROSS_BINS:]).mean(axis=(1, 2)),
                rest.mean(axis=1).std(axis=1) / scatter,
                (level_db[..., band] <= -89.0).mean(axis=(1, 2)),
            ]
        return np.stack(columns, axis=1).astype(np.float32)

    def place(self, listening: Listening) -> str:
        return ""
