"""How plain a line is: a false one has tempo and pitch at random, a copy mostly has those of the original.

Of 443 lines through unrelated music (queries of 10 s, a surprise of 3.3 and more) 4.5 % kept the pitch, 4.7
% the tempo, and 4.3 % moved both together, as a change of speed does; of the right ones nearly all. A
coincidence says about as much for a line as being 20 times rarer, and a decade of rarity is about one unit of
surprise. It counts as one at most: plain is also what two pieces look like that share a loop.
"""

from __future__ import annotations

import math
from typing import Final

PITCH_KEPT_SEMITONES: Final = 0.12
TEMPO_KEPT: Final = 0.012
"""In the ratio's logarithm."""
SURE_OF_TEMPO_S: Final = 10.0
"""Two seconds fit at nearly any tempo, so that a plain one says little (44 % of false lines); ten tell it."""


def plainness(*, shift_semitones: float, tempo_ratio: float, length_s: float) -> float:
    """What to add to the surprise of a line through `length_s` seconds: in [0, 2]."""
    tempo = math.log(tempo_ratio)
    speed = shift_semitones * math.log(2.0) / 12.0
    kept = 0.0
    if abs(shift_semitones) <= PITCH_KEPT_SEMITONES:
        kept += 1.0
    if min(abs(tempo), abs(tempo - speed)) <= TEMPO_KEPT:
        kept += min(max(math.log10(length_s), 0.0) / math.log10(SURE_OF_TEMPO_S), 1.0)
    return kept
