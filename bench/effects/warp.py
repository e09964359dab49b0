"""Tempo and pitch, each without the other, or both together as a turntable would.

`stretch` is a phase vocoder with identity phase locking (Laroche and Dolson 1999): the phase advance
at each spectral peak is measured between two frames exactly one output hop apart, so nothing has to be
unwrapped, and the bins around a peak turn with it. One rotation, found on the mix, turns all
channels: the stereo picture survives.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import argrelmax

from bench.effects import Samples

WINDOW_S: Final = 0.093
"""4096 samples at 44.1 kHz: partials 43 Hz apart are still told apart, attacks smear by under 50 ms."""
OVERLAP: Final = 4


def stretch(samples: Samples, *, rate_hz: int, tempo_ratio: float) -> Samples:
    """Play `tempo_ratio` times as fast at the same pitch: round(n / tempo_ratio) samples come back."""
    if tempo_ratio == 1.0:
        return samples.copy()
    window = 1 << round(np.log2(WINDOW_S * rate_hz))
    hop = window // OVERLAP
    wanted = round(samples.shape[1] / tempo_ratio)
    frames = wanted // hop + OVERLAP + 1
    padded = np.pad(samples, ((0, 0), (window // 2 + hop, window + hop + round(hop * tempo_ratio))))
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    out = np.zeros((samples.shape[0], frames * hop + window), dtype=np.float32)
    phase: NDArray[np.float64] | None = None
    for index in range(frames):
        start = hop + round(index * hop * tempo_ratio)
        if start + window > padded.shape[1]:
            break
        spectra = np.fft.rfft(padded[:, start : start + window] * taper, axis=1)
        mix = spectra.sum(axis=0)
        if phase is None:
            phase = np.angle(mix)
            turn = np.zeros(mix.size)
        else:
            before = np.fft.rfft(padded[:, start - hop : start - hop + window].sum(axis=0) * taper)
            turn = _rotation(mix, before, phase)
            phase = np.angle(mix) + turn
        block = np.fft.irfft(spectra * np.exp(1j * turn), n=window, axis=1).astype(np.float32)
        out[:, index * hop : index * hop + window] += block * taper
    # A squared Hann window at a quarter hop sums to 3/2.
    return np.ascontiguousarray(out[:, window // 2 : window // 2 + wanted] / 1.5)


def _rotation(
    mix: NDArray[np.complex128], before: NDArray[np.complex128], phase: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How far each bin must turn for its peak to continue the phase of the last output frame."""
    strength = np.abs(mix)
    peaks = argrelmax(strength, order=2)[0]
    if peaks.size == 0:
        return np.zeros(mix.size)
    advance = np.angle(mix[peaks] * np.conj(before[peaks]))
    turn = phase[peaks] + advance - np.angle(mix[peaks])
    borders = (peaks[1:] + peaks[:-1] + 1) // 2
    owner = np.searchsorted(borders, np.arange(mix.size), side="right")
    return np.asarray(turn[owner])


def speed(samples: Samples, *, rate_hz: int, ratio: float) -> Samples:
    """Play faster or slower by resampling: tempo and pitch both change by `ratio`."""
    out = soxr.resample(np.ascontiguousarray(samples.T), rate_hz * ratio, rate_hz, quality="HQ")
    return np.ascontiguousarray(fit(out.T, round(samples.shape[1] / ratio)))


def transpose(samples: Samples, *, rate_hz: int, semitones: float) -> Samples:
    """Shift the pitch at the same tempo; the length stays."""
    ratio = 2.0 ** (semitones / 12)
    longer = stretch(samples, rate_hz=rate_hz, tempo_ratio=1 / ratio)
    return fit(speed(longer, rate_hz=rate_hz, ratio=ratio), samples.shape[1])


def resample(samples: Samples, *, rate_hz: int, to_hz: int) -> Samples:
    if rate_hz == to_hz:
        return samples
    out = soxr.resample(np.ascontiguousarray(samples.T), rate_hz, to_hz, quality="HQ")
    return np.ascontiguousarray(out.T, dtype=np.float32)


def fit(samples: Samples, length: int) -> Samples:
    """Cut or pad with silence at the end."""
    if samples.shape[1] >= length:
        return samples[:, :length]
    return np.pad(samples, ((0, 0), (0, length - samples.shape[1])))
