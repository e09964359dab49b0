"""The one spacing whose multiples explain a set of peaks, such as the tones of a sound.

Chance is the measure: how likely is it that so many of the peaks lie on the multiples of *any* spacing? No
spacing is listed, each that two peaks suggest is tried, so a change of speed hides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

BEATS_HZ: Final = (1.0, 20.0)
STRIDES_HZ: Final = (20.0, 1_500.0)
"""Latents come at 21 to 100 a second; the layers above at multiples of that."""
ANCHORS: Final = {BEATS_HZ: 4, STRIDES_HZ: 12}
"""How many of the strongest peaks a spacing is derived from."""
WIDEST_HZ: Final = 340.0
"""MP3 leaves lines and tones at multiples of 689.06 Hz (32 bands), low-rate Opus at 400 Hz (blocks of 2.5
ms); slowed down by an eighth that is still wider. A wider lattice is a codec's, and put aside."""
LEAST_SHARE: Final = 1 / 3
FEW: Final = 12
LEAST_SHARE_OF_FEW: Final = 7 / 12
"""So many peaks and fewer are half on one spacing by chance and a little regularity: 6 of 12 in one clip of
2,724 of human music."""
MARGIN: Final = 1.05
"""How much stronger than the best beat. A pure lattice of strides is 1.1 to 1.9 times as strong."""
TOLERANCE_BINS: Final = 0.6
SLOWEST_HZ: Final = 21.0
"""Of latents (2,048 samples at 44.1 kHz). The aliases of a naive square wave at 220 Hz are 20 Hz apart."""
MAINS_HZ: Final = (50.0, 60.0)
MAINS_OFF: Final = 4e-3
"""How far mains stray from their rate, of it, at most."""

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lattice:
    """strength: minus log10 of the chance that so many peaks meet one spacing, from 0.

    on_hz: the peaks that lie on it. peaks: how many of the strongest there are in all.
    """

    strength: float
    spacing_hz: float
    on_hz: tuple[float, ...]
    peaks: int


NONE: Final = Lattice(0.0, 0.0, (), 0)


def explain(peaks_hz: Double, *, most: int, bin_hz: float) -> Lattice:
    """The spacing that explains most of the peaks; of strength 0 where a beat or nothing does.

    peaks_hz: float64 [peaks], strongest first; the first `most` count. A codec's wide lattice is put aside
    once, and what it hid comes up.
    """
    for _ in range(2):
        at_hz = peaks_hz[:most]
        if at_hz.size < 3:
            break
        stride = _best(at_hz, STRIDES_HZ, bin_hz=bin_hz)
        if stride.strength <= 0:
            break
        if stride.spacing_hz <= WIDEST_HZ:
            least = LEAST_SHARE if at_hz.size > FEW else LEAST_SHARE_OF_FEW
            if len(stride.on_hz) < least * at_hz.size:
                break
            beat = _best(at_hz, BEATS_HZ, bin_hz=bin_hz)
            if stride.strength <= MARGIN * beat.strength:
                break
            return stride
        turns = peaks_hz / stride.spacing_hz
        peaks_hz = peaks_hz[np.abs(turns - np.round(turns)) * stride.spacing_hz > bin_hz]
    return Lattice(0.0, 0.0, (), min(peaks_hz.size, most))


def hums(spacing_hz: float, *, exact: float) -> bool:
    """Whether it is a multiple of the mains' rate, which is never exact: further off than `exact`, of it."""
    multiples = (mains_hz * max(round(spacing_hz / mains_hz), 1) for mains_hz in MAINS_HZ)
    return any(exact < abs(spacing_hz / multiple - 1) < MAINS_OFF for multiple in multiples)


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
    # One peak made the spacing; of the others, so many or more are on it by chance (binomial tail).
    others = np.maximum(on - 1, 1)
    tail = np.where(on > 1, betainc(others, at_hz.size - others, chance), 1.0)
    strength = -np.log10(np.maximum(tail, 1e-300)) - np.log10(spacings.size)
    best = strength.max()
    if best <= 0:
        return NONE
    chosen = np.flatnonzero(strength > best - 1.0)
    chosen = chosen[spacings[chosen].argmax()]  # the widest of those that explain alike
    on_hz = np.sort(at_hz[near[chosen]])
    multiples = np.round(on_hz / spacings[chosen])
    spacing_hz = float(multiples @ on_hz / (multiples @ multiples))  # least squares over all of them
    return Lattice(float(best), spacing_hz, tuple(float(one) for one in on_hz), int(at_hz.size))
