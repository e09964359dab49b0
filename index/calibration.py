"""What a score is worth: the share of unrelated uploads that reach it.

The best score of an unrelated upload has an exponential tail (it is a maximum over many places),
so its logarithm is a straight line in the score. The lines were fitted on 750 excerpts of 3 to 90 s, 500 of
the tune split and 250 of the test split, each through a random condition of CloneBench, searched in every
third of the train split's tracks:

    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/tune --queries 500
    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/test --queries 250 --seed 7

The 300 of 30 and 90 s give 4.90 and 1.16, a rate of one in a thousand at 8.4; by their best tenth it is 9.1.
With the network before they gave 10.0, and that line stays. The 450 of 3, 5 and 10 s have a tail as steep,
but higher: 6.93 and 1.08, before they are brought to the scale of the others (index/cohort.py). Asked by the
two commands with the constants as they stand, the 450 give 3.97 and 1.84, the 300 3.93 and 1.84, all 750 4.00
and 1.81, a rate of one in a thousand at 9.43: the line that is stated lies on the careful side of them. What
is stated as 10, 1 and 0.1 % is reached by 25, 4 and none of them.
"""

from __future__ import annotations

import math

SCORE_AT_ONE = 4.85
"""Where the fitted line reaches a rate of one."""
SCORE_PER_DECADE = 1.73
"""How much more score makes a false match ten times rarer."""
LOWEST_RATE = 1e-4
"""The fit is extrapolated so far and no further: no smaller rate is claimed."""
AS_FITTED_S = 30.0
AS_FITTED_TRACKS = 65
"""Up to here the line holds. More seconds to ask and more tracks to ask are more places for chance: the same
400 excerpts of 3 to 30 s, searched in 36, 119 and 357 tracks, reached the score of which the line states one
in a hundred 3, 7 and 14 times, and 803 whole songs that of one in a thousand 4 times (docs/benchmarks.md).
"""


def false_positive_rate(score: float) -> float:
    """Share of unrelated uploads whose best match scores at least this: in [LOWEST_RATE, 1]."""
    return min(1.0, max(LOWEST_RATE, math.pow(10.0, -(score - SCORE_AT_ONE) / SCORE_PER_DECADE)))


def search_space(duration_s: float, tracks: int) -> float:
    """What to take off a score, 0 or more, where an upload of `duration_s` was searched in so many tracks.

    The expected number of chance matches grows with the length of what is asked and with the size of what is
    searched (the E-value of Karlin and Altschul 1990): ten times of either costs a decade of the line.
    """
    times = max(duration_s / AS_FITTED_S, 1.0) * max(tracks / AS_FITTED_TRACKS, 1.0)
    return SCORE_PER_DECADE * math.log10(times)


def score_at(rate: float) -> float:
    """Inverse of `false_positive_rate` for rates in (0, 1]."""
    return SCORE_AT_ONE - SCORE_PER_DECADE * math.log10(rate)
