"""A segment: a verified line followed along the upload, its ends, and how surprising it is as a whole.

From the block that the line was verified in it is followed to both sides while the contours agree, one line
is fitted through all blocks, at the simplest tempo that fits, and the whole of it is compared with every
other place of the reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import Tensor

from classifiers.contour import CONTOUR_RATE_HZ, Stretchable
from classifiers.spectrogram import BANDS_PER_SEMITONE
from index.align import BLOCK_HOP_S, Line
from index.plainness import plainness
from index.verify import Alignment, laid_over, measure, standing

SIMPLICITY_S = 0.3
"""A simple tempo may cost this many seconds' share of the correlation: 15 % at 2 s, 3 % at 10 s."""
PARTS_OF_A_CELL = 4


@dataclass(frozen=True, slots=True)
class Segment:
    """A fitted line between two ends of the query."""

    start_s: float
    end_s: float
    origin_s: float
    tempo_ratio: float
    shift_semitones: float
    score: float

    def reference_at(self, query_s: float) -> float:
        return self.origin_s + self.tempo_ratio * query_s

    def explains(self, line: Line) -> bool:
        inside = self.start_s - 1.0 <= line.query_s <= self.end_s + 1.0
        return inside and abs(self.reference_at(line.query_s) - line.reference_s) < 3.0


def grow(query: Stretchable, reference: Tensor, seed: Alignment, span: tuple[float, float]) -> Segment:
    """The line `seed`, verified in query seconds `span`, followed to both sides and measured as a whole.

    reference: signs of the contour, float32 [BANDS, cells].
    """
    points = [(*span, seed)]
    for direction in (-1, 1):
        current, (low, high) = seed, span
        misses = 0
        while misses < 2:
            low, high = low + direction * BLOCK_HOP_S, high + direction * BLOCK_HOP_S
            if high > query.duration_s + 1e-6 or low < 0.0:
                break
            beside = measure(
                query,
                reference,
                start_s=low,
                end_s=high,
                near=current,
                tempo_reach=0.01,
                offset_s=0.4,
                climbs=1,
            )
            if beside.correlation > 0.5 * seed.correlation:
                misses = 0
                points.append((low, high, beside))
                current = replace(beside, tempo_ratio=_blend(current.tempo_ratio, beside.tempo_ratio))
            else:
                misses += 1
    return _fit(query, reference, points)


def _blend(old: float, new: float) -> float:
    return 0.7 * old + 0.3 * new


def _fit(query: Stretchable, reference: Tensor, points: list[tuple[float, float, Alignment]]) -> Segment:
    """One line through all blocks, its ends where the contours stop agreeing, its score over all of it."""
    low, high = min(point[0] for point in points), max(point[1] for point in points)
    weights = np.array([max(found.correlation, 1e-3) for _, _, found in points])
    if len(points) > 1:
        middles = np.array([(start + end) / 2.0 for start, end, _ in points])
        there = np.array(
            [found.reference_s + (end - start) / 2.0 * found.tempo_ratio for start, end, found in points]
        )
        tempo, origin = (float(value) for value in np.polyfit(middles, there, 1, w=weights))
    else:
        found = points[0][2]
        tempo, origin = found.tempo_ratio, found.reference_s - found.tempo_ratio * found.query_s
    shift = float(np.average([found.shift_semitones for _, _, found in points], weights=weights))
    line = Alignment(
        query_s=0.0, reference_s=origin, tempo_ratio=tempo, shift_semitones=shift, correlation=0.0
    )
    start_s, end_s = _ends(query, reference, low, high, line)
    best = _simplest(query, reference, start_s=start_s, end_s=end_s, line=line)
    if abs(math.log(best.tempo_ratio / line.tempo_ratio)) * (end_s - start_s) > 1.0 / CONTOUR_RATE_HZ:
        # The ends were those of a line that left the right one within the stretch.
        start_s, end_s = _ends(query, reference, low, high, best)
        best = _within_cells(query, reference, start_s=start_s, end_s=end_s, near=best)
    # As every other place of the reference is asked, in whole cells.
    asked = measure(query, reference, start_s=start_s, end_s=end_s, near=best, tempo_reach=0.0)
    stands = standing(query, reference, start_s=start_s, end_s=end_s, found=asked)
    plain = plainness(
        shift_semitones=best.shift_semitones, tempo_ratio=best.tempo_ratio, length_s=end_s - start_s
    )
    return Segment(
        start_s=start_s,
        end_s=end_s,
        origin_s=best.reference_s - best.tempo_ratio * best.query_s,
        tempo_ratio=best.tempo_ratio,
        shift_semitones=best.shift_semitones,
        score=stands.surprise + plain,
    )


def _simplest(
    query: Stretchable, reference: Tensor, *, start_s: float, end_s: float, line: Alignment
) -> Alignment:
    """The line as measured, or at the tempo of a mere copy or a mere change of speed where that fits as well.

    A short stretch hardly tells its tempo: two seconds of a copy look like themselves at 0.77 to 1.3.
    In noise the climb may also end far away, where the beats meet again. Trying both whatever was measured,
    27 of 28 copies of five seconds kept their tempo instead of 25.
    """
    middle_s = (start_s + end_s) / 2.0
    there_s = line.reference_s + (middle_s - line.query_s) * line.tempo_ratio
    measured = partial(_within_cells, query, reference, start_s=start_s, end_s=end_s)
    best = measured(near=line)
    enough = (1.0 - SIMPLICITY_S / (end_s - start_s)) * best.correlation
    for ratio in (1.0, 2.0 ** (best.shift_semitones / 12.0)):
        simple = measured(near=replace(best, query_s=middle_s, reference_s=there_s, tempo_ratio=ratio))
        if simple.correlation > enough:
            return simple
    return best


def _within_cells(
    query: Stretchable, reference: Tensor, *, start_s: float, end_s: float, near: Alignment
) -> Alignment:
    """The line's best offset, also between cells.

    Half a cell off, a short copy correlates less than at a tempo that is wrong by one percent: looking
    between cells, 12 instead of 3 of 12 copies of five seconds kept their tempo.
    """
    cell_s = 1.0 / (CONTOUR_RATE_HZ * near.tempo_ratio)
    starts = [start_s + part * cell_s / PARTS_OF_A_CELL for part in range(PARTS_OF_A_CELL)]
    tried = [measure(query, reference, start_s=at, end_s=end_s, near=near, tempo_reach=0.0) for at in starts]
    return max(tried, key=lambda alignment: alignment.correlation)


def _ends(
    query: Stretchable, reference: Tensor, low: float, high: float, line: Alignment
) -> tuple[float, float]:
    """Query seconds between which the agreement along the line adds up to most."""
    # One block further on both sides: growth moves in steps of a block's hop.
    low, high = max(low - BLOCK_HOP_S, 0.0), min(high + BLOCK_HOP_S, query.duration_s)
    contrast = query.at([line.tempo_ratio], start_s=low, end_s=high)[0][0]
    cells = contrast.shape[1]
    first = round((line.reference_s + line.tempo_ratio * (low - line.query_s)) * CONTOUR_RATE_HZ)
    laid = laid_over(
        reference, first=first, cells=cells, shift_bands=round(line.shift_semitones * BANDS_PER_SEMITONE)
    )
    agreement = (contrast * laid).sum(dim=0).numpy()
    scale = contrast.abs().sum(dim=0).numpy()
    # Half of the typical agreement is the break-even: below it, going on costs more than it brings.
    typical = float(agreement.sum()) / max(float(scale.sum()), 1e-6)
    gain = agreement - 0.5 * typical * scale
    there = np.arange(first, first + cells)
    outside = (there < 0) | (there >= reference.shape[1])
    gain[outside] = -0.1 * float(scale.mean()) - 1e-6
    total = np.concatenate([[0.0], np.cumsum(gain)])
    end = int(np.argmax(total - np.minimum.accumulate(total)))
    start = int(np.argmin(total[: end + 1]))
    per_cell = 1.0 / (line.tempo_ratio * CONTOUR_RATE_HZ)
    return low + start * per_cell, min(low + end * per_cell, high)
