"""What a score is worth: the share of unrelated uploads that reach it.

The best score of an unrelated upload has an exponential tail (it is a maximum over many places),
so its logarithm is a straight line in the score. The line was fitted on 500 excerpts of 3 to 90 s of the
tune split, each through a random condition of CloneBench, searched in every third of 195 tracks of others:

    python -m bench.calibrate --catalog runs/sets/train-65 --unrelated runs/sets/tune --queries 500

The share of the scores that makes the tail was chosen among several, on the cautious side, after seeing
fits of an earlier score. 289 of the excerpts brought anything back; the highest score was 8.6, the 99th
percentile 7.9. The length has hardly any say: nine tenths of those of 3 s stay under 6.1, of 10 s under 6.2,
of 90 s under 6.5.
"""

from __future__ import annotations

import math

SCORE_AT_ONE = 4.56
"""Where the fitted line reaches a rate of one."""
SCORE_PER_DECADE = 1.72
"""How much more score makes a false match ten times rarer."""
LOWEST_RATE = 1e-4
"""The fit is extrapolated so far and no further: no smaller rate is claimed."""


def false_positive_rate(score: float) -> float:
    """Share of unrelated uploads whose best match scores at least this: in [LOWEST_RATE, 1]."""
    return min(1.0, max(LOWEST_RATE, math.pow(10.0, -(score - SCORE_AT_ONE) / SCORE_PER_DECADE)))


def score_at(rate: float) -> float:
    """Inverse of `false_positive_rate` for rates in (0, 1]."""
    return SCORE_AT_ONE - SCORE_PER_DECADE * math.log10(rate)
