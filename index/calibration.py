"""What a score is worth: the share of unrelated uploads that reach it.

The best score of an unrelated upload has an exponential tail (it is a maximum over many places),
so its logarithm is a straight line in the score. The line was fitted on 750 excerpts of 3 to 90 s, 500 of
the tune split and 250 of the test split, each through a random condition of CloneBench, searched in every
third of the train split's tracks:

    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/tune --queries 500
    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/test --queries 250 --seed 7

The first alone gives 4.99 and 1.52: of the 250 others 5 reached what it states as 1 %, none what it states as
0.1 %. The best 6 % make the tail; the highest score is 8.85, the 99th percentile 8.1. Nine tenths of those of
3 s stay under 6.5, of 5 s under 6.8, of 10 s under 6.4, of 30 s under 6.1, of 90 s under 6.4.
"""

from __future__ import annotations

import math

SCORE_AT_ONE = 4.98
"""Where the fitted line reaches a rate of one."""
SCORE_PER_DECADE = 1.59
"""How much more score makes a false match ten times rarer."""
LOWEST_RATE = 1e-4
"""The fit is extrapolated so far and no further: no smaller rate is claimed."""


def false_positive_rate(score: float) -> float:
    """Share of unrelated uploads whose best match scores at least this: in [LOWEST_RATE, 1]."""
    return min(1.0, max(LOWEST_RATE, math.pow(10.0, -(score - SCORE_AT_ONE) / SCORE_PER_DECADE)))


def score_at(rate: float) -> float:
    """Inverse of `false_positive_rate` for rates in (0, 1]."""
    return SCORE_AT_ONE - SCORE_PER_DECADE * math.log10(rate)
