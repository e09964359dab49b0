"""Log-frequency power spectrogram: the picture that the recogniser looks at.

Frequency is logarithmic, so that transposing the music by s semitones moves the picture up by
``2 s`` bands and nothing else. Two FFT lengths are joined: a long one where the bands are narrow
(24 per octave near 110 Hz are 3 Hz apart), a short one above, where it would only blur the attacks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifiers.resample import EAR_SAMPLE_RATE_HZ

BANDS_PER_OCTAVE = 24
BANDS_PER_SEMITONE = BANDS_PER_OCTAVE // 12
HOP_SAMPLES = 320
FRAME_RATE_HZ = EAR_SAMPLE_RATE_HZ / HOP_SAMPLES
"""50 frames per second."""

VIEW_BANDS = 128
"""Bands that one look at the picture takes in: 5 1/3 octaves from 110 Hz."""
MARGIN_BANDS = 12
"""Bands kept below and above the view, so that it can be moved by up to 6 semitones either way."""
BANDS = VIEW_BANDS + 2 * MARGIN_BANDS
VIEW_LOWEST_HZ = 110.0
LOWEST_HZ = VIEW_LOWEST_HZ * 2.0 ** (-MARGIN_BANDS / BANDS_PER_OCTAVE)

LOW_RATE_HZ = EAR_SAMPLE_RATE_HZ // 8
"""Bands below the crossover are computed at an eighth of the rate: the same bins, an eighth of the work."""
LOW_FFT_SAMPLES = 512
"""256 ms at LOW_RATE_HZ."""
HIGH_FFT_SAMPLES = 2048
"""128 ms at the full rate."""
CROSSOVER_HZ = 500.0
"""Above it, bands are at least 14 Hz apart and 128 ms (bins of 7.8 Hz) separate them."""
_FRAMES_AT_ONCE = 256
"""2 MB of spectrum: stays in a core's cache, which is worth a factor of two."""

FLOOR_DB = -100.0
"""Power of silence: samples in [-1, 1] quantised to 16 bit lie above it."""


def band_frequencies_hz() -> NDArray[np.float64]:
    """Centre frequency of each band: float64 [BANDS], 77.8 Hz to 6.1 kHz."""
    frequencies: NDArray[np.float64] = LOWEST_HZ * 2.0 ** (np.arange(BANDS) / BANDS_PER_OCTAVE)
    return frequencies


@lru_cache(maxsize=4)
def _filterbank(fft_samples: int, rate_hz: int, lowest: int, highest: int) -> Tensor:
    """Triangles in log frequency, at least two FFT bins wide: float32 [bins up to the last used, bands]."""
    bin_width_hz = rate_hz / fft_samples
    bins_hz = np.arange(fft_samples // 2 + 1) * bin_width_hz
    centres = band_frequencies_hz()[lowest:highest]
    half_width_hz = np.maximum(centres * (2.0 ** (1.0 / BANDS_PER_OCTAVE) - 1.0), bin_width_hz)
    triangles = 1.0 - np.abs(bins_hz[:, None] - centres[None, :]) / half_width_hz[None, :]
    weights = np.maximum(triangles, 0.0)
    weights /= weights.sum(axis=0, keepdims=True)
    used = int(weights.any(axis=1).nonzero()[0].max()) + 1
    return torch.from_numpy(weights[:used].astype(np.float32))


@lru_cache(maxsize=4)
def _window(fft_samples: int) -> Tensor:
    # Normalised so that a full-scale sine peaks near 0 dB whatever the length.
    window = torch.hann_window(fft_samples)
    return window * (2.0 / window.sum())


def _band_power(
    samples: NDArray[np.float32], rate_hz: int, *, fft_samples: int, frames: int, bands: tuple[int, int]
) -> Tensor:
    """Power in frames centred every HOP_SAMPLES: float32 [bands, frames], bands a half-open range."""
    bank = _filterbank(fft_samples, rate_hz, *bands)
    hop = HOP_SAMPLES * rate_hz // EAR_SAMPLE_RATE_HZ
    padded = np.zeros((frames - 1) * hop + fft_samples, dtype=np.float32)
    kept = min(len(samples), len(padded) - fft_samples // 2)
    padded[fft_samples // 2 : fft_samples // 2 + kept] = samples[:kept]
    cut = torch.from_numpy(padded).unfold(0, fft_samples, hop)
    power = torch.empty(bank.shape[1], frames)
    for first in range(0, frames, _FRAMES_AT_ONCE):
        part = slice(first, first + _FRAMES_AT_ONCE)
        spectrum = torch.fft.rfft(cut[part] * _window(fft_samples))[:, : len(bank)]
        # Not a sum over pairs, which took longer than the transform.
        power[:, part] = ((spectrum.real.square() + spectrum.imag.square()) @ bank).T
    return power


def log_frequency_db(samples: NDArray[np.float32]) -> Tensor:
    """Power in dB: float32 [BANDS, frames], frames at 50 Hz, frame k centred on second k / 50.

    samples: float32 [n], mono at 16 kHz. Values lie in [FLOOR_DB, about 0].
    """
    if len(samples) == 0:
        return torch.full((BANDS, 0), FLOOR_DB)
    signal = np.ascontiguousarray(samples, dtype=np.float32)
    frames = 1 + len(signal) // HOP_SAMPLES
    split = int(np.searchsorted(band_frequencies_hz(), CROSSOVER_HZ))
    slow = soxr.resample(signal, EAR_SAMPLE_RATE_HZ, LOW_RATE_HZ, quality="HQ")
    power = torch.cat(
        [
            _band_power(slow, LOW_RATE_HZ, fft_samples=LOW_FFT_SAMPLES, frames=frames, bands=(0, split)),
            _band_power(
                signal, EAR_SAMPLE_RATE_HZ, fft_samples=HIGH_FFT_SAMPLES, frames=frames, bands=(split, BANDS)
            ),
        ]
    )
    return 10.0 * torch.log10(power.clamp_min(10.0 ** (FLOOR_DB / 10.0)))
