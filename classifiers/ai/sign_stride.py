"""Stride: exact tones at multiples of one rate, from a few hundred hertz to beyond ten thousand.

A decoder that up-samples in strides does not treat all samples alike. It adds the same small pattern, its
bias, to every stride, so the sound has exact tones at multiples of the rate of its latents; and what comes
out is *cyclostationary* (Gardner 1986): its short-time energy swells at the same multiples. 25, 43.07, 50,
86.13, 100, 200 Hz, whatever its weights were. Nothing that is played by hand keeps one rate to a thousandth
of a hertz for half a minute and reaches ten kilohertz with it; sequenced synthesisers do, and steps 2 to 4
are there to tell them.

Nothing here is learnt, so no generator can be unknown to it. The rates are searched, never listed: a change
of speed moves all of them together. Steps:

1. A minute from the middle as one spectrum, a sixtieth of a hertz a bin, every moment levelled to the others
   (`levelled_spectrum`), each bin over its neighbourhood. Tones are its narrow peaks.
2. The lattice that explains the strongest tones best (`lattice.explain`): which spacing has more of them on
   its multiples than chance would put there (binomial, corrected for the number of spacings tried).
   `strength` is minus the decimal logarithm. A third of the tones must lie on it, and no beat of 1 to 20 Hz
   may explain them nearly as well: sequenced music repeats itself to the sample.
3. What works in blocks of 1,024 samples at 48 kHz leaves one as well, and so does the hum of the mains: no
   lattice at such a rate counts. A held pitch is a lattice of tones too. But at the bottom it stands out as
   no decoder's bias does, for there the music drowns it; in short stretches its place on the tempered scale
   tells it; and without the tones nothing swells at its rate. So they are taken out of the spectrum, and what
   is left must swell at their multiples (`Band.swelling`).
4. It must not fall: a tick of console or tracker music, a step of the sound, swells most at the first
   multiples; what a decoder does to its samples is as strong higher up.
5. Where that finds nothing sure in what the channels share, their difference is asked the same: a decoder
   of two channels adds a bias to each, and less music lies over it there.
6. Where that finds nothing either, a lattice that a phase vocoder blurred, or that is too faint for exact
   tones, is looked for in short spectra (`blurred_lattice`). It counts in the score and accuses nobody.

The swelling alone is not looked for: Opus' and AAC's frames make lattices of it as pure as a decoder's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai import blurred_lattice
from classifiers.ai.blurred_lattice import Blurred
from classifiers.ai.ground import LEAST_LOUDNESS_DB
from classifiers.ai.lattice import FEW, NONE, SLOWEST_HZ, Lattice, explain, hums
from classifiers.ai.levelled_spectrum import Levelled
from classifiers.ai.listening import STRETCH_S, Float, Listening, mid_and_side
from classifiers.ai.signs import Features
from classifiers.ai.stride_band import BAND_HZ, CHANCE_MEAN, Band, to_band

LEAST_TONE: Final = 4.0
"""Times the neighbourhood: chance puts three bins of a million there."""
NARROW_TONE: Final = 1.5
LOWEST_TONE_HZ: Final = 2_000.0
LOOKS: Final = (40, FEW)
"""How many of the strongest tones are asked. Music's own may be many and stronger than a bias, or a few a
little weaker: by the first look alone 77 of 130 machine-made recordings have ten decades (docs/ai.md). In
less than TOLD_BY_LEVEL_S only the first: a human loop of 22 s has 10 of its 12 strongest on 58.67 Hz."""
STRONGEST: Final = 60.0
ENOUGH: Final = 10.0
"""Decades: what has so many in the middle is not asked for more in the difference."""
WORTH: Final = 2.0
"""Decades: less is not asked about any further."""
HELD: Final = 3.0
"""Times the neighbourhood: chance puts one bin of a thousand there."""
PITCH_HZ: Final = (0.0, 1_000.0, 2_000.0, 4_000.0)
"""Edges of the bands in which a pitch would stand out."""
MOST_PITCH: Final = 3.3
"""Binary logarithm of a multiple over its neighbourhood, the mean of a band, as a minute shows it. Those of
decoders stay under 3.0, but for one recording; 175 pieces on one synthesised pitch have 3.9 and more."""
CONCERT_HZ: Final = 440.0
"""ISO 16."""
MOST_CENTS: Final = 3.0
"""From the next note of the tempered scale: what lies nearer is a note. The lattices of four pitches in 227
human recordings are within one cent, the rates of latents 20 and more off."""
BLOCKS_AT_HZ: Final = 48_000
"""Blocks of a power of two of samples have rates there that no latents met have (of 44.1 kHz some do).
Effects and codecs of an earlier life leave them: one human recording of 227 has 46.875 Hz."""
TOLD_BY_LEVEL_S: Final = 54.0
"""In less than this a bass on one note can be too soft for MOST_PITCH, and the scale is asked. Not in more: a
change of speed by a tenth puts 25, 50, 100 and 200 Hz on four A's."""
SEQUENCED_S: Final = 20.0
"""In less a beat and its multiples are not told apart so well: sequenced music shows lattices of notes."""
FASTEST_NOTES_HZ: Final = 42.0
"""Sixty-fourths at 160 beats a minute. In less than TOLD_BY_LEVEL_S a slower lattice is one of notes: most
that cuts of human recordings had were at 20 to 40 Hz (docs/ai.md); only decoders of 25 Hz have one there."""
EXACT: Final = 1e-5
"""Decoders of 50 and 100 Hz are within three millionths of it, mains further off. A human recording with hum
in its soft moments has 59.98 Hz in 20 s of them."""
SWELLS: Final = 8.0
"""Standard deviations above chance of the swelling at all multiples once the tones are gone. A held B flat of
110 decades has up to 5.4, depending on where the minute is cut; decoders 10 to 200, a handful of 350 less."""
SWELLING_HZ: Final = (500.0, 15_000.0)
MOST_SWELLING: Final = 20.0
"""Times the median: one line must not stand for all."""
FIRST_MULTIPLES_HZ: Final = (40.0, 500.0)
"""Faster than what LEVEL_S levels out, slow enough to be heard as a rattle or a buzz."""
LATER_MULTIPLES_HZ: Final = (2_000.0, 5_000.0)
"""Not beyond: through a codec that ends at 11 kHz few pairs lie far apart, and everything would fall."""
MOST_FALL: Final = 2.5
"""Binary logarithm of the power on the first multiples over that on the later ones. Decoders have 2.4 and
less, but for one, and most under 1.5; chip music made for the purpose has 4.0 to 8.1."""
SURE: Final = 3.2
"""Standard deviations above chance at which a look shows the lattice of the whole: seven in eight looks of
1.7 s of generated music do, and one in fifty of human music that is asked for the same lattice."""
LEAST_HEIGHT: Final = 6.5
"""Of a blurred lattice, in standard deviations of chance (docs/ai.md)."""
DECADES_A_DEVIATION: Final = 2.5
MOST_BLURRED: Final = 6.0
"""Far less than stands alone, for sequenced music and synthesisers have some, too: of clips of ten seconds
without exact tones one in 23 human ones and two in five generated ones show some, of minutes behind a shift
of pitch one in fifteen and half. With eight 44 instead of 52 % are found there at 1 % false positives."""
CHANCE_SQUARE: Final = 4 / np.pi
"""Mean of the square of chance's `over` (Rayleigh, of mean 1); its standard deviation is the same."""


@dataclass(frozen=True, slots=True)
class Found:
    """strength: decades of chance, 0 to STRONGEST; 0 where the lattice was not confirmed.

    held: share of its multiples at which the sound holds a tone, in [0, 1].
    side: it stands in the difference of the channels, not in what they share. blurred: the lattice of the
    short spectra of what they share, asked where nothing else is found.
    """

    lattice: Lattice
    strength: float = 0.0
    held: float = 0.0
    side: bool = False
    blurred: Blurred = blurred_lattice.NONE

    @property
    def spacing_hz(self) -> float:
        """Of whichever counts."""
        return self.lattice.spacing_hz if self.strength > 0 else self.blurred.spacing_hz

    @property
    def decades(self) -> float:
        """What counts in a score: the strength; without any, what a blurred lattice is worth."""
        if self.strength > 0:
            return self.strength
        above = max(self.blurred.height - LEAST_HEIGHT, 0.0)
        return min(DECADES_A_DEVIATION * above, MOST_BLURRED)

    @property
    def blurs(self) -> bool:
        """Whether it is a blurred lattice that counts."""
        return self.strength <= 0 < self.decades


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
        return listening.once(
            "stride",
            lambda: search(
                listening.stretch,
                listening.stretch_side,
                rate_hz=listening.sample_rate_hz,
                spectrum=listening.stretch_spectrum,
            ),
        )

    def present(self, listening: Listening) -> NDArray[np.bool_]:
        """Whether the lattice stands in each look too, bool [looks]: what was added up is there.

        A blurred one is the whole's alone: no look is long enough to show it, so it counts in all.
        """
        found, rate_hz = self.find(listening), listening.sample_rate_hz
        there = np.full(listening.looks, found.blurs)
        for look in range(listening.looks) if found.strength > 0 else ():
            band = Band.levelled(mid_and_side(listening.samples[look])[found.side], rate_hz=rate_hz)
            if band is not None:
                bins = np.round(np.array(found.lattice.on_hz) / band.bin_hz).astype(int)
                over = np.asarray(np.square(band.over) / CHANCE_SQUARE, dtype=np.float32)
                there[look] = _above_chance(over, bins) > SURE
        return there

    def place(self, listening: Listening) -> str:
        found = self.find(listening)
        lattice, start_s = found.lattice, listening.stretch_start_s
        if found.strength <= 0:
            return _place_of(found.blurred, listening) if found.blurs else ""
        of = "tones of the channels' difference" if found.side else "tones"
        return (
            f"{len(lattice.on_hz)} of the {lattice.peaks} strongest {of} lie at multiples of"
            f" {lattice.spacing_hz:.2f} Hz, {start_s:.0f}–{start_s + listening.stretch_s:.0f} s;"
            f" by chance once in 10^{found.strength:.0f}. {found.held:.0%} of all its multiples hold a tone,"
            " and what lies between the tones swells at the same rate."
        ) + (
            " In so short a clip sequenced music may show it, too."
            if listening.stretch_s < SEQUENCED_S
            else ""
        )


def _place_of(blurred: Blurred, listening: Listening) -> str:
    start_s = listening.stretch_start_s
    return (
        f"Faint lines at multiples of {blurred.spacing_hz:.2f} Hz stand out of short spectra by"
        f" {blurred.height:.1f} standard deviations of chance together,"
        f" {start_s:.0f}–{start_s + listening.stretch_s:.0f} s: a decoder's tones where they are soft, or"
        " where a shift of pitch or a stretch blurred them. Vocoders, sequencers and some synthesisers leave"
        " some, too: they count, and accuse nobody."
    )


def search(mid: Float, side: Float, *, rate_hz: int, spectrum: NDArray[np.complex64] | None = None) -> Found:
    """The lattice of the tones of a stretch; of its difference only where the middle shows nothing sure.

    mid, side: float32 [samples] each, as `mid_and_side` gives them. spectrum: of the middle, if it is known.
    """
    middle = Signal(mid, rate_hz=rate_hz, spectrum=spectrum)
    shared = search_in(middle)
    if shared.strength >= ENOUGH:
        return shared
    apart = search_in(Signal(side, rate_hz=rate_hz))
    strength = apart.strength - float(np.log10(2))  # a second chance to meet one
    if strength > shared.strength:
        return replace(apart, strength=strength, side=True)
    if shared.strength > 0 or middle.levelled is None:
        return shared
    return replace(shared, blurred=blurred_lattice.find(middle.spots))


def search_in(signal: Signal) -> Found:
    """The lattice of the tones of one signal. That of the whole is asked only where tones make a lattice."""
    levelled = signal.levelled
    if levelled is None:
        return NOTHING
    tones = levelled.tones(least=LEAST_TONE, narrow=NARROW_TONE, from_hz=LOWEST_TONE_HZ)
    asked = LOOKS if signal.samples.size >= TOLD_BY_LEVEL_S * signal.rate_hz else LOOKS[:1]
    looks = [explain(tones[:, 0], most=most, bin_hz=levelled.bin_hz) for most in asked]
    # The stronger of two that found the same spacing stands for both.
    found = {round(look.spacing_hz, 2): look for look in sorted(looks, key=lambda look: look.strength)}
    for lattice in reversed(found.values()):
        strength = lattice.strength - float(np.log10(len(asked)))
        if strength <= WORTH:
            continue
        if signal.plain is not None and confirmed(signal.plain, lattice.spacing_hz):
            held = share_held(levelled, lattice.spacing_hz)
            return Found(lattice, strength=min(strength, STRONGEST), held=held)
    return Found(replace(NONE, peaks=looks[0].peaks))


class Signal:
    """What is asked of one signal, float32 [samples], each worked out when it is asked first."""

    def __init__(
        self, samples: Float, *, rate_hz: int, spectrum: NDArray[np.complex64] | None = None
    ) -> None:
        """spectrum: of the samples, if it is known."""
        self.samples, self.rate_hz, self._spectrum = samples, rate_hz, spectrum

    @cached_property
    def spots(self) -> Levelled:
        return to_band(self.samples, rate_hz=self.rate_hz)

    @cached_property
    def levelled(self) -> Band | None:
        """None where there is nothing to hear.

        Channels in opposition leave nothing in the middle but what a codec writes there.
        """
        power = np.dot(self.samples, self.samples) / max(self.samples.size, 1)
        quiet = 10 * np.log10(power + 1e-12) < LEAST_LOUDNESS_DB
        return None if quiet else Band.levelled(self.samples, rate_hz=self.rate_hz, levelled=self.spots)

    @cached_property
    def plain(self) -> Band | None:
        return Band.of(self.samples, rate_hz=self.rate_hz, spectrum=self._spectrum)


def confirmed(band: Band, spacing_hz: float) -> bool:
    """Whether tones at its multiples are a decoder's: no blocks, hum, pitch or notes, and it swells.

    band: of the sound as it is, not levelled.
    """
    short = TOLD_BY_LEVEL_S * band.bin_hz > 1
    noted = cents_from_a_note(spacing_hz) < MOST_CENTS or spacing_hz < FASTEST_NOTES_HZ
    elsewhere = spacing_hz < SLOWEST_HZ or in_blocks(spacing_hz) or hums(spacing_hz, exact=EXACT)
    if elsewhere or (short and noted) or pitch(band, spacing_hz) > MOST_PITCH:
        return False
    between = band.swelling(without_hz=spacing_hz)
    bins = band.multiples(spacing_hz, least_hz=SWELLING_HZ[0], most_hz=SWELLING_HZ[1])
    swells = _above_chance(np.minimum(between, MOST_SWELLING) / CHANCE_MEAN, bins)
    return swells >= SWELLS and fall(between, spacing_hz=spacing_hz, bin_hz=band.bin_hz) <= MOST_FALL


def share_held(band: Band, spacing_hz: float) -> float:
    """Of the multiples of a spacing in BAND_HZ, how many hold a tone of the sound itself."""
    tones = band.tones_at(spacing_hz, least_hz=BAND_HZ[0])
    return float((tones > HELD).mean()) if tones.size else 0.0


def in_blocks(spacing_hz: float) -> bool:
    """Whether it is the rate of blocks of a power of two of samples, at BLOCKS_AT_HZ."""
    octaves = np.log2(BLOCKS_AT_HZ / spacing_hz)
    return bool(abs(octaves - np.round(octaves)) < MOST_CENTS / 1200)


def cents_from_a_note(pitch_hz: float) -> float:
    """Of the tempered scale by CONCERT_HZ, 0 to 50."""
    cents = 1200 * np.log2(pitch_hz / CONCERT_HZ)
    return float(abs(cents - 100 * np.round(cents / 100)))


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
    that neither one line nor the noise around it decides. Infinite where the band holds no later multiples.
    """
    multiples = np.arange(1, int((power.size - 2) * bin_hz / spacing_hz) + 1)
    bins = np.round(multiples * spacing_hz / bin_hz).astype(int)
    heights = np.log2(np.maximum(power[bins[:, None] + (-1, 0, 1)].max(axis=1), 1.0))
    at_hz = multiples * spacing_hz
    first, later = (
        heights[(at_hz >= least_hz) & (at_hz <= most_hz)]
        for least_hz, most_hz in (FIRST_MULTIPLES_HZ, LATER_MULTIPLES_HZ)
    )
    return float(first.mean() - later.mean()) if first.size and later.size else np.inf


def _above_chance(over: Float, bins: NDArray[np.int64]) -> float:
    """Standard deviations of a mean of exponential values, float32 [bins] of mean 1, over that of chance."""
    bins = bins[bins < over.size]
    return float((over[bins].mean() - 1.0) * np.sqrt(bins.size)) if bins.size else -np.inf
