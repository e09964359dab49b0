"""Cohort normalisation: a score counts from where chance ends for *this* short query.

How high a wrong track reaches depends on the query. Two seconds of a held chord are like some place of
nearly any track; noise is like none. So a score is held against a cohort, as speaker verification does
(T-norm, Auckenthaler et al. 2000): the other tracks that were swept. Of 508 short excerpts of the tune split,
searched among music of other artists, the wrong score that one in ten reaches is 5.9 in the fifth with the
lowest level and 8.1 in the fifth with the highest. What lies under noise has low levels: of 64 excerpts each
of two seconds with noise 10 dB below in a room, and of ten with noise as loud, 45 and 44 stood above all the
wrong scores before, and 54 and 52 with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from index.sweep import Place

ORDINARY: Final = 4.6
"""The level of an ordinary query without noise, whose score stays as it is."""
WEIGHT: Final = 3.0
"""Units of score for one of level. With 2.5 to 4 as many are found, within two of the 64."""
LOWEST: Final = 4.0
HIGHEST: Final = 5.6
"""Levels that are believed."""
MOST: Final = WEIGHT * (HIGHEST - ORDINARY)
"""More is never taken off a score; at most 1.8 is added."""
_RANKS: Final = slice(2, 6)
"""Of the cohort, best first. Not the first two: the catalog may hold the same music more than once."""


def handicap(places: Sequence[Place], *, track: int) -> float:
    """What to take off the score of a match with `track`, in [-1.8, MOST]; 0 where the cohort is too small.

    places: the best place of each track that was swept.
    """
    others = sorted((place.surprise for place in places if place.track != track), reverse=True)
    if len(others) < _RANKS.stop:
        return 0.0
    level = float(np.mean(others[_RANKS]))
    return WEIGHT * (min(max(level, LOWEST), HIGHEST) - ORDINARY)
