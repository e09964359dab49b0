"""Where in a recording a decoder's lattice is: a machine's part of 20 s in a song of three minutes.

What is asked of the middle minute (`sign_stride`) can't say that, and a part may lie outside of it. So the
looks that all other signs share are asked for a blurred lattice (`blurred_lattice`), neighbours together: one
of 1.7 s is too short to show any, four of them have seven seconds of sound. What the neighbours show counts
in those of them that show it, too.

It says where, and nothing about the whole: it adds to the score along time, and to no other.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from classifiers.ai.blurred_lattice import (
    HIGH_HZ,
    MOMENTS,
    height_near,
    prominence,
    strongest,
)
from classifiers.ai.levelled_spectrum import EVERY, levelled, typical_power
from classifiers.ai.listening import Float, Listening
from classifiers.ai.sign_stride import DECADES_A_DEVIATION, LEAST_HEIGHT, MOST_CENTS, cents_from_a_note
from classifiers.ai.stride_band import BAND_HZ

TOGETHER_S: Final = 6.7
"""Seconds of sound that are asked together: four looks of 1.7 s (docs/ai.md)."""
STEP: Final = 1.2e-4
"""Of a spacing: two thirds of a bin at its highest multiple. Twice as fine finds as much and takes twice as
long."""
FEWEST: Final = 2
HERE: Final = 2.0
"""Standard deviations of chance by which a look must show what its neighbours do."""
MOST_DECADES: Final = 8.0
"""As of a clip: more of them count as these."""


@dataclass(frozen=True, slots=True)
class Along:
    """decades: float32 [looks], 0 where there is no lattice; spacings_hz: float32 [looks], of those that have
    one, else 0.
    """

    decades: Float
    spacings_hz: Float

    @classmethod
    def nowhere(cls, looks: int) -> Along:
        return cls(*np.zeros((2, looks), dtype=np.float32))


def find(listening: Listening, *, cores: Executor) -> Along:
    """Two halves of the recording at once, as far as `cores` go."""
    along = Along.nowhere(listening.looks)
    bins, bin_hz = _bins(listening)
    if listening.mid.shape[1] < MOMENTS or bins.size * bin_hz < 2 * HIGH_HZ[0]:
        return along
    typical = typical_power(listening.mid[:, ::EVERY].reshape(-1, listening.mid.shape[2]))
    asked = windows(listening.looks, look_s=listening.look_s)
    halves = [half for half in (asked[: len(asked) // 2], asked[len(asked) // 2 :]) if half]
    for found in cores.map(lambda half: _of(half, listening, typical), halves):
        for look, (worth, spacing_hz) in found.items():
            if worth > along.decades[look]:
                along.decades[look], along.spacings_hz[look] = worth, spacing_hz
    return along


def _of(asked: list[tuple[int, int]], listening: Listening, typical: Float) -> dict[int, tuple[float, float]]:
    """By look what is there of a lattice: decades, and its spacing in Hz."""
    start = asked[0][0]
    power, bin_hz = short_power(listening, typical, first=start, end=asked[-1][1])
    means = np.stack([power[first - start : end - start].mean(axis=0) for first, end in asked])
    found: dict[int, tuple[float, float]] = {}
    for (first, end), blurred in zip(
        asked, strongest(prominence(means, bin_hz=bin_hz), bin_hz, step=STEP), strict=True
    ):
        worth = min(DECADES_A_DEVIATION * (blurred.height - LEAST_HEIGHT), MOST_DECADES)
        if worth <= 0 or cents_from_a_note(blurred.spacing_hz) < MOST_CENTS:
            continue
        for look in range(first, end):
            over = prominence(power[look - start], bin_hz=bin_hz)
            if height_near(over, bin_hz, blurred.spacing_hz) > HERE:
                found[look] = max(found.get(look, (0.0, 0.0)), (worth, blurred.spacing_hz))
    return found


def windows(looks: int, *, look_s: float) -> list[tuple[int, int]]:
    """(first, end) of neighbours that are asked together, the last of them again with the next."""
    width = min(max(round(TOGETHER_S / look_s), FEWEST), looks)
    starts = {*range(0, looks - width + 1, max(width - 1, 1)), looks - width}
    return [(first, first + width) for first in sorted(starts)]


def short_power(listening: Listening, typical: Float, *, first: int, end: int) -> tuple[Float, float]:
    """Mean power of short levelled spectra of some looks, float32 [looks, bins] from 0 Hz on; a bin in Hz.

    Of the short-time spectrum that all signs share: of MOMENTS frames at a time each row is transformed along
    time once more. typical: float32 [BINS], of the whole recording.
    """
    bins, bin_hz = _bins(listening)
    row_hz = listening.sample_rate_hz / listening.window
    row, turn = np.rint(bins * bin_hz / row_hz).astype(np.intp), bins % MOMENTS
    rows = int(row[-1]) + 1
    power = np.empty((end - first, bins.size), dtype=np.float32)
    taper = np.hanning(MOMENTS + 1)[:-1].astype(np.float32)
    for look, spots in enumerate(listening.mid[first:end, :, :rows]):
        even = levelled(spots.copy(), typical[:rows])
        short = scipy.fft.fft(sliding_window_view(even, MOMENTS, axis=0)[:: MOMENTS // 2] * taper, axis=2)
        squares = np.square(short.view(np.float32)).mean(axis=0)
        mean = squares[:, ::2] + squares[:, 1::2]  # of the real and the imaginary part
        power[look] = mean[row, turn]
    return power, bin_hz


def _bins(listening: Listening) -> tuple[NDArray[np.intp], float]:
    """The bins up to the top of BAND_HZ, or of what the rate holds, intp [bins], and one in Hz."""
    rate_hz = listening.sample_rate_hz
    bin_hz = rate_hz / listening.hop / MOMENTS
    return np.arange(int(min(BAND_HZ[1], 0.47 * rate_hz) / bin_hz)), bin_hz
