"""The spectrum of a minute in which every moment counts alike.

A faint tone that is there all the time is heard best where the music over it is soft. One long transform
weighs each moment by its loudness, so that a few loud ones bury it. Here each spot of a spectrogram is
divided by the level around it first; then each row of it is transformed along time, and the rows' spectra,
laid one after the other, are one spectrum as fine as the whole is long. For a tone that never changes
dividing twice would be best (the matched filter for noise whose level changes); decoders' tones follow the
music halfway, and dividing once finds most of them (docs/ai.md).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

HOP_S: Final = 0.0238
"""Half a window. No codec's frame and no latent has this rate, so its grid can't be taken for theirs."""
AROUND_BINS: Final = 17
"""Some 360 Hz: what a spot is divided by is wider than any tone of it."""
SOFTEST: Final = 0.01
"""Of the median power at a frequency: softer moments are not raised further. Digital silence stays silent."""
DEEPEST: Final = 1e-6
"""Of the loudest spot of a moment: further down is what the window leaks, and what a codec left out."""
EVERY: Final = 8
"""The median is taken over so many times fewer moments."""
BLOCK: Final = 128
"""Moments at a time: a block stays in the cache."""


def levelled_spectrum(
    samples: NDArray[np.float32], *, rate_hz: int, top_hz: float
) -> tuple[NDArray[np.complex64], float]:
    """From 0 Hz to `top_hz` or a little beyond, or to what the rate holds: complex64 [bins], and a bin in Hz.

    samples: float32 [samples]. Between two rows a tone loses up to 1.4 dB (Hann). A bin is up to 3 % narrower
    than one over the length: the end is padded.
    """
    hop = scipy.fft.next_fast_len(round(HOP_S * rate_hz))
    window = 2 * hop
    quarter = scipy.fft.next_fast_len(-(-(samples.size // hop + 2) // 4))
    moments = 4 * quarter
    padded = np.zeros((moments + 1) * hop, dtype=np.float32)
    padded[hop : hop + samples.size] = samples
    cuts = sliding_window_view(padded, window)[::hop]
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    rows = min(int(top_hz * window / rate_hz) + 2, window // 2)
    typical = np.median(_around(scipy.fft.rfft(cuts[::EVERY] * taper, axis=1)[:, :rows]), axis=0)
    levelled = np.empty((rows, moments), dtype=np.complex64)
    for first in range(0, moments, BLOCK):
        spots = scipy.fft.rfft(cuts[first : first + BLOCK] * taper, axis=1)[:, :rows]
        level = _around(spots)
        level += np.float32(DEEPEST) * level.max(axis=1, keepdims=True)
        level += np.float32(SOFTEST) * typical + np.float32(1e-20)
        spots *= np.sqrt(typical / level)  # times what is typical there: the spectrum keeps its shape
        levelled[:, first : first + BLOCK] = spots.T
    along = scipy.fft.fft(levelled, axis=1, overwrite_x=True)
    # Windows that overlap by half see each frequency in two rows; of each the nearer half is kept. Even rows
    # have it around zero, odd ones around the middle of their spectrum.
    fine = np.empty((rows, 2 * quarter), dtype=np.complex64)
    fine[0::2, :quarter] = along[0::2, -quarter:]
    fine[0::2, quarter:] = along[0::2, :quarter]
    fine[1::2] = along[1::2, quarter : 3 * quarter]
    return fine.reshape(-1)[quarter:], rate_hz / (moments * hop)


def _around(spots: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Mean power of the AROUND_BINS around each, float32 [moments, rows]."""
    level = uniform_filter1d(np.square(spots.real) + np.square(spots.imag), AROUND_BINS, axis=1)
    return np.asarray(np.maximum(level, 0.0, out=level))  # a running sum may end a little under nothing
