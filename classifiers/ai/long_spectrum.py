"""The spectrum of a minute, in half the time of one long transform.

Two and a half million samples do not fit a core's cache, and a single transform goes over all of them ten
times. Laid out as a matrix they are transformed by columns, turned, and transformed by rows (Bailey 1990,
"FFTs in external or hierarchical memory"): three passes, and rows and columns keep the vector units full.
"""

from __future__ import annotations

from functools import lru_cache
from math import isqrt
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray

LEAST_ROWS: Final = 64
"""A matrix of fewer is no better than one long row."""


def long_spectrum(samples: NDArray[np.float32]) -> NDArray[np.complex64]:
    """What `scipy.fft.rfft` gives but for rounding: float32 [n] to complex64 [n // 2 + 1].

    Lengths that make no matrix of even sides, some odd seconds of a short upload, go to scipy as they are.
    """
    rows = _rows(samples.size)
    if rows < LEAST_ROWS:
        return np.asarray(scipy.fft.rfft(samples))
    columns = samples.size // rows
    turned = scipy.fft.rfft(samples.reshape(rows, columns), axis=0)
    turned *= _turns(rows, columns, kept=rows // 2 + 1)
    turned = scipy.fft.fft(turned, axis=1, overwrite_x=True)
    # Frequency `row + rows * column` stands at [row, column]; rows beyond the middle mirror those before it.
    spectrum = np.empty(samples.size // 2 + 1, dtype=np.complex64)
    laid_out = spectrum[:-1].reshape(columns // 2, rows)
    laid_out[:, : rows // 2 + 1] = turned[:, : columns // 2].T
    np.conj(turned[rows // 2 - 1 : 0 : -1, : columns // 2 - 1 : -1].T, out=laid_out[:, rows // 2 + 1 :])
    spectrum[-1] = turned[0, columns // 2]
    return spectrum


def long_signal(spectrum: NDArray[np.complex64], length: int) -> NDArray[np.complex64]:
    """What `scipy.fft.ifft` gives of complex64 [bins] and nothing beyond them, but for rounding.

    bins: `length` at most. Returns complex64 [length].
    """
    rows = _rows(length)
    if rows < LEAST_ROWS:
        return np.asarray(scipy.fft.ifft(spectrum, length))
    columns = length // rows
    filled = -(-spectrum.size // columns)
    laid_out = np.zeros((filled, columns), dtype=np.complex64)
    laid_out.reshape(-1)[: spectrum.size] = spectrum
    turned = scipy.fft.ifft(laid_out, rows, axis=0)
    turned *= np.conj(_turns(rows, columns, kept=rows))
    # Moment `row + rows * column` stands at [row, column].
    return np.ascontiguousarray(scipy.fft.ifft(turned, axis=1, overwrite_x=True).T).reshape(-1)


def _rows(length: int) -> int:
    """The even number nearest to the root of `length`, from below, that divides it an even number of times.

    0 where there is none.
    """
    sides = range(isqrt(length) // 2 * 2, LEAST_ROWS - 1, -2)
    return next((side for side in sides if length % (2 * side) == 0), 0)


@lru_cache(maxsize=4)  # up to twenty megabytes for a length; uploads have 44.1 or 48 kHz
def _turns(rows: int, columns: int, *, kept: int) -> NDArray[np.complex64]:
    """Twiddle factors of the first rows, complex64 [kept, columns]."""
    step = np.arange(kept)[:, None] * np.arange(columns)
    return np.asarray(np.exp(-2j * np.pi / (rows * columns) * step), dtype=np.complex64)
