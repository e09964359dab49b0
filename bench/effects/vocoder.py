"""Re-synthesis from a mel spectrogram: what a vocoder that has never seen the music must work from.

80 mel bands from 0 to 8 kHz at 22.05 kHz, 1024 samples a window, a quarter of it a hop: the input of
most neural vocoders. The levels of the bands survive, phases and everything finer than a band are
invented anew. Here phases are found by the fast Griffin-Lim algorithm (Perraudin, Balazs, Soendergaard 2013)
instead of a network: the same narrow pass, without weights of anybody's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import istft, stft

from bench.effects import Samples

RATE_HZ: Final = 22_050
WINDOW: Final = 1024
HOP: Final = 256
MELS: Final = 80
HIGHEST_HZ: Final = 8_000.0
ROUNDS: Final = 24
MOMENTUM: Final = 0.99


def resynthesise(samples: Samples, *, rate_hz: int, random: np.random.Generator) -> Samples:
    """float32 [2, samples] to the same shape; both channels carry the same sound afterwards."""
    mono = soxr.resample(samples.mean(axis=0), rate_hz, RATE_HZ, quality="HQ")
    magnitude = np.abs(_spectra(mono))
    into = _mel_bank()
    levels = into @ magnitude
    # Least squares would leave negative magnitudes: spread each band evenly over its bins instead.
    guessed = (into.T @ (levels / into.sum(axis=1, keepdims=True))) / np.maximum(into.sum(axis=0), 1e-6)[
        :, None
    ]
    heard = _griffin_lim(guessed, length=len(mono), random=random)
    back = soxr.resample(heard, RATE_HZ, rate_hz, quality="HQ")[: samples.shape[1]]
    back = np.pad(back, (0, samples.shape[1] - len(back)))
    return np.stack([back, back]).astype(np.float32)


def _spectra(samples: NDArray[np.float32]) -> NDArray[np.complex64]:
    spectra: NDArray[np.complex64] = stft(samples, RATE_HZ, nperseg=WINDOW, noverlap=WINDOW - HOP)[2]
    return spectra


def _griffin_lim(
    magnitude: NDArray[np.float32], *, length: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Samples whose spectra have about these magnitudes: float32 [length]."""
    phase = np.exp(2j * np.pi * random.random(magnitude.shape))
    before = np.zeros_like(phase)
    for _ in range(ROUNDS):
        now = _spectra(_samples(magnitude * phase, length))
        moved = now + MOMENTUM * (now - before)
        before = now
        phase = moved / np.maximum(np.abs(moved), 1e-9)
    return _samples(magnitude * phase, length)


def _samples(spectra: NDArray[np.complex128], length: int) -> NDArray[np.float32]:
    out = istft(spectra, RATE_HZ, nperseg=WINDOW, noverlap=WINDOW - HOP)[1][:length]
    return np.pad(out, (0, length - len(out))).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_bank() -> NDArray[np.float32]:
    """Triangles on the mel scale (2595 log10(1 + f / 700)): float32 [MELS, bins]."""
    bins_hz = np.fft.rfftfreq(WINDOW, 1.0 / RATE_HZ)
    edges = 700.0 * (
        10.0 ** (np.linspace(0.0, 2595.0 * np.log10(1.0 + HIGHEST_HZ / 700.0), MELS + 2) / 2595.0) - 1.0
    )
    rising = (bins_hz[None, :] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins_hz[None, :]) / (edges[2:] - edges[1:-1])[:, None]
    bank = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    # The lowest bands are narrower than a bin: each takes its nearest.
    empty = np.flatnonzero(bank.sum(axis=1) == 0.0)
    bank[empty, np.abs(bins_hz[None, :] - edges[1:-1][empty, None]).argmin(axis=1)] = 1.0
    return bank
