"""Combs: a strided decoder writes a faint line at every multiple of its frame rate.

Each up-sampling layer repeats its kernel once per input frame, so the output carries the frame rate
(sample rate over total stride) and its multiples up to the top of the spectrum, whatever the weights are
(Odena, Dumoulin, Olah 2016 for images; Pons et al. 2021 for audio). Spacings of 20–260 Hz cover the known
decoders at half to double speed. Nothing is looked up in a list of decoders: the search runs over every
spacing, so resampled audio shows its comb at the moved place.

Measured as a cepstrum: the averaged log spectrum, flattened by its own running mean, is correlated with
cosines over frequency. A comb whose lines are multiples of one spacing stands at that spacing with phase
zero, in all bands at once; a chord stands at several, in the lower bands.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from classifiers.ai.listening import Float, Listening, decibels, power
from classifiers.ai.signs import Features

FINE_BIN_HZ: Final = 4.0
"""Windows of 0.25 s: lines 20 Hz apart are five bins apart."""
BANDS_HZ: Final = ((1000, 5000), (5000, 10_000), (10_000, 15_000))
SPACINGS_HZ: Final = (20.0, 260.0)
SMOOTH_HZ: Final = 300.0
CLIP_DB: Final = 9.0
"""A single loud partial must not be the whole correlation."""
POINTS: Final = 16_384
"""Of the cepstrum: 3750 bins padded to this give 15 µs between quefrencies, 0.1 Hz at 86 Hz spacing."""


class Comb:
    name = "comb"
    describes = "evenly spaced lines through the whole spectrum, as strided neural decoders leave them"
    features = (
        *(f"{kind}_{low // 1000}k" for low, _ in BANDS_HZ for kind in ("height", "at_joint")),
        "joint_height",
        "joint_sharpness",
        "joint_octaves_over_86hz",
        "unlocked_height",
    )

    def measure(self, listening: Listening) -> Features:
        _, rows, joint, unlocked, spacing_hz = listening.once(self.name, lambda: _cepstra(listening))
        best = joint.argmax(axis=1)
        look = np.arange(len(best))
        height = joint[look, best]
        columns = []
        for row in rows:
            columns += [row.max(axis=1), row[look, best]]
        columns += [
            height,
            height / (joint.std(axis=1) + 1e-6) * 0.1,
            np.log2(spacing_hz[best] / 86.13),
            unlocked.max(axis=1),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def place(self, listening: Listening) -> str:
        _, _, joint, _, spacing_hz = listening.once(self.name, lambda: _cepstra(listening))
        mean = joint.mean(axis=0)
        return f"Its strongest even spacing is {spacing_hz[mean.argmax()]:.1f} Hz (height {mean.max():.2f})."


def flattened_spectrum(listening: Listening) -> Float:
    """dB above the running mean, clipped, float32 [looks, bins of FINE_BIN_HZ up to 15 kHz]."""
    rate_hz = listening.sample_rate_hz
    window = round(rate_hz / FINE_BIN_HZ)
    mono = listening.middle
    if np.vdot(mono, mono) < 0.01 * 0.5 * np.vdot(listening.samples, listening.samples):
        mono = listening.samples[:, 0]  # polarity-inverted channels cancel in the mid
    taper = np.hanning(window).astype(np.float32)
    frames = sliding_window_view(mono, window, axis=1)[:, :: window // 2] * taper
    bins = round(BANDS_HZ[-1][1] / FINE_BIN_HZ)
    cells = power(scipy.fft.rfft(frames, axis=2)[..., :bins])
    cells += np.maximum(cells.max(axis=(1, 2), keepdims=True) * np.float32(1e-11), np.float32(1e-12))
    level_db = decibels(cells).mean(axis=1)
    level_db = np.pad(level_db, ((0, 0), (0, bins - level_db.shape[1])), mode="edge")
    flat = level_db - uniform_filter1d(level_db, round(SMOOTH_HZ / FINE_BIN_HZ), axis=1, mode="nearest")
    return np.asarray(np.clip(flat, -CLIP_DB, CLIP_DB), dtype=np.float32)


def _cepstra(
    listening: Listening,
) -> tuple[Float, list[Float], Float, Float, NDArray[np.float64]]:
    """Flattened spectrum, cepstrum of each band, their mean, the mean of magnitudes, and the spacings.

    Each cepstrum is float32 [looks, spacings] in [-1, 1]: the cosine part, 1 for a pure comb through zero.
    """
    flat = flattened_spectrum(listening)
    quefrency_s = np.arange(POINTS // 2 + 1) / (POINTS * FINE_BIN_HZ)
    chosen = (quefrency_s >= 1 / SPACINGS_HZ[1]) & (quefrency_s <= 1 / SPACINGS_HZ[0])
    rows, lengths = [], []
    for low_hz, high_hz in BANDS_HZ:
        low, high = round(low_hz / FINE_BIN_HZ), round(high_hz / FINE_BIN_HZ)
        band = np.zeros_like(flat)
        band[:, low:high] = flat[:, low:high]
        # An empty band (above the cut of a codec) is flat: a floor of 0.3 dB keeps rounding from combs.
        scale = np.sqrt(np.maximum(np.square(flat[:, low:high]).sum(axis=1), 0.09 * (high - low)))
        row = scipy.fft.rfft(band, POINTS, axis=1)[:, chosen] / (
            scale[:, None] * np.float32(np.sqrt((high - low) / 2))
        )
        rows.append(row.real.astype(np.float32))
        lengths.append(np.abs(row).astype(np.float32))
    return flat, rows, np.mean(rows, axis=0), np.mean(lengths, axis=0), 1 / quefrency_s[chosen]
