"""A recording as the signs look at it: cut into segments, measured once, shared by all.

Windows are 50 ms at every sample rate, so that a bin is 20 Hz wide whatever the file's rate was: no
resampling, which would cost more than all signs together and leave its own trace. Of a long recording only
the middle of each segment is looked at: `ANALYSED_S` in all up to three minutes, `LEAST_LOOK_S` of every
segment beyond, so that the score along time stays complete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from classifiers.ai.long_spectrum import long_spectrum
from classifiers.audio import Audio

SEGMENT_S: Final = 5.0
BIN_HZ: Final = 20.0
HOP_S: Final = 0.025
LEAST_LOOK_S: Final = 1.6
STRETCH_S: Final = 60.0
"""One piece without gaps, for what shows only when it is added up over a long time."""
ANALYSED_S: Final = 60.0
"""Seconds looked at in all: 36 looks of 1.7 s for a recording of three minutes."""
HIGHEST_HZ: Final = 16_000.0
BINS: Final = round(HIGHEST_HZ / BIN_HZ)
"""Nothing above 16 kHz is looked at: whether it is there says more about the codec than about the maker."""
DEPTH_DB: Final = 90.0
"""Power further below the loudest cell of a look counts as none: under the resolution of 16 bit."""

Float = NDArray[np.float32]
Made = TypeVar("Made")


class _Spectra(NamedTuple):
    """mid: complex64 [looks, frames, BINS]. mid_db: float32, power relative to the loudest cell of a look,
    of what the channels share or of their difference.
    """

    mid: NDArray[np.complex64]
    mid_db: Float


@dataclass(frozen=True)
class Listening:
    """samples: float32 [looks, 2, length], the middle of each segment; a mono file twice the same.

    edges_s: [(start, end)] of the segments that the looks stand for.
    stretch: float32 [length], both channels together, STRETCH_S from the middle (all of a shorter recording).
    stretch_side: float32 [length], half their difference there; zeros of a mono file.
    """

    samples: Float
    sample_rate_hz: int
    edges_s: tuple[tuple[float, float], ...]
    mono: bool
    stretch: Float
    stretch_side: Float
    stretch_start_s: float
    _kept: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, name: str, work_out: Callable[[], Made]) -> Made:
        """What a sign worked out of this recording, kept for when it is asked again."""
        if name not in self._kept:
            self._kept[name] = work_out()
        made: Made = self._kept[name]
        return made

    @cached_property
    def stretch_spectrum(self) -> NDArray[np.complex64]:
        """Of the whole stretch, complex64 [length // 2 + 1]: two signs look at it."""
        return long_spectrum(self.stretch)

    @property
    def stretch_s(self) -> float:
        return max(self.stretch.size, 1) / self.sample_rate_hz

    @property
    def looks(self) -> int:
        return len(self.edges_s)

    @property
    def look_s(self) -> float:
        return float(self.samples.shape[2] / self.sample_rate_hz)

    @property
    def window(self) -> int:
        """Samples of a short-time spectrum."""
        return round(self.sample_rate_hz / BIN_HZ)

    @property
    def hop(self) -> int:
        """Samples from one short-time spectrum to the next."""
        return round(self.sample_rate_hz * HOP_S)

    @cached_property
    def middle(self) -> Float:
        """Both channels together, float32 [looks, length]."""
        return np.asarray(np.float32(0.5) * (self.samples[:, 0] + self.samples[:, 1]))

    @cached_property
    def _spectra(self) -> _Spectra:
        frames = 1 + (self.samples.shape[2] - self.window) // self.hop
        mid = np.empty((self.looks, frames, BINS), dtype=np.complex64)
        mid_db = np.empty(mid.shape, dtype=np.float32)
        for look, (left, right) in enumerate(self.samples):  # one at a time stays in the cache
            mid[look] = self._cells(self.middle[look])
            level = power(mid[look])
            # Channels in opposition leave nothing in the middle that should count as loud.
            apart = 1e-12 if self.mono else power(self._cells(0.5 * (left - right))).max()
            mid_db[look] = _relative_db(level, loudest=np.float32(max(level.max(), apart, 1e-12)))
        return _Spectra(mid, mid_db)

    def _cells(self, samples: Float) -> NDArray[np.complex64]:
        """The short-time spectrum of one look, complex64 [frames, BINS]."""
        taper = np.hanning(self.window).astype(np.float32) * np.float32(2.0 / self.window)
        heard = min(BINS, self.window // 2 + 1)
        cut = sliding_window_view(samples, self.window)[:: self.hop] * taper
        cells = np.zeros((len(cut), BINS), dtype=np.complex64)
        cells[:, :heard] = scipy.fft.rfft(cut, axis=1)[:, :heard]
        return cells

    @property
    def mid(self) -> NDArray[np.complex64]:
        """complex64 [looks, frames, BINS]; bins beyond the Nyquist frequency hold zero."""
        return self._spectra.mid

    @property
    def mid_db(self) -> Float:
        """float32 [looks, frames, BINS], 0 the loudest cell of a look, mid or side, -DEPTH_DB the floor."""
        return self._spectra.mid_db

    @cached_property
    def band_limit_hz(self) -> float:
        """Where the recording ends: above it the loudest tenth of the frames stays at the floor."""
        level = np.percentile(self.mid_db, 90, axis=(0, 1))
        heard = np.flatnonzero(level > -0.9 * DEPTH_DB)
        return float((heard[-1] + 1) * BIN_HZ) if heard.size else 0.0

    @cached_property
    def loudness_db(self) -> Float:
        """RMS of each look in dB relative to full scale, float32 [looks]."""
        power = np.square(self.samples).mean(axis=(1, 2))
        return np.asarray(10 * np.log10(power + 1e-12), dtype=np.float32)


def listen(audio: Audio, *, look_s: float | None = None) -> Listening:
    """Cut `audio` into segments of SEGMENT_S; what is left at the end joins the last one.

    look_s: seconds looked at in each segment; None: as long as ANALYSED_S allows.

    Channels beyond the second are left out: in surround files the front pair carries the music.
    A recording shorter than LEAST_LOOK_S is padded with silence.
    """
    duration_s = audio.duration_s
    count = max(int(duration_s // SEGMENT_S), 1)
    longest_s = min(SEGMENT_S, max(duration_s, LEAST_LOOK_S))
    look_s = float(np.clip(look_s or ANALYSED_S / count, LEAST_LOOK_S, longest_s))
    length = round(look_s * audio.sample_rate_hz)
    pair = audio.samples[:2]  # a view: only what is looked at is copied
    if pair.shape[1] < length:
        pair = np.pad(pair, ((0, 0), (0, length - pair.shape[1])))
    edges = [(index * SEGMENT_S, (index + 1) * SEGMENT_S) for index in range(count)]
    edges[-1] = (edges[-1][0], duration_s)
    looks = np.empty((count, 2, length), dtype=np.float32)
    for index, (start_s, _) in enumerate(edges):
        first = round((start_s + 0.5 * (min(SEGMENT_S, duration_s) - look_s)) * audio.sample_rate_hz)
        first = min(max(first, 0), pair.shape[1] - length)
        looks[index] = pair[:, first : first + length]
    mono = audio.channels == 1 or bool(np.array_equal(looks[:, 0], looks[:, 1]))
    first = max(pair.shape[1] - round(STRETCH_S * audio.sample_rate_hz), 0) // 2
    mid, side = mid_and_side(pair[:, first : first + round(STRETCH_S * audio.sample_rate_hz)])
    return Listening(
        samples=looks,
        sample_rate_hz=audio.sample_rate_hz,
        edges_s=tuple(edges),
        mono=mono,
        stretch=mid,
        stretch_side=side,
        stretch_start_s=first / audio.sample_rate_hz,
    )


def mid_and_side(channels: Float) -> tuple[Float, Float]:
    """Mean and half the difference of the first two channels, float32 [samples]; no difference where one is.

    channels: float32 [channels, samples].
    """
    if len(channels) == 1:
        return channels[0].astype(np.float32), np.zeros(channels.shape[1], dtype=np.float32)
    left, right = channels[:2].astype(np.float32, copy=False)
    mid, side = left + right, left - right
    mid *= np.float32(0.5)  # in place: ten megabytes a minute each
    side *= np.float32(0.5)
    return mid, side


def power(spectrum: NDArray[np.complex64]) -> Float:
    """Squared size, float32. Without the root that `abs` would take first."""
    squared = np.square(spectrum.real)
    squared += np.square(spectrum.imag)
    return np.asarray(squared)


def decibels(levels: Float) -> Float:
    """Ten decimal logarithms, float32. By way of the natural one, which numpy takes three times as fast."""
    logarithm = np.log(levels)
    logarithm *= np.float32(10.0 / np.log(10.0))
    return np.asarray(logarithm)


def _relative_db(levels: Float, *, loudest: Float | np.float32) -> Float:
    relative = levels / loudest
    return decibels(np.maximum(relative, np.float32(10 ** (-DEPTH_DB / 10)), out=relative))
