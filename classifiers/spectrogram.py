"""Log-frequency power spectrogram: the picture that the recogniser looks at.

Frequency is logarithmic, so that transposing the music by s semitones moves the picture up by
``2 s`` bands and nothing else. Two FFT lengths are joined: a long one where the bands are narrow
(24 per octave near 110 Hz are 3 Hz apart), a short one above, where it would only blur the attacks.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
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

LONG_FFT_SAMPLES = 4096
SHORT_FFT_SAMPLES = 2048
CROSSOVER_HZ = 500.0
"""Above it, bands are at least 14 Hz apart and 2048 samples (bins of 7.8 Hz) separate them."""

FLOOR_DB = -100.0
"""Power of silence: samples in [-1, 1] quantised to 16 bit lie above it."""


def band_frequencies_hz() -> NDArray[np.float64]:
    """Centre frequency of each band: float64 [BANDS], 77.8 Hz to 6.1 kHz."""
    frequencies: NDArray[np.float64] = LOWEST_HZ * 2.0 ** (np.arange(BANDS) / BANDS_PER_OCTAVE)
    return frequencies


@lru_cache(maxsize=4)
def _filterbank(fft_samples: int, lowest: int, highest: int) -> Tensor:
    """Triangles in log frequency, at least two FFT bins wide: float32 [bins, highest - lowest]."""
    bins_hz = np.arange(fft_samples // 2 + 1) * EAR_SAMPLE_RATE_HZ / fft_samples
    bin_width_hz = EAR_SAMPLE_RATE_HZ / fft_samples
    centres = band_frequencies_hz()[lowest:highest]
    half_width_hz = np.maximum(centres * (2.0 ** (1.0 / BANDS_PER_OCTAVE) - 1.0), bin_width_hz)
    triangles = 1.0 - np.abs(bins_hz[:, None] - centres[None, :]) / half_width_hz[None, :]
    weights = np.maximum(triangles, 0.0)
    weights /= weights.sum(axis=0, keepdims=True)
    return torch.from_numpy(weights.astype(np.float32))


@lru_cache(maxsize=4)
def _window(fft_samples: int) -> Tensor:
    # Normalised so that a full-scale sine peaks near 0 dB whatever the length.
    window = torch.hann_window(fft_samples)
    return window * (2.0 / window.sum())


def _band_power(samples: Tensor, fft_samples: int, lowest: int, highest: int) -> Tensor:
    bank = _filterbank(fft_samples, lowest, highest).to(samples.device)
    spectrum = torch.stft(
        samples,
        fft_samples,
        hop_length=HOP_SAMPLES,
        window=_window(fft_samples).to(samples.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum.real.square() + spectrum.imag.square()
    used = int(bank.any(dim=1).nonzero().max()) + 1
    return bank[:used].T @ power[:used]


def log_frequency_db(samples: NDArray[np.float32]) -> Tensor:
    """Power in dB: float32 [BANDS, frames], frames at 50 Hz, frame k centred on second k / 50.

    samples: float32 [n], mono at 16 kHz. Values lie in [FLOOR_DB, about 0].
    """
    signal = torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))
    if signal.numel() == 0:
        return torch.full((BANDS, 0), FLOOR_DB)
    split = int(np.searchsorted(band_frequencies_hz(), CROSSOVER_HZ))
    power = torch.cat(
        [
            _band_power(signal, LONG_FFT_SAMPLES, 0, split),
            _band_power(signal, SHORT_FFT_SAMPLES, split, BANDS),
        ]
    )
    return 10.0 * torch.log10(power.clamp_min(10.0 ** (FLOOR_DB / 10.0)))
