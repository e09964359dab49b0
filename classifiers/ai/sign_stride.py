"""Stride: energy that swells at exact multiples of one rate, from a few hundred hertz to beyond ten thousand.

A decoder that up-samples in strides does not treat all samples alike: what comes out is *cyclostationary*
(Gardner 1986), its short-time energy carries lines at multiples of the rate of its latents, whatever its
weights were: 25, 50, 200, 689.06 Hz. No instrument has such lines, because nothing that is played keeps one
rate to a thousandth of a hertz for half a minute and reaches ten kilohertz with it.

Nothing here is learnt, so no generator can be unknown to it. The rates are searched, never listed: a change
of speed moves all lines together. Steps:

1. A minute from the middle, as one analytic signal of 1 to 15.5 kHz, whitened in frequency (tones no
   louder than noise) and levelled in time (20 ms), both ways linear and free of any frame grid of their own.
   A second time every frequency is brought to one level moment by moment (61 ms): what is played gives way,
   and the lines of some decoders stand out (Suno: 7 of 8 instead of 3), those of others are lost.
2. The spectrum of its squared magnitude, over the running median: chance scatters it exponentially.
3. Lines: single bins over `LEAST_LINE` times the median and far above their neighbours.
4. The lattice that explains them best: which spacing has more lines on its multiples than chance would put
   there (binomial, corrected for the number of spacings tried). `strength` is minus the decimal logarithm.
5. A lattice counts if it holds `LEAST_SHARE` of the lines. Sequenced music repeats itself to the sample, beat
   by beat, and has lines at multiples of 2 to 15 Hz, among them those of 30 or 60: so no slower lattice may
   explain the lines nearly as well.
6. Lossy codecs do it too. MP3 leaves lines at multiples of 689.06 Hz (32 bands), low-rate Opus of 400 Hz
   (blocks of 2.5 ms) and of 50 Hz (frames); what more than `WIDEST_HZ` explains best is a codec's.
7. Consoles, home computers and trackers change their notes on ticks, 13 to 300 times a second. A tick is a
   step of the sound itself, so its swelling is strongest at the first multiples and falls from there; what
   a decoder does to its samples is as strong at ten kilohertz. What falls is a tick.
8. A decoder adds the same small pattern to every stride, so the sound itself has exact tones at the same
   multiples, all through the band. Codecs' frames have none, a beat has none, a held pitch has some.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter, uniform_filter1d
from scipy.special import betainc

from classifiers.ai.listening import Float, Listening
from classifiers.ai.signs import Features

BAND_HZ: Final = (1_000.0, 15_500.0)
WHITE_HZ: Final = 30.0
LOUDEST: Final = 3.0
"""Times its neighbourhood: no bin more after whitening. Steady tones of a synthesiser beat with each other at
multiples of their pitch, and would make a lattice of their own; noise loses little."""
LEVEL_S: Final = 0.02
CLIP: Final = 8.0
"""Times the level: one click must not fill the spectrum."""
EVEN_S: Final = 0.061
"""A window of the second look; half as long a step, and its 32.6 Hz are no line in any human recording."""
EVEN_OVER: Final = (3, 5)
"""Windows and bins over which a cell's level is taken: wide enough to follow notes, not single swings."""
EVEN_FLOOR: Final = 0.01
"""Of the mean level: what lies under it is not brought up, such as what a codec left out."""
BLOCK_HZ: Final = 60.0
LEAST_LINE: Final = 20.0
"""Times the median: chance puts 2^-20 of the bins there, one of those of a minute."""
NARROW: Final = 4.0
"""Times the highest of the neighbours 4 to 20 bins away. Vibrato, glides and beats make hills, not lines."""
SLOWEST_LINE_HZ: Final = 3_000.0
"""Partials beat with each other up to some kilohertz: lattices of held pitches end there."""
MOST_LINES: Final = 60
BEATS_HZ: Final = (1.0, 20.0)
STRIDES_HZ: Final = (20.0, 1_500.0)
"""Latents come at 21 to 100 a second; the layers above at multiples of that."""
ANCHORS: Final = {BEATS_HZ: 4, STRIDES_HZ: 12}
"""How many of the strongest lines a spacing is derived from."""
WIDEST_HZ: Final = 340.0
"""Opus's 400 Hz, slowed down by an eighth, is still wider."""
TONE: Final = 3.0
"""Times its neighbourhood over WHITE_HZ: chance puts one bin of a thousand there."""
LEAST_TONES: Final = 0.17
"""Share of the multiples that hold a tone. The lattices of Opus' frames in 55 human recordings at 24 to 48
kbit/s have 0.03 at most, a held pitch 0.11, others of ten decades 0.15 and less; decoders' have 0.18 to 0.99,
mostly over 0.4."""
FIRST_MULTIPLES_HZ: Final = (40.0, 500.0)
"""Faster than what LEVEL_S levels out, slow enough to be heard as a rattle or a buzz."""
MOST_FALL: Final = 2.5
"""Binary logarithm of the power on the lattice there over that above SLOWEST_LINE_HZ. A stride in white noise
has 1.8, because of the band fewer and fewer pairs lie that far apart. Of 59 generated recordings with a
lattice half are under 0.3 and 57 under 2.5; chip music, real and made for the purpose, is at 3.6 to 9."""
LEAST_SHARE: Final = 1 / 3
MARGIN: Final = 1.05
"""How much stronger than the best beat. A pure lattice of strides is 1.1 to 1.9 times as strong."""
TOLERANCE_BINS: Final = 0.6
STRONGEST: Final = 60.0
LOOKS_DECADES: Final = float(np.log10(2.0))
"""Two looks have twice the chance."""
CHANCE_MEAN: Final = 1 / np.log(2.0)
"""Of an exponential distribution with median 1; its standard deviation is the same."""
SURE: Final = 2.5
"""Standard deviations above chance at which a look shows the lines of the whole."""

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lattice:
    """strength: minus log10 of the chance that so many lines meet one spacing, 0 to STRONGEST.

    on_hz: the lines that lie on it. lines: how many of the strongest there are in all. evened: found by the
    second look, with every frequency at one level moment by moment. tones: share of the multiples at which
    the sound itself holds a tone, in [0, 1].
    """

    strength: float
    spacing_hz: float
    on_hz: tuple[float, ...]
    lines: int
    evened: bool = False
    tones: float = 0.0


NONE: Final = Lattice(0.0, 0.0, (), 0)


class Stride:
    name = "stride"
    describes = "energy swelling at exact multiples of one rate, as strided decoders leave it"
    features = ("strength", "spacing_octaves", "on", "lines", "highest_line")

    def measure(self, listening: Listening) -> Features:
        """The same row for every look: it is a property of the whole stretch."""
        lattice, lines = self.find(listening), _search(listening)[1]
        row = (
            lattice.strength,
            np.log2(max(lattice.spacing_hz, 1.0)),
            len(lattice.on_hz),
            lattice.lines,
            np.log2(lines[:, 1].max(initial=0.0) + 1.0),
        )
        return np.tile(np.array(row, dtype=np.float32), (listening.looks, 1))

    def find(self, listening: Listening) -> Lattice:
        """The lattice of the stretch; strength 0 where a beat or a tick explains the lines as well."""
        return _search(listening)[0]

    def present(self, listening: Listening) -> NDArray[np.bool_]:
        """Whether the lattice's lines stand in each look too, bool [looks]: what was added up is there."""
        on_hz = np.array(self.find(listening).on_hz)
        rate_hz, length = listening.sample_rate_hz, listening.samples.shape[2]
        there = np.zeros(listening.looks, dtype=bool)
        for look in range(listening.looks) if on_hz.size else ():
            mono = listening.samples[look].mean(axis=0)
            power = swelling(mono, rate_hz=rate_hz, evened=self.find(listening).evened)
            bins = np.round(on_hz * length / rate_hz).astype(int)
            bins = bins[bins < power.size]
            there[look] = bins.size > 0 and power[bins].mean() > CHANCE_MEAN + SURE * CHANCE_MEAN / np.sqrt(
                bins.size
            )
        return there

    def place(self, listening: Listening) -> str:
        lattice = self.find(listening)
        if lattice.strength <= 0:
            return ""
        start_s = listening.stretch_start_s
        return (
            f"{len(lattice.on_hz)} of {lattice.lines} lines lie at multiples of {lattice.spacing_hz:.2f} Hz,"
            f" {start_s:.0f}–{start_s + listening.stretch_s:.0f} s;"
            f" by chance once in 10^{lattice.strength:.0f}. At {lattice.tones:.0%} of the multiples the sound"
            " itself holds a tone."
        )


def _search(listening: Listening) -> tuple[Lattice, Double]:
    return listening.once("stride", lambda: search(listening.stretch, rate_hz=listening.sample_rate_hz))


def search(stretch: Float, *, rate_hz: int) -> tuple[Lattice, Double]:
    """The lattice of a mono stretch, float32 [samples], and the lines it is among, as `lines_of` gives them.

    Of two looks the better one counts, at twice its chance.
    """
    band = _Band.of(stretch, rate_hz=rate_hz)
    if band is None:
        return NONE, np.zeros((0, 2))
    found: list[tuple[Lattice, Double]] = []
    for look, evened in ((band, False), (band.evened(), True)):
        lattice, lines = lattice_of(look.swelling(), bin_hz=band.bin_hz)
        strength = min(lattice.strength - LOOKS_DECADES, STRONGEST)
        tones = band.share_of_tones(lattice.spacing_hz) if strength > 0 else 0.0
        if tones < LEAST_TONES:
            lattice = replace(NONE, lines=lattice.lines)
        else:
            lattice = replace(lattice, strength=strength, evened=evened, tones=tones)
        found.append((lattice, lines))
    return max(found, key=lambda one: one[0].strength)


def swelling(stretch: Float, *, rate_hz: int, evened: bool = False) -> Float:
    """The spectrum of the levelled energy over its running median, float32 [bins], from 0 Hz.

    stretch: mono float32 [samples]. A bin is as wide as one over its length in seconds. evened: of the second
    look. Empty where there is nothing to hear.
    """
    band = _Band.of(stretch, rate_hz=rate_hz)
    if band is None:
        return np.zeros(0, dtype=np.float32)
    return (band.evened() if evened else band).swelling()


@dataclass(frozen=True, slots=True)
class _Band:
    """BAND_HZ of a stretch, whitened: analytic, complex64 [samples] at `rate_hz`.

    over: the size of each bin of its spectrum over that of its neighbourhood, float32 [bins]; the first lies
    at `lowest_hz`.
    """

    signal: NDArray[np.complex64]
    rate_hz: float
    over: Float
    lowest_hz: float
    bin_hz: float

    @classmethod
    def of(cls, stretch: Float, *, rate_hz: int) -> _Band | None:
        """None where there is nothing to hear."""
        bin_hz = rate_hz / max(stretch.size, 1)
        low = round(BAND_HZ[0] / bin_hz)
        high = round(min(BAND_HZ[1], 0.47 * rate_hz) / bin_hz)
        if high - low < 10 * max(round(BLOCK_HZ / bin_hz), 1) or not np.abs(stretch).max(initial=0.0) > 0:
            return None
        band = scipy.fft.rfft(stretch)[low:high]
        size = np.abs(band)
        smooth = uniform_filter1d(size, max(round(WHITE_HZ / bin_hz), 5), mode="nearest")
        smooth += np.float32(1e-7) * size.max()
        length = scipy.fft.next_fast_len(2 * band.size)
        signal = scipy.fft.ifft(band / np.maximum(smooth, size / np.float32(LOUDEST)), length)
        return cls(signal, rate_hz=length * bin_hz, over=size / smooth, lowest_hz=low * bin_hz, bin_hz=bin_hz)

    def evened(self) -> _Band:
        """Every frequency at one level moment by moment, in windows of EVEN_S that overlap by half."""
        step = scipy.fft.next_fast_len(max(round(self.rate_hz * EVEN_S / 2), 1))
        window = 2 * step
        taper = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
        padded = np.zeros((-(-self.signal.size // step) + 2) * step, dtype=np.complex64)
        padded[step : step + self.signal.size] = self.signal
        frames = sliding_window_view(padded, window)[::step] * taper
        cells = scipy.fft.fft(frames, axis=1, overwrite_x=True)[:, :step]  # no negative frequencies: analytic
        size = np.abs(cells)
        level = uniform_filter(size, EVEN_OVER, mode="nearest")
        np.maximum(level, size / np.float32(LOUDEST), out=level)
        np.maximum(level, np.float32(EVEN_FLOOR) * level.mean() + np.float32(1e-20), out=level)
        cells /= level
        parts = scipy.fft.ifft(cells, window, axis=1, overwrite_x=True)
        parts *= taper
        joined = np.zeros((len(parts) + 1, step), dtype=np.complex64)
        joined[:-1] = parts[:, :step]
        joined[1:] += parts[:, step:]
        return replace(self, signal=joined.reshape(-1)[step : step + self.signal.size])

    def share_of_tones(self, spacing_hz: float) -> float:
        """Of the multiples of a spacing, how many hold a tone of the sound itself."""
        multiples = np.arange(
            np.ceil(self.lowest_hz / spacing_hz + 1e-9),
            (self.lowest_hz + (self.over.size - 2) * self.bin_hz) / spacing_hz,
        )
        bins = np.round((multiples * spacing_hz - self.lowest_hz) / self.bin_hz).astype(int)
        bins = bins[(bins > 0) & (bins < self.over.size - 1)]
        if not bins.size:
            return 0.0
        return float((self.over[bins[:, None] + (-1, 0, 1)].max(axis=1) > TONE).mean())

    def swelling(self) -> Float:
        energy = np.square(self.signal.real) + np.square(self.signal.imag)
        level = uniform_filter1d(energy, max(round(LEVEL_S * self.rate_hz), 3), mode="nearest")
        energy = np.minimum(energy / (level + np.float32(1e-4) * energy.mean()), np.float32(CLIP))
        spectrum = scipy.fft.rfft(energy - energy.mean())[: self.over.size]
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        block = max(round(BLOCK_HZ / self.bin_hz), 1)
        count = power.size // block
        rows = power[: count * block].reshape(count, block)
        median = np.median(rows, axis=1, keepdims=True)
        return np.asarray((rows / np.maximum(median, np.float32(1e-20))).reshape(-1), dtype=np.float32)


def lattice_of(power: Float, *, bin_hz: float) -> tuple[Lattice, Double]:
    """The lattice in a spectrum as `swelling` gives it, none where it falls like a tick's; and its lines."""
    lines = lines_of(power, bin_hz=bin_hz)
    lattice = explain(lines, bin_hz=bin_hz)
    if lattice.strength > 0 and fall(power, spacing_hz=lattice.spacing_hz, bin_hz=bin_hz) > MOST_FALL:
        lattice = replace(NONE, lines=lattice.lines)
    return lattice, lines


def lines_of(power: Float, *, bin_hz: float) -> Double:
    """Lines of a spectrum over its median, float64 [lines, 2]: frequency in Hz, height. Strongest first."""
    found = np.flatnonzero(power >= LEAST_LINE)  # few: the highest of three is sought among them alone
    found = found[(found * bin_hz > SLOWEST_LINE_HZ) & (found > 20) & (found < power.size - 21)]
    found = found[power[found] >= np.maximum(power[found - 1], power[found + 1])]
    if not found.size:
        return np.zeros((0, 2))
    around = np.concatenate((np.arange(-20, -3), np.arange(4, 21)))
    found = found[power[found] >= NARROW * power[found[:, None] + around].max(axis=1)]
    before, at, after = (np.log(power[found + step] + np.float32(1e-6)) for step in (-1, 0, 1))
    off = np.clip(0.5 * (before - after) / (before - 2 * at + after - 1e-9), -0.5, 0.5)
    order = np.argsort(-power[found], kind="stable")
    lines = np.stack(((found + off) * bin_hz, power[found]), axis=1)
    return np.asarray(lines[order], dtype=np.float64)


def explain(lines: Double, *, bin_hz: float) -> Lattice:
    """The spacing that explains most lines; NONE where a beat does it better, or nothing does."""
    at_hz = lines[:MOST_LINES, 0]
    if at_hz.size < 3:
        return NONE
    stride, beat = (_best(at_hz, range_hz, bin_hz=bin_hz) for range_hz in (STRIDES_HZ, BEATS_HZ))
    enough = len(stride.on_hz) >= LEAST_SHARE * at_hz.size
    if (
        not enough
        or stride.spacing_hz > WIDEST_HZ
        or stride.strength <= MARGIN * beat.strength
        or stride.strength <= 0
    ):
        return Lattice(0.0, 0.0, (), int(at_hz.size))
    return stride


def fall(power: Float, *, spacing_hz: float, bin_hz: float) -> float:
    """How much stronger the first multiples are than those above SLOWEST_LINE_HZ, in powers of two.

    power: as `swelling` gives it. Of each multiple the highest of three bins counts, logarithmically, so that
    neither one line nor the noise around it decides.
    """
    multiples = np.arange(1, int((power.size - 2) * bin_hz / spacing_hz) + 1)
    bins = np.round(multiples * spacing_hz / bin_hz).astype(int)
    heights = np.log2(np.maximum(power[bins[:, None] + (-1, 0, 1)].max(axis=1), 1.0))
    at_hz = multiples * spacing_hz
    first = (at_hz >= FIRST_MULTIPLES_HZ[0]) & (at_hz <= FIRST_MULTIPLES_HZ[1])
    return float(heights[first].mean() - heights[at_hz > SLOWEST_LINE_HZ].mean())


def _best(at_hz: Double, range_hz: tuple[float, float], *, bin_hz: float) -> Lattice:
    least_hz, most_hz = range_hz
    spacings = np.concatenate(
        [
            anchor / np.arange(max(int(anchor / most_hz), 1), int(anchor / least_hz) + 1)
            for anchor in at_hz[: ANCHORS[range_hz]]
        ]
    )
    spacings = spacings[(spacings >= least_hz) & (spacings <= most_hz)]
    if not spacings.size:
        return NONE
    tolerance_hz = TOLERANCE_BINS * bin_hz
    turns = at_hz[None] / spacings[:, None]
    near = np.abs(turns - np.round(turns)) * spacings[:, None] < tolerance_hz
    on = near.sum(axis=1)
    chance = np.minimum(2 * tolerance_hz / spacings, 1.0)
    # One line made the spacing; of the others, so many or more are on it by chance (binomial tail).
    others = np.maximum(on - 1, 1)
    tail = np.where(on > 1, betainc(others, at_hz.size - others, chance), 1.0)
    strength = -np.log10(np.maximum(tail, 1e-300)) - np.log10(spacings.size)
    best = strength.max()
    if best <= 0:
        return NONE
    chosen = np.flatnonzero(strength > best - 1.0)
    chosen = chosen[spacings[chosen].argmax()]  # the widest of those that explain alike
    on_hz = tuple(float(one) for one in np.sort(at_hz[near[chosen]]))
    return Lattice(float(best), float(spacings[chosen]), on_hz, int(at_hz.size))
