"""What a score is worth: the share of unrelated uploads that reach it.

The best score of an unrelated upload has an exponential tail (it is a maximum over many places),
so its logarithm is a straight line in the score. The lines below were fitted on 750 excerpts of 3 to
90 s, 500 of the tune split and 250 of the test split, each through a random condition of CloneBench,
searched in every third of the train split's tracks:

    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/tune --queries 500
    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/test --queries 250 --seed 7

With the present picture of the query they give 4.98 and 1.59, and of CloneBench's 2,016 negatives, all
short and swept, 6 reach what that states as 0.1 %. The line of the fit before, of the same 750, stays: 28
and 1 of the 2,016 reach what it states as 1 and 0.1 %. Nine tenths of the 750 stay under 6.5 if of 3 s, 6.8
if of 5 s, 6.4 if of 10 s, 6.1 if of 30 s, 6.4 if of 90 s; the 99th percentile is 8.1, the highest score
8.85.
"""

from __future__ import annotations

import math

SCORE_AT_ONE = 4.85
"""Where the fitted line reaches a rate of one."""
SCORE_PER_DECADE = 1.73
"""How much more score makes a false match ten times rarer."""
LOWEST_RATE = 1e-4
"""The fit is extrapolated so far and no further: no smaller rate is claimed."""


def false_positive_rate(score: float) -> float:
    """Share of unrelated uploads whose best match scores at least this: in [LOWEST_RATE, 1]."""
    return min(1.0, max(LOWEST_RATE, math.pow(10.0, -(score - SCORE_AT_ONE) / SCORE_PER_DECADE)))


def score_at(rate: float) -> float:
    """Inverse of `false_positive_rate` for rates in (0, 1]."""
    return SCORE_AT_ONE - SCORE_PER_DECADE * math.log10(rate)
