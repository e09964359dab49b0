"""What a score is worth: the share of unrelated uploads that reach it.

The best score of an unrelated upload has an exponential tail (it is a maximum over many places),
so its logarithm is a straight line in the score. Both numbers below are fitted by
``python -m bench.calibrate`` on the tune split: music whose recording is not in the catalog.
"""

from __future__ import annotations

import math

SCORE_AT_ONE = 5.0
"""Score below which every unrelated upload may lie."""
SCORE_PER_DECADE = 1.0
"""How much more score makes a false match ten times rarer."""
LOWEST_RATE = 1e-6
"""No measurement of ours reaches further, so no smaller rate is claimed."""


def false_positive_rate(score: float) -> float:
    """Share of unrelated uploads whose best match scores at least this: in [LOWEST_RATE, 1]."""
    return min(1.0, max(LOWEST_RATE, math.pow(10.0, -(score - SCORE_AT_ONE) / SCORE_PER_DECADE)))


def score_at(rate: float) -> float:
    """Inverse of `false_positive_rate` for rates in (0, 1]."""
    return SCORE_AT_ONE - SCORE_PER_DECADE * math.log10(rate)
