"""A decoder's lattice in short spectra: what a shift of pitch blurred, or a few seconds can't show exactly.

A phase vocoder turns each neighbourhood of the spectrum with the partial that is loudest there, anew in every
frame. A faint tone beside it is carried along, so that it no longer lies at one frequency to a sixtieth of a
hertz; within some tenths of a second it still does, to a hertz or two. So the power of short spectra is
averaged, and all multiples of a spacing are asked at once, faint as each is: several hundred of them. That
also finds lattices that are exact, but too faint for a single tone of them to stand out.

Music has such lattices, too, and four kinds are told:

- *a held pitch*: its multiples stand out at the bottom, where those of a decoder drown in the music;
- *a relative of one*, such as three fourths of a pitch, or a third of what a codec's bands are apart: only
  every fourth of its multiples stands out, or every third;
- *hum*, which is never exactly at its mains' rate;
- *a beat*, such as sixteenth notes to the sample: all its multiples stand out. So the spacing is one of
  several, and what lies between its multiples stands out as well.

A beat faster than decoders are slow, some synthesised pitches and the grid of a vocoder's own frames are not
told: so this adds to a score and accuses nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.sparse import csr_array

from classifiers.ai.lattice import SLOWEST_HZ, hums
from classifiers.ai.levelled_spectrum import Float, Levelled

MOMENTS: Final = 32
"""Of a short spectrum, 0.76 s: 16 and 64 found as much behind a shift by two semitones (docs/ai.md)."""
SPACINGS_HZ: Final = (40.0, 340.0)
"""A lattice of 25 Hz shows by every second of its multiples; wider ones are those of codecs' bands."""
STEP: Final = 6e-5
"""Of a spacing: less than a bin at its highest multiple."""
HIGH_HZ: Final = (2_000.0, 15_000.0)
LOW_HZ: Final = (100.0, 2_000.0)
PITCHED: Final = 0.5
"""Of what a multiple in HIGH_HZ stands out by in the mean: where one in LOW_HZ has more it is a pitch's."""
EVERY: Final = np.arange(2, 13)
EVEN: Final = 0.3
"""Of what a multiple stands out by in the mean: where all but every second, or third, have less it is a
relative of something wider (docs/ai.md)."""
TRIES: Final = 6
"""How many spacings are asked, the strongest first. What is within BESIDE of one that was is the same."""
BESIDE: Final = 2e-3
EXACT: Final = 2e-4
"""Of a spacing: as near to 50 and 100 Hz lie decoders'. Human recordings with hum have 59.98 and 99.97."""
RIVAL: Final = 0.8
"""Of the height: another that is as high and RIVAL_EVEN makes it one of a beat's (docs/ai.md)."""
RIVAL_EVEN: Final = 0.7
"""More than EVEN: relatives of a codec's bands are no rivals."""
BETWEEN: Final = 0.5
"""Of what its multiples stand out by in the mean: where those of a beat between them have more it is one of
the beat's. From 0.3 to 0.6 as much is told (docs/ai.md)."""
SLOWEST_BEAT_HZ: Final = 7.0
"""Slower ones are not told apart in spectra as short as these."""
TOLERANCE: Final = 1.2e-3
"""Of the ratio of two spacings: so near to one of whole numbers they are multiples of one rate."""
AROUND_HZ: Final = 130.0
SECTION_HZ: Final = 1_000.0
LOUDEST: Final = 5.0
"""Standard deviations: no bin counts for more, however loud the partial on it is."""
PLACES: Final = 96
"""Rows of the spectrogram, 2 kHz, over which what hangs on the place in a row is levelled out."""
NEAR: Final = 7e-4
"""Of a spacing that is asked again elsewhere."""
BLOCK: Final = 512
"""Spacings that share the numbers of their multiples."""

Spacings = NDArray[np.float64]
"""In Hz, ascending, near each other: they share the numbers of their multiples."""


@dataclass(frozen=True, slots=True)
class Blurred:
    """The strongest lattice. height: standard deviations of chance by which it stands out."""

    spacing_hz: float
    height: float


NONE: Final = Blurred(spacing_hz=0.0, height=0.0)


def find(levelled: Levelled) -> Blurred:
    """NONE where the sound is too short or its rate too low for multiples to be told."""
    power, bin_hz = levelled.short_power(MOMENTS)
    if not power.any() or power.size * bin_hz < 2 * HIGH_HZ[0]:
        return NONE
    return strongest(prominence(power, bin_hz=bin_hz)[None], bin_hz)[0]


def strongest(overs: Float, bin_hz: float, *, step: float = STEP) -> list[Blurred]:
    """Of each the strongest that is a decoder's; NONE where there is none.

    overs: float32 [spectra, bins], each as `prominence` gives it. Several at once cost little more than one.
    step: from one spacing to the next, as a share of it.
    """
    return [
        _decoders(over, bin_hz, _highest(heights, _spacings(step)))
        for over, heights in zip(overs, _all_heights(overs, bin_hz, step), strict=True)
    ]


def _decoders(over: Float, bin_hz: float, found: list[Blurred]) -> Blurred:
    """The first that is a decoder's."""
    evennesses = [evenness(over, bin_hz, one.spacing_hz) for one in found]
    rivals = [one for one, even in zip(found, evennesses, strict=True) if even >= RIVAL_EVEN]
    for one, even in zip(found, evennesses, strict=True):
        if even < EVEN or hums(one.spacing_hz, exact=EXACT) or one_of_a_beat(one, rivals):
            continue
        if between(over, bin_hz, one.spacing_hz) <= BETWEEN:
            return one
    return NONE


def _highest(heights: Float, spacings_hz: Spacings) -> list[Blurred]:
    """The TRIES highest, the highest first. Both [spacings]; heights: float32, overwritten."""
    found: list[Blurred] = []
    while len(found) < TRIES and heights.max() > 0:
        best = int(heights.argmax())
        spacing_hz = float(spacings_hz[best])
        found.append(Blurred(spacing_hz, float(heights[best])))
        first, end = np.searchsorted(spacings_hz, (spacing_hz * (1 - BESIDE), spacing_hz * (1 + BESIDE)))
        heights[first:end] = 0.0
    return found


def _all_heights(overs: Float, bin_hz: float, step: float) -> Float:
    """By how many standard deviations of chance all multiples of each spacing stand out together, float32
    [spectra, spacings]; 0 where they are a pitch's.
    """
    columns = np.ascontiguousarray(overs.T)
    combs = [_combs_of(len(columns), bin_hz, band_hz, step) for band_hz in (HIGH_HZ, LOW_HZ)]
    numbers = [np.maximum(np.diff(comb.indptr), 1).astype(np.float32)[:, None] for comb in combs]
    high, low = (comb @ columns / number for comb, number in zip(combs, numbers, strict=True))
    high[low > PITCHED * high] = 0.0
    return np.ascontiguousarray((high * np.sqrt(numbers[0])).T)


def height_near(over: Float, bin_hz: float, spacing_hz: float) -> float:
    """By how many standard deviations all multiples of a spacing stand out; the best within NEAR of it."""
    near = np.log(spacing_hz) + np.arange(-NEAR, NEAR + STEP, STEP)
    turns, bins = _multiples(over.size, bin_hz, np.exp(near), HIGH_HZ)
    return float(over[bins].sum(axis=-1).max() / np.sqrt(max(turns.size, 1)))


def one_of_a_beat(one: Blurred, rivals: list[Blurred]) -> bool:
    """Whether another is nearly as high and both are multiples of nothing that a decoder's rate could be."""
    return any(
        rival.height >= RIVAL * one.height and common_hz(one.spacing_hz, rival.spacing_hz) < SLOWEST_HZ
        for rival in rivals
    )


def common_hz(one_hz: float, other_hz: float) -> float:
    """The highest rate of at least SLOWEST_HZ whose multiples both are; 0 where there is none."""
    for parts in range(1, int(one_hz / SLOWEST_HZ) + 1):
        turns = round(other_hz / one_hz * parts)
        if turns and abs(other_hz / one_hz * parts / turns - 1) < TOLERANCE:
            return one_hz / parts
    return 0.0


def between(over: Float, bin_hz: float, spacing_hz: float) -> float:
    """By how much other multiples of a beat stand out, of what those of the spacing do; of the worst beat.

    The beats are the spacing's whole parts that are slower than any decoder's rate. -inf where it has none.
    """
    parts = range(int(spacing_hz / SLOWEST_HZ) + 1, int(spacing_hz / SLOWEST_BEAT_HZ) + 1)
    others = []
    for count in parts:
        turns, bins = _multiples(over.size, bin_hz, np.array([spacing_hz / count]), HIGH_HZ)
        others.append(float(over[bins[0]][turns % count != 0].mean()))
    _, bins = _multiples(over.size, bin_hz, np.array([spacing_hz]), HIGH_HZ)
    return max(others, default=-np.inf) / max(float(over[bins[0]].mean()), 1e-6)


def evenness(over: Float, bin_hz: float, spacing_hz: float) -> float:
    """Of the multiples in HIGH_HZ the mean without every second, or third, over that of all; the least.

    over: as `prominence` gives it. 1 where all multiples stand out alike, 0 where one in so many does.
    """
    turns, bins = _multiples(over.size, bin_hz, np.array([spacing_hz]), HIGH_HZ)
    heights = over[bins[0]]
    without = turns % EVERY[:, None] != 0
    rest = (without @ heights) / np.maximum(without.sum(axis=1), 1)
    return float(rest.min()) / max(float(heights.mean()), 1e-6)


def prominence(power: Float, *, bin_hz: float) -> Float:
    """By how much each bin stands out, float32 [..., bins]: of mean 0 and deviation 1 in each section.

    power: [..., bins], as `Levelled.short_power` gives it. Each bin is taken over the median around it; what
    hangs on its place between two rows of the spectrogram, whose windows pass less there, is levelled out.
    """
    level = np.log(power + np.float32(1e-20))
    around = np.empty_like(level)
    size = round(AROUND_HZ / bin_hz) // 2 * 2 + 1
    for spectrum in np.ndindex(level.shape[:-1]):  # much faster than one filter of several dimensions
        median_filter(level[spectrum], size, output=around[spectrum], mode="nearest")
    over = np.asarray(level - around, dtype=np.float32)
    row, bins = MOMENTS // 2, over.shape[-1]
    for rows in np.array_split(np.arange(bins // row), max(bins // row // PLACES, 1)):
        first, end = rows[0], rows[-1] + 1
        section = over[..., first * row : end * row].reshape(*over.shape[:-1], -1, row)
        place = np.clip(section, -1.0, 1.0).mean(axis=-2, keepdims=True)
        section = section - (place - place.mean(axis=-1, keepdims=True))
        over[..., first * row : end * row] = section.reshape(*over.shape[:-1], -1)
    edges = np.linspace(0, bins, max(round(bins * bin_hz / SECTION_HZ), 1) + 1).astype(int)
    for first, end in pairwise(edges):
        part = over[..., first:end]  # a view
        part /= np.maximum(1.4826 * np.median(np.abs(part), axis=-1, keepdims=True), 1e-3)
        np.clip(part, -LOUDEST, LOUDEST, out=part)
        part -= part.mean(axis=-1, keepdims=True)
        part /= np.maximum(part.std(axis=-1, keepdims=True), 1e-3)
    return over


@cache
def _spacings(step: float) -> Spacings:
    """All that are asked."""
    return np.asarray(np.exp(np.arange(np.log(SPACINGS_HZ[0]), np.log(SPACINGS_HZ[1]), step)))


@lru_cache(maxsize=8)
def _combs_of(bins: int, bin_hz: float, band_hz: tuple[float, float], step: float) -> csr_array:
    """Ones at all multiples of every spacing in a band, float32 [spacings, bins].

    A product with it takes a fifth of the time of gathering them, and for eleven spectra five times as long
    as for one. Up to 40 MB; made once for each rate, in a tenth of a second.
    """
    every = _spacings(step)
    at, lengths = [], []
    for first in range(0, every.size, BLOCK):
        spacings = every[first : first + BLOCK]
        turns, multiples = _multiples(bins, bin_hz, spacings, band_hz)
        at.append(multiples.astype(np.int32).ravel())
        lengths.append(np.full(spacings.size, turns.size))
    indices = np.concatenate(at)
    ends = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int32)
    ones = np.ones(indices.size, dtype=np.float32)
    return csr_array((ones, indices, ends), shape=(every.size, bins))


def _multiples(
    size: int, bin_hz: float, spacings_hz: Spacings, band_hz: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Which multiples of all these spacings lie in a band, float64 [turns]; their bins, [spacings, turns].

    size: how many bins there are.
    """
    top_hz = min(band_hz[1], (size - 2) * bin_hz)
    turns = np.arange(np.ceil(band_hz[0] / spacings_hz[0]), np.floor(top_hz / spacings_hz[-1]) + 1)
    return turns, np.rint(np.outer(spacings_hz / bin_hz, turns)).astype(np.intp)
