"""Whether a recording is a machine's in part: sections of it, or a layer over people's music.

It accuses nobody. It is shown to whoever reviews a case, beside the score along time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.listening import Float

MIXED: Final = "mixed"
"""The sign's name."""
HUMAN_AT_MOST: Final = 0.25
MACHINE_AT_LEAST: Final = 0.75
"""Of a segment's probability. Parts of both kinds make a recording mixed."""
PART: Final = 2
"""Segments in a row that are a part: of one alone more human recordings have some (docs/ai.md)."""
LAYERED: Final = -1.0
"""So does a stride beside repeats that add no more than this: 6 % of generated recordings with a stride have
such repeats, and two in three human ones; no human one has a stride."""
SOUNDS_LIKE_PEOPLE: Final = 0.0
"""And a stride beside learnt signs whose log odds are no more than this: of layers of machines never met over
people's music four in five in which a stride is heard, and one in three of their recordings alone, nearly all
of two families that what was learnt takes for people (docs/ai.md)."""

Segment = tuple[float, float, float]
"""Start and end in seconds, and its probability."""


def parts(segments: tuple[Segment, ...], spacings_hz: Float) -> str | None:
    """Which sections sound machine-made, where others sound human.

    spacings_hz: float32 [segments], of the lattice that is heard in each, else 0.
    """
    values = np.array([probability for _, _, probability in segments])
    made = runs(values >= MACHINE_AT_LEAST)
    if not made or not runs(values <= HUMAN_AT_MOST):
        return None
    spans = ", ".join(f"{segments[first][0]:.0f}–{segments[end - 1][1]:.0f} s" for first, end in made)
    heard_hz = np.concatenate([spacings_hz[first:end] for first, end in made])
    lines = ""
    if heard_hz.any():
        lines = f", with a decoder's lines at multiples of {np.median(heard_hz[heard_hz > 0]):.2f} Hz"
    return f"{spans} sound machine-made{lines}; other parts human"


def layers(*, learnt: float, returning: float) -> str | None:
    """Of a recording in which a stride stands: whether it may lie over people's music.

    learnt: joined log odds of what was learnt. returning: log odds that the repeats add.
    """
    if returning <= LAYERED:
        return (
            "a decoder's tones and strokes that come back to the sample: a machine's part over"
            " sequenced music, or a generated loop that is played again"
        )
    if learnt <= SOUNDS_LIKE_PEOPLE:
        return (
            "a decoder's tones in what sounds like people's music otherwise: a machine's part over"
            " it, or a machine whose sound is not known here"
        )
    return None


def runs(there: NDArray[np.bool_], *, least: int = PART) -> list[tuple[int, int]]:
    """(first, end) wherever so many and more in a row are true."""
    edges = np.flatnonzero(np.diff(there, prepend=False, append=False)).tolist()
    return [(first, end) for first, end in zip(edges[::2], edges[1::2], strict=True) if end - first >= least]
