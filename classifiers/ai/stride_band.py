"""What the stride is sought in: the exact tones of a sound, and how fast its energy swells and falls.

Both come from a spectrum of the whole stretch, so a line is as narrow as a minute allows, a sixtieth of a
hertz. Tones are sought in a levelled one, where no moment drowns another; how loud a pitch is, and what
swells, is asked of the sound as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from classifiers.ai.lattice import Double
from classifiers.ai.levelled_spectrum import Levelled, level
from classifiers.ai.listening import Float
from classifiers.ai.long_spectrum import long_signal, long_spectrum

BAND_HZ: Final = (1_000.0, 15_500.0)
WHITE_HZ: Final = 30.0
LOUDEST: Final = 3.0
"""Times its neighbourhood: no bin more after whitening. Steady tones of a synthesiser beat with each other at
multiples of their pitch, and would make a lattice of their own; noise loses little."""
LEVEL_S: Final = 0.02
CLIP: Final = 8.0
"""Times the level: one click must not fill the spectrum."""
BLOCK_HZ: Final = 60.0
CHANCE_MEAN: Final = 1 / np.log(2.0)
"""Of an exponential distribution with median 1; its standard deviation is the same."""
AROUND: Final = np.concatenate((np.arange(-20, -3), np.arange(4, 21)))
"""Bins of a tone's neighbours."""
NOTCH: Final = np.arange(-2, 3)
"""Bins around a multiple that go when the tones on it are taken out."""


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch as a spectrum, from 0 Hz to the top of BAND_HZ.

    spectrum: complex64 [bins]. over: the size of each bin over that of its neighbourhood, float32 [bins].
    low: the bin at which BAND_HZ begins. bin_hz: one over the stretch's length.
    """

    spectrum: NDArray[np.complex64]
    over: Float
    low: int
    bin_hz: float

    @classmethod
    def of(
        cls, stretch: Float, *, rate_hz: int, spectrum: NDArray[np.complex64] | None = None
    ) -> Band | None:
        """None where there is nothing to hear.

        stretch: mono float32 [samples]; spectrum: of it, complex64, if it is known.
        """
        if _nothing_in(stretch, rate_hz=rate_hz):
            return None
        whole = long_spectrum(stretch) if spectrum is None else spectrum
        return cls._cut(whole, rate_hz=rate_hz, bin_hz=rate_hz / stretch.size)

    @classmethod
    def levelled(cls, stretch: Float, *, rate_hz: int, levelled: Levelled | None = None) -> Band | None:
        """The same with every moment as loud as the others; levelled: of it, to BAND_HZ, if it is known."""
        if _nothing_in(stretch, rate_hz=rate_hz):
            return None
        whole, bin_hz = (levelled or to_band(stretch, rate_hz=rate_hz)).spectrum()
        return cls._cut(whole, rate_hz=rate_hz, bin_hz=bin_hz)

    @classmethod
    def _cut(cls, whole: NDArray[np.complex64], *, rate_hz: int, bin_hz: float) -> Band:
        low = round(BAND_HZ[0] / bin_hz)
        band = whole[: _top(rate_hz, bin_hz)]
        size = np.abs(band)
        over = np.asarray(size / _smooth(size, low, bin_hz), dtype=np.float32)
        return cls(band, over=over, low=low, bin_hz=bin_hz)

    def swelling(self, *, without_hz: float) -> Float:
        """The spectrum of the levelled energy over its running median, float32 [bins], from 0 Hz.

        Whitened in frequency (tones no louder than noise) and levelled in time, both ways linear and free of
        any frame grid of their own. Chance scatters it exponentially around CHANCE_MEAN. without_hz: the
        tones at multiples of this are taken out before, so that they cannot beat with each other.
        """
        band = self.spectrum[self.low :].copy()
        holes = (self.multiples(without_hz)[:, None] + NOTCH).reshape(-1) - self.low
        band[holes[(holes >= 0) & (holes < band.size)]] = 0.0
        size = np.abs(band)
        smooth = _smooth(size, 0, self.bin_hz)
        length = scipy.fft.next_fast_len(2 * band.size)
        white = np.asarray(band / np.maximum(smooth, size / np.float32(LOUDEST)), dtype=np.complex64)
        signal = long_signal(white, length)
        energy = np.square(signal.real) + np.square(signal.imag)
        level = uniform_filter1d(energy, max(round(LEVEL_S * length * self.bin_hz), 3), mode="nearest")
        energy = np.minimum(energy / (level + np.float32(1e-4) * energy.mean()), np.float32(CLIP))
        spectrum = long_spectrum(energy - energy.mean())[: band.size]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        block = max(round(BLOCK_HZ / self.bin_hz), 1)
        count = power.size // block
        rows = power[: count * block].reshape(count, block)
        median = np.median(rows, axis=1, keepdims=True)
        return np.asarray((rows / np.maximum(median, np.float32(1e-20))).reshape(-1), dtype=np.float32)

    def multiples(
        self, spacing_hz: float, *, least_hz: float = 0.0, most_hz: float = np.inf
    ) -> NDArray[np.int64]:
        """The bins of the multiples of a spacing, int64 [multiples], all of them with neighbours."""
        top_hz = min(most_hz, (self.over.size - 2) * self.bin_hz)
        turns = np.arange(max(np.ceil(least_hz / spacing_hz - 1e-9), 1), np.floor(top_hz / spacing_hz) + 1)
        bins = np.round(turns * spacing_hz / self.bin_hz).astype(np.int64)
        return np.asarray(bins[(bins > 0) & (bins < self.over.size - 1)])

    def tones_at(self, spacing_hz: float, *, least_hz: float, most_hz: float = np.inf) -> Float:
        """The highest `over` of the three bins around each multiple, float32 [multiples]."""
        bins = self.multiples(spacing_hz, least_hz=least_hz, most_hz=most_hz)
        return np.asarray(self.over[bins[:, None] + (-1, 0, 1)].max(axis=1, initial=0.0))

    def tones(self, *, least: float, narrow: float, from_hz: float) -> Double:
        """Narrow peaks of `over`, float64 [tones, 2]: frequency in Hz, height. Strongest first.

        narrow: times the highest of the neighbours 4 to 20 bins away, so that vibrato, glides and beats,
        which make hills, do not count.
        """
        over = self.over
        found = np.flatnonzero(over >= least)  # few: the highest of three is sought among them alone
        found = found[(found * self.bin_hz > from_hz) & (found > 20) & (found < over.size - 21)]
        found = found[over[found] >= np.maximum(over[found - 1], over[found + 1])]
        if not found.size:
            return np.zeros((0, 2))
        found = found[over[found] >= narrow * over[found[:, None] + AROUND].max(axis=1)]
        before, at, after = (np.log(over[found + step] + np.float32(1e-6)) for step in (-1, 0, 1))
        off = np.clip(0.5 * (before - after) / (before - 2 * at + after - 1e-9), -0.5, 0.5)
        order = np.argsort(-over[found], kind="stable")
        tones = np.stack(((found + off) * self.bin_hz, over[found]), axis=1)
        return np.asarray(tones[order], dtype=np.float64)


def to_band(stretch: Float, *, rate_hz: int) -> Levelled:
    """Levelled, to the top of BAND_HZ."""
    return level(stretch, rate_hz=rate_hz, top_hz=BAND_HZ[1])


def _top(rate_hz: int, bin_hz: float) -> int:
    return round(min(BAND_HZ[1], 0.47 * rate_hz) / bin_hz)


def _nothing_in(stretch: Float, *, rate_hz: int) -> bool:
    """Silence, or too little of it for blocks of BLOCK_HZ to be told."""
    bin_hz = rate_hz / max(stretch.size, 1)
    narrow = _top(rate_hz, bin_hz) - round(BAND_HZ[0] / bin_hz) < 10 * max(round(BLOCK_HZ / bin_hz), 1)
    return narrow or not max(stretch.max(initial=0.0), -stretch.min(initial=0.0)) > 0


def _smooth(size: Float, low: int, bin_hz: float) -> Float:
    """The mean size around each bin; what lies 140 dB under the band's highest is not brought up."""
    smooth = uniform_filter1d(size, max(round(WHITE_HZ / bin_hz), 5), mode="nearest")
    smooth += np.float32(1e-7) * size[low:].max() + np.float32(1e-20)
    return np.asarray(smooth)
