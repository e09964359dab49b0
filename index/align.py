"""From pairs of near windows to lines in time: a Hough transform, block by block.

If a stretch of the upload is a stretch of a reference, played at `tempo_ratio` times its tempo, the
pairs lie on a line ``reference = anchor + tempo_ratio * (query - centre)``. Every pair votes for the
lines through it, for each tempo of a grid; a window of the upload counts once for a line. Ten-second
blocks keep the lines short, so that the grid can be coarse and a DJ set gives many lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK_S = 10.0
BLOCK_HOP_S = 5.0
TEMPO_GRID: NDArray[np.float64] = np.exp(np.arange(-8, 9) * 0.04)
"""0.73 to 1.38; a line 4 % off the true tempo strays 0.2 s in the half of a block."""
OFFSET_BIN_S = 0.6
SIMILARITY_FLOOR = 0.3
"""Cosines of unrelated windows rarely pass it; only the excess votes."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Near windows as points in time, all arrays [pairs]: window centres in seconds, cosine."""

    query_s: NDArray[np.float32]
    reference_s: NDArray[np.float32]
    track: NDArray[np.int32]
    transposition: NDArray[np.float32]
    similarity: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """A hypothesis: around `query_s` the upload plays `track` from `reference_s` on.

    transposition: semitones by which the query had to be moved to look like the reference.
    """

    track: int
    query_s: float
    reference_s: float
    tempo_ratio: float
    transposition: float
    votes: float


def find_lines(
    pairs: Pairs, *, start_s: float, end_s: float, most: int, most_per_track: int = 3
) -> list[Line]:
    """The strongest lines among the pairs of one block, best first."""
    here = (pairs.query_s >= start_s) & (pairs.query_s < end_s) & (pairs.similarity > SIMILARITY_FLOOR)
    inside = here.nonzero()[0]
    if len(inside) == 0:
        return []
    inside = inside[np.argsort(-pairs.similarity[inside], kind="stable")]
    query = pairs.query_s[inside].astype(np.float64)
    reference = pairs.reference_s[inside].astype(np.float64)
    track = pairs.track[inside].astype(np.int64)
    transposition = pairs.transposition[inside]
    weight = np.square(pairs.similarity[inside].astype(np.float64) - SIMILARITY_FLOOR)
    centre = (start_s + end_s) / 2.0

    tempos = len(TEMPO_GRID)
    anchor = reference[:, None] - TEMPO_GRID[None, :] * (query - centre)[:, None]
    # Two grids, half a bin apart, so that no line is cut in two by a bin's edge.
    bins = np.stack([np.floor(anchor / OFFSET_BIN_S), np.floor(anchor / OFFSET_BIN_S + 0.5)], axis=-1)
    bins = bins.astype(np.int64) * 2 + np.array([0, 1]) + 100_000
    moved = np.searchsorted(np.unique(pairs.transposition), transposition)
    window = np.unique(query, return_inverse=True)[1]
    cell = (
        (track * 8 + moved)[:, None, None] * tempos + np.arange(tempos)[None, :, None]
    ) * 10_000_000 + bins
    # One vote a window and cell, its best: the pairs come strongest first, and `unique` keeps the first.
    windows = int(window.max()) + 1
    votings, chosen = np.unique((cell * windows + window[:, None, None]).ravel(), return_index=True)
    cells = votings // windows
    starts = np.flatnonzero(np.append(True, cells[1:] != cells[:-1]))
    unique = cells[starts]
    votes = np.add.reduceat(weight[chosen // (2 * tempos)], starts)

    lines: list[Line] = []
    per_track: dict[int, int] = {}
    transpositions = np.unique(pairs.transposition)
    for best in np.argsort(-votes, kind="stable")[: 60 * most]:
        code, offset = divmod(int(unique[best]), 10_000_000)
        code, tempo = divmod(code, tempos)
        number, step = divmod(code, 8)
        offset -= 100_000
        at = (offset // 2 + (0.5 if offset % 2 == 0 else 0.0)) * OFFSET_BIN_S
        line = Line(
            track=number,
            query_s=centre,
            reference_s=at,
            tempo_ratio=float(TEMPO_GRID[tempo]),
            transposition=float(transpositions[step]),
            votes=float(votes[best]),
        )
        if per_track.get(number, 0) >= most_per_track or any(_same(line, other) for other in lines):
            continue
        per_track[number] = per_track.get(number, 0) + 1
        lines.append(line)
        if len(lines) == most:
            break
    return lines


def _same(a: Line, b: Line) -> bool:
    """Whether verifying one line also looks at the other."""
    return (
        a.track == b.track
        and a.transposition == b.transposition
        and abs(a.reference_s - b.reference_s) < 1.5
        and abs(np.log(a.tempo_ratio / b.tempo_ratio)) < 0.09
    )
