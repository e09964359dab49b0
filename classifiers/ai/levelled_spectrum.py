"""Spectra of a minute in which every moment counts alike.

A faint tone that is there all the time is heard best where the music over it is soft. One long transform
weighs each moment by its loudness, so that a few loud ones bury it. Here each spot of a spectrogram is
divided by the level around it first; then each row of it is transformed along time, and the rows' spectra,
laid one after the other, are one spectrum as fine as the whole is long. For a tone that never changes
dividing twice would be best (the matched filter for noise whose level changes); decoders' tones follow the
music halfway, and dividing once finds most of them (docs/ai.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

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
"""Moments, or rows, at a time: a block stays in the cache."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Levelled:
    """A spectrogram with the level around each spot taken out, row by row.

    rows: complex64 [rows, moments], from 0 Hz on, in windows of twice the hop that overlap by half.
    hop_s: seconds between two moments.
    """

    rows: NDArray[np.complex64]
    hop_s: float

    def spectrum(self) -> tuple[NDArray[np.complex64], float]:
        """Of the whole length, complex64 [bins] from 0 Hz on, and a bin in Hz.

        Between two rows a tone loses up to 1.4 dB (Hann). A bin is up to 3 % narrower than one over the
        length: the end is padded.
        """
        moments = self.rows.shape[1]
        return _side_by_side(scipy.fft.fft(self.rows, axis=1)), 1 / (moments * self.hop_s)

    def short_power(self, moments: int) -> tuple[Float, float]:
        """Mean power of the spectra of so many moments at a time, float32 [bins], and a bin in Hz.

        moments: a multiple of four; Hann windows that overlap by half. Zeros where the whole has fewer.
        """
        taper = np.hanning(moments + 1)[:-1].astype(np.float32)
        cuts = sliding_window_view(self.rows, min(moments, self.rows.shape[1]), axis=1)[:, :: moments // 2]
        power = np.zeros((len(self.rows), moments), dtype=np.float32)
        for first in range(0, len(cuts) if cuts.shape[2] == moments else 0, BLOCK):
            short = scipy.fft.fft(cuts[first : first + BLOCK] * taper, axis=2)
            power[first : first + BLOCK] = (np.square(short.real) + np.square(short.imag)).mean(axis=1)
        return _side_by_side(power), 1 / (moments * self.hop_s)


def level(samples: Float, *, rate_hz: int, top_hz: float) -> Levelled:
    """samples: float32 [samples]; from 0 Hz to `top_hz` or a little beyond, or to what the rate holds."""
    hop = scipy.fft.next_fast_len(round(HOP_S * rate_hz))
    window = 2 * hop
    moments = 4 * scipy.fft.next_fast_len(-(-(samples.size // hop + 2) // 4))
    padded = np.zeros((moments + 1) * hop, dtype=np.float32)
    padded[hop : hop + samples.size] = samples
    cuts = sliding_window_view(padded, window)[::hop]
    taper = np.hanning(window + 1)[:-1].astype(np.float32)
    rows = min(int(top_hz * window / rate_hz) + 2, window // 2)
    typical = typical_power(scipy.fft.rfft(cuts[::EVERY] * taper, axis=1)[:, :rows])
    whole = np.empty((rows, moments), dtype=np.complex64)
    for first in range(0, moments, BLOCK):
        spots = scipy.fft.rfft(cuts[first : first + BLOCK] * taper, axis=1)[:, :rows]
        whole[:, first : first + BLOCK] = levelled(spots, typical).T
    return Levelled(whole, hop / rate_hz)


def levelled(spots: NDArray[np.complex64], typical: Float) -> NDArray[np.complex64]:
    """complex64 [moments, rows], in place, with the level around each taken out.

    typical: as `typical_power` gives it. The spectrum keeps its shape.
    """
    around = _around(spots)
    around += np.float32(DEEPEST) * around.max(axis=1, keepdims=True)
    around += np.float32(SOFTEST) * typical + np.float32(1e-20)
    spots *= np.sqrt(typical / around)
    return spots


def typical_power(spots: NDArray[np.complex64]) -> Float:
    """The median of the level around each of a few moments, float32 [rows]; spots: [moments, rows]."""
    return np.asarray(np.median(_around(spots), axis=0))


def _side_by_side(along: NDArray[Any]) -> NDArray[Any]:
    """The rows' spectra, [rows, 4 n] as `scipy.fft.fft` orders them, as one from 0 Hz on: [(2 rows - 1) n].

    Windows that overlap by half see each frequency in two rows; of each the nearer half is kept. Even rows
    have it around zero, odd ones around the middle of their spectrum.
    """
    quarter = along.shape[1] // 4
    fine = np.empty((len(along), 2 * quarter), dtype=along.dtype)
    fine[0::2, :quarter] = along[0::2, -quarter:]
    fine[0::2, quarter:] = along[0::2, :quarter]
    fine[1::2] = along[1::2, quarter : 3 * quarter]
    return np.asarray(fine.reshape(-1)[quarter:])


def _around(spots: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Mean power of the AROUND_BINS around each, float32 [moments, rows]."""
    around = uniform_filter1d(np.square(spots.real) + np.square(spots.imag), AROUND_BINS, axis=1)
    return np.asarray(np.maximum(around, 0.0, out=around))  # a running sum may end a little under nothing
