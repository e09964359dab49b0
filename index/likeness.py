"""How alike the network finds a line: the search's question, asked once more of the line that was verified.

The contour and the network err apart: along the right lines of hard queries (noise in rooms, two seconds,
other music on top) surprise and mean cosine correlate by 0.0 to 0.3. In a logistic regression over 273 right
and 1,636 false lines a unit of cosine weighs as much as 11 units of surprise, 8 where the line is two seconds
long and 13 where it is ten. It counts as three units at most: two pieces that share a loop are alike too.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from classifiers.embedder import WINDOW_S
from classifiers.fingerprint import WHOLE, QueryPrint
from index.references import References

WEIGHT: Final = 11.0
ORDINARY: Final = (0.60, 0.45)
"""Cosine that says nothing, of a line of one second and of ten: one false line in ten reaches it."""
MOST: Final = 3.0
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
    """What to add to the surprise of a line through query [start_s, end_s): in [0, MOST].

    The line: query second t is reference second ``origin_s + tempo_ratio * t``, `shift_semitones` higher.
    """
    centres_s = query.starts_s + WINDOW_S / 2.0
    asked = query.transpositions
    # As the query was moved to look most like the reference.
    moved = min((float(way) for way in np.unique(asked)), key=lambda way: abs(way + shift_semitones))
    inside = (query.parts == WHOLE) & (asked == moved) & (centres_s >= start_s) & (centres_s <= end_s)
    windows = np.flatnonzero(inside)
    if len(windows) == 0:
        return 0.0
    windows = windows[np.linspace(0, len(windows) - 1, min(len(windows), MOST_WINDOWS)).round().astype(int)]
    there_s = origin_s + tempo_ratio * centres_s[windows].astype(np.float64) - WINDOW_S / 2.0
    cosines = np.nan_to_num(references.cosines(track, query.vectors[windows], there_s), nan=MISSING)
    alike = float(np.maximum(cosines, MISSING).mean())
    of_a_second, of_ten = ORDINARY
    share = min(max(math.log10(max(end_s - start_s, 1.0)), 0.0), 1.0)
    return min(max(WEIGHT * (alike - of_a_second - share * (of_ten - of_a_second)), 0.0), MOST)
