"""Stride: a lattice of exact tones, and of swelling energy, from a few hundred hertz to beyond ten thousand.

A decoder that up-samples in strides does not treat all samples alike. It adds the same small pattern, its
bias, to every stride, so the sound has exact tones at multiples of the rate of its latents; and what comes
out is *cyclostationary* (Gardner 1986): its short-time energy swells at the same multiples. 25, 43.07, 50,
86.13, 100, 200 Hz, whatever its weights were. No instrument has such a lattice, because nothing that is
played keeps one rate to a thousandth of a hertz for half a minute and reaches ten kilohertz with it.

Nothing here is learnt, so no generator can be unknown to it. The rates are searched, never listed: a change
of speed moves all of them together. Steps:

1. A minute from the middle as one spectrum, a sixtieth of a hertz a bin, each bin over its neighbourhood.
2. *Tones*: narrow peaks of it, of the sound itself. *Lines*: narrow peaks in the spectrum of its energy,
   whitened in frequency and levelled in time (`stride_band.Band.swelling`).
3. The lattice that explains the tones best, and the one for the lines (`lattice.explain`): which spacing has
   more of them on its multiples than chance would put there (binomial, corrected for the number of spacings
   tried). `strength` is minus the decimal logarithm. A third of the peaks must lie on it, and no beat of 1 to
   20 Hz may explain them nearly as well: sequenced music repeats itself to the sample. The stronger of the
   two counts, at twice its chance.
4. Each must be confirmed by the other, for three others make one of them:
   - *A held pitch* of a synthesiser is a lattice of tones, and its partials beat. Without the tones nothing
     swells at that rate; and at the bottom the pitch itself stands out as no decoder's bias does, for there
     the music drowns it.
   - *A codec's frames* (Opus packs 20 ms) are a lattice of lines. The sound holds no tones at its multiples.
   - *Ticks*: consoles, home computers and trackers change their notes 13 to 300 times a second. A tick is a
     step of the sound, so its swelling is strongest at the first multiples and falls from there; what a
     decoder does to its samples is as strong at ten kilohertz. What falls is a tick.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.lattice import NONE, Double, Lattice, explain
from classifiers.ai.listening import STRETCH_S, Float, Listening
from classifiers.ai.signs import Features
from classifiers.ai.stride_band import BAND_HZ, CHANCE_MEAN, Band, peaks_of

LEAST_LINE: Final = 20.0
"""Times the median: chance puts 2^-20 of the bins there, one of those of a minute."""
NARROW_LINE: Final = 4.0
SLOWEST_LINE_HZ: Final = 3_000.0
"""Partials beat with each other up to some kilohertz: lattices of held pitches end there."""
MOST_LINES: Final = 60
LEAST_TONE: Final = 4.0
"""Times the neighbourhood: chance puts three bins of a million there."""
NARROW_TONE: Final = 1.5
LOWEST_TONE_HZ: Final = 2_000.0
MOST_TONES: Final = 40
"""Fewer than lines: a bias is weak, and music's own tones are many."""
STRONGEST: Final = 60.0
WORTH: Final = 2.0
"""Decades: less is not asked about any further."""
LOOKS_DECADES: Final = float(np.log10(2.0))
"""Tones and lines have twice the chance."""
HELD: Final = 3.0
"""Times the neighbourhood: chance puts one bin of a thousand there."""
LEAST_HELD: Final = 0.17
"""Share of the multiples of a lattice of lines that hold a tone. Those of Opus' frames in 55 human recordings
at 24 to 48 kbit/s have 0.03 at most, others of ten decades 0.15 and less; decoders' have 0.18 to 0.99."""
PITCH_HZ: Final = (0.0, 1_000.0, 2_000.0, 4_000.0)
"""Edges of the bands in which a pitch would stand out."""
MOST_PITCH: Final = 3.3
"""Binary logarithm of a multiple over its neighbourhood, the mean of a band, as a minute shows it. Those of
decoders stay under 3.0, but for one recording; 175 pieces on one synthesised pitch have 3.9 and more."""
SWELLS: Final = 4.0
"""Standard deviations above chance of the swelling at all multiples once the tones are gone. A held B flat of
110 decades has 2.0 at most, decoders 4.6 to 200."""
SWELLING_HZ: Final = (500.0, 15_000.0)
MOST_SWELLING: Final = 20.0
"""Times the median: one line must not stand for all."""
FIRST_MULTIPLES_HZ: Final = (40.0, 500.0)
"""Faster than what LEVEL_S levels out, slow enough to be heard as a rattle or a buzz."""
LATER_MULTIPLES_HZ: Final = (2_000.0, 5_000.0)
"""Not beyond: through a codec that ends at 11 kHz few pairs lie far apart, and everything would fall."""
MOST_FALL: Final = 2.5
"""Binary logarithm of the power on the first multiples over that on the later ones. Decoders have 2.4 and
less, most under 1.5; chip music made for the purpose has 4.0 to 8.1."""
SURE: Final = 2.5
"""Standard deviations above chance at which a look shows the lattice of the whole."""
CHANCE_SQUARE: Final = 4 / np.pi
"""Mean of the square of chance's `over` (Rayleigh, of mean 1); its standard deviation is the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """strength: of the lattice, at the chance of two looks, 0 to STRONGEST; 0 where it was not confirmed.

    tonal: of tones, else of lines. held: share of its multiples at which the sound holds a tone, in [0, 1].
    """

    lattice: Lattice
    strength: float = 0.0
    tonal: bool = False
    held: float = 0.0


NOTHING: Final = Found(NONE)


class Stride:
    name = "stride"
    describes = "exact tones and swelling energy at the multiples of one rate, as strided decoders leave them"
    features = ("strength", "spacing_octaves", "on", "peaks", "held")

    def measure(self, listening: Listening) -> Features:
        """The same row for every look: it is a property of the whole stretch."""
        found = self.find(listening)
        row = (
            found.strength,
            np.log2(max(found.lattice.spacing_hz, 1.0)),
            len(found.lattice.on_hz),
            found.lattice.peaks,
            found.held,
        )
        return np.tile(np.array(row, dtype=np.float32), (listening.looks, 1))

    def find(self, listening: Listening) -> Found:
        """Of the stretch; of strength 0 where a beat, a pitch, a codec or a tick explains it as well."""
        return listening.once("stride", lambda: search(listening.stretch, rate_hz=listening.sample_rate_hz))

    def present(self, listening: Listening) -> NDArray[np.bool_]:
        """Whether the lattice stands in each look too, bool [looks]: what was added up is there."""
        found, rate_hz = self.find(listening), listening.sample_rate_hz
        there = np.zeros(listening.looks, dtype=bool)
        for look in range(listening.looks) if found.strength > 0 else ():
            band = Band.of(listening.samples[look].mean(axis=0), rate_hz=rate_hz)
            if band is not None:
                bins = np.round(np.array(found.lattice.on_hz) / band.bin_hz).astype(int)
                there[look] = _above_chance(_spectrum(band, found) / _chance(found), bins) > SURE
        return there

    def spectrum(self, listening: Listening) -> Float:
        """Power over chance where the lattice was found, float32 [bins], for people to look at."""
        band = Band.of(listening.stretch, rate_hz=listening.sample_rate_hz)
        return np.zeros(0, dtype=np.float32) if band is None else _spectrum(band, self.find(listening))

    def place(self, listening: Listening) -> str:
        found = self.find(listening)
        if found.strength <= 0:
            return ""
        lattice, start_s = found.lattice, listening.stretch_start_s
        what = "tones of the sound" if found.tonal else "lines in the swelling of its energy"
        return (
            f"{len(lattice.on_hz)} of the {lattice.peaks} strongest {what} lie at multiples of"
            f" {lattice.spacing_hz:.2f} Hz, {start_s:.0f}–{start_s + listening.stretch_s:.0f} s;"
            f" by chance once in 10^{found.strength:.0f}. {found.held:.0%} of all its multiples hold a tone,"
            " and what lies between the tones swells at the same rate."
        )


def search(stretch: Float, *, rate_hz: int) -> Found:
    """The lattice of a mono stretch, float32 [samples]: of its tones or its lines, whichever is stronger."""
    band = Band.of(stretch, rate_hz=rate_hz)
    if band is None:
        return NOTHING
    tones = explain(tones_of(band)[:, 0], most=MOST_TONES, bin_hz=band.bin_hz)
    lines = explain(lines_of(band.swelling(), bin_hz=band.bin_hz)[:, 0], most=MOST_LINES, bin_hz=band.bin_hz)
    found = [confirm(tones, band, tonal=True), confirm(lines, band, tonal=False)]
    return max(found, key=lambda one: one.strength)


def tones_of(band: Band) -> Double:
    """Exact tones of the sound, strongest first: frequency in Hz and height, as `peaks_of` gives them."""
    return peaks_of(
        band.over, least=LEAST_TONE, narrow=NARROW_TONE, from_hz=LOWEST_TONE_HZ, bin_hz=band.bin_hz
    )


def lines_of(power: Float, *, bin_hz: float) -> Double:
    """Lines of a spectrum as `Band.swelling` gives it, strongest first: frequency in Hz and height."""
    return peaks_of(power, least=LEAST_LINE, narrow=NARROW_LINE, from_hz=SLOWEST_LINE_HZ, bin_hz=bin_hz)


def confirm(lattice: Lattice, band: Band, *, tonal: bool) -> Found:
    """What is left of a lattice when the other half of the evidence is asked."""
    strength = lattice.strength - LOOKS_DECADES
    held = share_held(band, lattice.spacing_hz) if strength > WORTH else 0.0
    if strength <= WORTH or pitch(band, lattice.spacing_hz) > MOST_PITCH or not (tonal or held >= LEAST_HELD):
        return Found(replace(NONE, peaks=lattice.peaks))
    between = band.swelling(without_hz=lattice.spacing_hz)
    bins = band.multiples(lattice.spacing_hz, least_hz=SWELLING_HZ[0], most_hz=SWELLING_HZ[1])
    swells = _above_chance(np.minimum(between, MOST_SWELLING) / CHANCE_MEAN, bins)
    if swells < SWELLS or fall(between, spacing_hz=lattice.spacing_hz, bin_hz=band.bin_hz) > MOST_FALL:
        return Found(replace(NONE, peaks=lattice.peaks))
    return Found(lattice, strength=min(strength, STRONGEST), tonal=tonal, held=held)


def share_held(band: Band, spacing_hz: float) -> float:
    """Of the multiples of a spacing in BAND_HZ, how many hold a tone of the sound itself."""
    tones = band.tones_at(spacing_hz, least_hz=BAND_HZ[0])
    return float((tones > HELD).mean()) if tones.size else 0.0


def pitch(band: Band, spacing_hz: float) -> float:
    """How far the multiples stand out where a pitch would: the mean binary logarithm, of its loudest band.

    As a minute would show it: a tone stands out with the root of the length.
    """
    heights = (
        band.tones_at(spacing_hz, least_hz=least_hz, most_hz=most_hz)
        for least_hz, most_hz in pairwise(PITCH_HZ)
    )
    loudest = max((float(np.log2(np.maximum(one, 0.1)).mean()) for one in heights if one.size), default=0.0)
    return loudest + 0.5 * float(np.log2(STRETCH_S * band.bin_hz))


def fall(power: Float, *, spacing_hz: float, bin_hz: float) -> float:
    """How much stronger the first multiples are than later ones, in powers of two.

    power: as `Band.swelling` gives it. Of each multiple the highest of three bins counts, logarithmically, so
    that neither one line nor the noise around it decides.
    """
    multiples = np.arange(1, int((power.size - 2) * bin_hz / spacing_hz) + 1)
    bins = np.round(multiples * spacing_hz / bin_hz).astype(int)
    heights = np.log2(np.maximum(power[bins[:, None] + (-1, 0, 1)].max(axis=1), 1.0))
    at_hz = multiples * spacing_hz
    first, later = (
        heights[(at_hz >= least_hz) & (at_hz <= most_hz)].mean()
        for least_hz, most_hz in (FIRST_MULTIPLES_HZ, LATER_MULTIPLES_HZ)
    )
    return float(first - later)


def _spectrum(band: Band, found: Found) -> Float:
    """Where the lattice was found, from 0 Hz: the sound, or the swelling of its energy."""
    return np.square(band.over) if found.tonal else band.swelling()


def _chance(found: Found) -> float:
    """Mean of `_spectrum` by chance."""
    return CHANCE_SQUARE if found.tonal else CHANCE_MEAN


def _above_chance(over: Float, bins: NDArray[np.int64]) -> float:
    """Standard deviations of a mean of exponential values, float32 [bins] of mean 1, over that of chance."""
    bins = bins[bins < over.size]
    return float((over[bins].mean() - 1.0) * np.sqrt(bins.size)) if bins.size else -np.inf
