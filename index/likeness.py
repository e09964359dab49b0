"""How alike the network finds a line: the search's question, asked once more of the line that was verified.

The contour and the network err apart: along the right lines of hard queries (noise in rooms, two seconds,
other music on top) surprise and mean cosine correlate by -0.1 to 0.4. In a logistic regression over 323
right and 2,234 false lines of short queries a unit of cosine weighs as much as 34 units of surprise where the
line is two seconds long and 40 where it is ten. It counts as a few units at most: two pieces that share a
loop are alike too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from classifiers.embedder import WINDOW_S
from classifiers.fingerprint import LOWER, UPPER, WHOLE, QueryPrint
from index.references import References


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a mean cosine is worth.

    ordinary: the cosine that says nothing, of a line of one second and of ten: at most one false line in ten
    reaches it. weight: units of surprise for one of cosine above that. most: units that it may count.
    """

    ordinary: tuple[float, float]
    weight: float
    most: float


WHOLE_ALONE: Final = _Reading(ordinary=(0.43, 0.37), weight=15.0, most=4.0)
WITH_PARTS: Final = _Reading(ordinary=(0.38, 0.32), weight=25.0, most=6.0)
"""Queries are asked in parts too, and a mean over whole, lower and upper spectrum errs less. Of 64 excerpts
each of the tune split, two seconds with noise in a room and ten with noise as loud, 89 and 91 % pass the line
that one in a thousand of their false matches reaches; with weights of 18 to 40 within three. The heaviest
only raise that line. A whole spectrum alone is what transposed lines and uploads of over a minute have: one
false line in ten reaches 0.35 (two to three seconds) and 0.32 (ten). Too few right ones were hard to fit a
weight, so it begins higher, counts less, and was checked by CloneBench and the calibration only.
"""
MISSING: Final = 0.3
"""Cosine of a window that isn't found in its place: less than what the search takes for a vote."""
MOST_WINDOWS: Final = 40


def likeness(
    query: QueryPrint,
    references: References,
    track: int,
    *,
    start_s: float,
    end_s: float,
    origin_s: float,
    tempo_ratio: float,
    shift_semitones: float,
) -> float:
    """What to add to the surprise of a line through query [start_s, end_s), 0 or more.

    The line: query second t is reference second ``origin_s + tempo_ratio * t``, `shift_semitones` higher.
    """
    centres_s = query.starts_s + WINDOW_S / 2.0
    asked = query.transpositions
    # As the query was moved to look most like the reference.
    moved = min((float(way) for way in np.unique(asked)), key=lambda way: abs(way + shift_semitones))
    inside = (asked == moved) & (centres_s >= start_s) & (centres_s <= end_s)
    means = []
    for part in (WHOLE, LOWER, UPPER):
        windows = np.flatnonzero(inside & (query.parts == part))
        if len(windows) == 0:
            continue
        thinned = np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(int)
        windows = windows[thinned]
        there_s = origin_s + tempo_ratio * centres_s[windows].astype(np.float64) - WINDOW_S / 2.0
        cosines = np.nan_to_num(references.cosines(track, query.vectors[windows], there_s), nan=MISSING)
        means.append(float(np.maximum(cosines, MISSING).mean()))
    if not means:
        return 0.0
    # Music that is all low, or all high, is asked whole and in one part.
    reading = WHOLE_ALONE if len(means) == 1 else WITH_PARTS
    of_a_second, of_ten = reading.ordinary
    share = min(max(math.log10(max(end_s - start_s, 1.0)), 0.0), 1.0)
    above = sum(means) / len(means) - of_a_second - share * (of_ten - of_a_second)
    return min(max(reading.weight * above, 0.0), reading.most)
