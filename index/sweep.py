"""Sweep: a short query's contour laid on every place of the tracks that the search names most.

Under noise or other music hardly two windows in a row find their own place, and no line forms; but windows
that find anything find the right *track* more often than others. Of 96 excerpts each of the tune split the
right line was among the 24 proposed, and the right track among the first 20 of 162: 66 and 91 with noise as
loud as the music in a room, 60 and 95 of two seconds with noise 10 dB below, 69 and 84 under music as loud.
Given the place, the contour tells it from all others. Only the tempo of a copy is tried: at other tempos the
contour would have to be laid many times.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from classifiers.contour import CONTOUR_RATE_HZ, Stretchable
from index.align import SIMILARITY_FLOOR
from index.vectors import Neighbours
from index.verify import SHIFT_BANDS, above, surface

TRACKS: Final = 20
"""A short query sweeps at most; 2 ms of one core each."""
COST: Final = 0.5
"""Off the score of what is found so: the best of all places of 20 tracks, at a copy's tempo, is often high.
How high depends on the query, and is told by the cohort (index/cohort.py); before that two units were needed.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where on a track the whole query looks most like it, both at one tempo.

    reference_s: the track's second on which the query's first lies. surprise: robust standard deviations
    above all places of the track.
    """

    track: int
    reference_s: float
    surprise: float


def promising_tracks(
    near: Neighbours, asked: NDArray[np.bool_], *, duration_s: Callable[[int], float]
) -> list[int]:
    """Tracks with the most votes of the query's windows, best first, at most TRACKS.

    asked: bool [queries], the rows of `near` that vote: each once for a track, by its best window there. A
    long track has more windows to be found by chance; votes count by the square root of its `duration_s`.
    """
    excess = (near.similarity[asked] - SIMILARITY_FLOOR).clip(min=0.0).astype(np.float64)
    track = near.track[asked]
    votes: dict[int, float] = {}
    for row, weights in zip(track, np.square(excess), strict=True):
        # Best first: of a window's neighbours in one track the first is the nearest.
        found, first = np.unique(row, return_index=True)
        for number, at in zip(found.tolist(), first.tolist(), strict=True):
            if number >= 0 and weights[at] > 0.0:
                votes[number] = votes.get(number, 0.0) + float(weights[at])
    worth = {number: vote / math.sqrt(max(duration_s(number), 1.0)) for number, vote in votes.items()}
    return sorted(worth, key=lambda number: (-worth[number], number))[:TRACKS]


def best_place(query: Stretchable, track: int, reference: Tensor) -> Place:
    """reference: signs of the track's contour, float32 [BANDS, cells]. Transpositions of up to 2.5 semitones
    are tried."""
    asked, cells = query.at([1.0], start_s=0.0, end_s=query.duration_s)
    alike = surface(asked, cells, reference, range(-SHIFT_BANDS, SHIFT_BANDS + 1))[0]
    best = alike.amax(dim=0)
    at = int(best.argmax())
    return Place(
        track=track,
        reference_s=at / CONTOUR_RATE_HZ,
        surprise=above(alike.flatten().numpy(), float(best[at])),
    )
