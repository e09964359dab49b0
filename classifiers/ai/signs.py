"""What a sign is: one kind of trace that machines leave, measured on every look at a recording.

A new sign is one file with one class of this protocol, one line in `SIGNS`, and one test class that
inherits `classifiers.ai.sign_checks.SignChecks`. A sign only measures; what its numbers mean is learnt
in training, sign by sign, so that each gives a probability of its own and none can outvote all others.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.listening import Listening

Features = NDArray[np.float32]


class Sign(Protocol):
    """One kind of trace.

    name: stable, lower case; it appears in evidence records. describes: what a reviewer should know of it.
    features: a name for each column that `measure` returns.
    """

    name: str
    describes: str
    features: tuple[str, ...]

    def measure(self, listening: Listening) -> Features:
        """Finite float32 [looks, features], the same for the same samples, whatever the level."""
        ...

    def place(self, listening: Listening) -> str:
        """Where in the spectrum it lies, in words: "lines every 86 Hz, 5–15 kHz". May be empty."""
        ...


BANDS_HZ: Final = ((200, 800), (800, 2000), (2000, 4000), (4000, 8000), (8000, 12000), (12000, 16000))
"""Where statistics are taken band by band: about an octave each, the last two half of one."""
