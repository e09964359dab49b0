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

from index.calibration import score_at
from index.sweep import Place

ORDINARY: Final = 4.6
"""The level that leaves a score as it is."""
WEIGHT: Final = 3.0
"""Units of score for one of level. With 2.5 to 4 as many are found, within two of the 64."""
LOWEST: Final = 4.0
HIGHEST: Final = 5.6
"""Levels that are believed: at most 1.8 is added to a score, and at most 3 taken off."""
ONE_IN_A_THOUSAND: Final = 10.5
"""What so many unrelated short queries reach after that. The best 3, 4, 6 and 10 % of the 450 of them that
index/calibration.py names say 10.2, 10.3, 10.2 and 10.4, among 65 tracks; among 163 two of CloneBench's 2,016
have 10.5. The strictest is meant.
"""
STEEPNESS: Final = 1.7
"""Their tail falls so much faster than the line of long queries: a decade in 1.02 units, there in 1.73. The
450 say 1.08 to 1.19, CloneBench's 0.99 from one in a hundred to one in a thousand."""
SURE_ANYHOW: Final = ONE_IN_A_THOUSAND + WEIGHT * (HIGHEST - ORDINARY)
"""A score that no cohort makes unsure."""
_RANKS: Final = slice(2, 6)
"""Of the cohort, best first. Not the first two: the catalog may hold the same music more than once."""


def normalised(score: float, places: Sequence[Place], *, track: int) -> float:
    """The score of a short query's match with `track` on the scale of all other scores.

    places: the best place of each track that was swept. What one in a thousand unrelated short queries
    reach becomes what one in a thousand long ones reach; below it the two tails are laid upon each other,
    above it, where nothing was measured, a unit stays a unit.
    """
    above = score - handicap(places, track=track) - ONE_IN_A_THOUSAND
    return score_at(0.001) + above * (STEEPNESS if above < 0.0 else 1.0)


def handicap(places: Sequence[Place], *, track: int) -> float:
    """What to take off the score of a match with `track`; 0 where the cohort is too small."""
    others = sorted((place.surprise for place in places if place.track != track), reverse=True)
    if len(others) < _RANKS.stop:
        return 0.0
    level = float(np.mean(others[_RANKS]))
    return WEIGHT * (min(max(level, LOWEST), HIGHEST) - ORDINARY)
