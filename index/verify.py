"""Whether a line is real: the upload's contour laid over the reference's.

A hypothesis from the embeddings is right to within a second, a few percent of tempo and two
semitones. Here the query's contrast is correlated with the reference's contour bits over all tempos,
offsets and transpositions near it, which measures all three; and how far the best correlation stands
above those at every other place of the same reference says how surprising it is for *this* query and
*this* reference. Self-similar music is similar to itself everywhere, and thereby surprises little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from classifiers.contour import CONTOUR_RATE_HZ, Stretchable
from classifiers.spectrogram import BANDS, BANDS_PER_SEMITONE

TEMPO_REACH = 0.06
"""Relative: one and a half steps of the Hough grid to both sides."""
COARSE_TEMPO_STEP = 0.03
FINE_TEMPO_STEP = 0.01
MOST_CLIMBS = 6
"""Fine searches at most: 12 % of tempo beyond the coarse one."""
SHIFT_BANDS = 5
"""+- 2.5 semitones around the transposition that was asked with."""
OFFSET_S = 1.5
MOST_SHIFT_BANDS = 14
"""7 semitones; beyond them less than 90 % of the bands overlap."""
_LAID_AT_ONCE = 4_000_000
"""Cells of copies of the reference: 16 MB."""
FEW_PLACES = 100
"""Shifts times offsets for which products of matrices are faster than a transform. Five tempos of ten
seconds: 0.8 and 1.3 ms at 3 times 12 places, 4.0 and 1.6 at 11 times 45.
"""
_EXCLUDED_CELLS = 15
"""Cells around the best offset that are not its background: 1.5 s."""
_FEWEST_BACKGROUND = 200
LEAST_OVERLAP = 0.25
"""Of the query on the reference; with less, a few cells would be scaled up to look like a picture."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A line as measured: query second `query_s` is reference second `reference_s`.

    correlation: in [-1, 1]; two equal pictures give 0.8, the loss of one being signs only.
    prominence: robust standard deviations above all tempos, offsets and transpositions looked at beside it.
    """

    query_s: float
    reference_s: float
    tempo_ratio: float
    shift_semitones: float
    correlation: float
    prominence: float = 0.0


def surface(queries: Tensor, cells: Tensor, reference: Tensor, shifts: range) -> Tensor:
    """Correlation at every offset: float32 [queries, shifts, offsets].

    queries: [queries, BANDS, n] of contrasts, zero past each one's own number of `cells`; reference:
    [BANDS, m] of -1, 0, +1. Offset o lays the queries' first cell on reference cell o; offsets run over
    0 .. m - n, or only 0 where the reference is the shorter. A shift of s bands compares query band b + s
    with reference band b.
    """
    reference = functional.pad(reference, (0, max(queries.shape[2] - reference.shape[1], 0)))
    offsets = reference.shape[1] - queries.shape[2] + 1
    product = by_matrices if offsets * len(shifts) <= FEW_PLACES else by_transform
    return product(queries, reference, shifts)[:, :, :offsets] / _norm(queries, cells, shifts)[:, :, None]


def by_matrices(queries: Tensor, reference: Tensor, shifts: range) -> Tensor:
    """The products of `surface`, as products of matrices: every offset is a copy of the reference."""
    count, _, length = queries.shape
    reach = max(abs(shifts.start), abs(shifts.stop - 1))
    padded = functional.pad(queries, (0, 0, reach, reach))
    moved = torch.stack([padded[:, reach + shift : reach + shift + BANDS] for shift in shifts], dim=1)
    # Few copies at once: those of a stretch of an hour would take hundreds of megabytes.
    at_once = max(_LAID_AT_ONCE // (BANDS * length), 1)
    laid = torch.split(reference.unfold(1, length, 1).transpose(0, 1), at_once)
    parts = [moved.reshape(-1, BANDS * length) @ part.reshape(-1, BANDS * length).T for part in laid]
    products: Tensor = torch.cat(parts, dim=1).view(count, len(shifts), -1)
    return products


def by_transform(queries: Tensor, reference: Tensor, shifts: range) -> Tensor:
    """The same by a two-dimensional Fourier transform; what is past the last offset is void."""
    reach = max(abs(shifts.start), abs(shifts.stop - 1))
    # Circular correlation is right for these offsets and shifts as soon as nothing wraps into them.
    size = (next_fast_len(BANDS + reach), next_fast_len(reference.shape[1], real=True))
    product = torch.fft.rfft2(queries, size).mul_(torch.fft.rfft2(reference, size).conj())
    rows = torch.fft.ifft(product, dim=1)[:, list(shifts)]
    # The reference is conjugated, so time runs backwards: offset o is at -o.
    products: Tensor = torch.fft.irfft(rows.conj(), size[1])
    return products


def _norm(queries: Tensor, cells: Tensor, shifts: range) -> Tensor:
    """What the products are divided by: float32 [queries, shifts]. The reference's cells are all +-1."""
    energy = functional.pad(queries.square().sum(dim=2).cumsum(dim=1), (1, 0))
    shift = torch.arange(shifts.start, shifts.stop)
    low, high = (-shift).clamp_min(0), (BANDS - shift).clamp_max(BANDS)
    own = energy[:, high + shift] - energy[:, low + shift]
    return (own * (high - low) * cells[:, None]).clamp_min(0.0).sqrt().clamp_min(1e-3)


def sight(
    query: Stretchable, reference: Tensor, *, start_s: float, end_s: float, near: Alignment
) -> Alignment:
    """A first look at query [start_s, end_s) around a hypothesis of the search: coarse in tempo.

    reference: signs of the contour, float32 [BANDS, cells].
    """
    return _best(
        query,
        reference,
        _moved(near, start_s),
        end_s=end_s,
        tempos=_around(COARSE_TEMPO_STEP, TEMPO_REACH),
        shift_bands=SHIFT_BANDS,
        offset_s=OFFSET_S,
    )


def measure(
    query: Stretchable,
    reference: Tensor,
    *,
    start_s: float,
    end_s: float,
    near: Alignment,
    tempo_reach: float = 2.0 * FINE_TEMPO_STEP,
    shift_bands: int = 1,
    offset_s: float = 0.3,
    climbs: int = MOST_CLIMBS,
) -> Alignment:
    """Best alignment of query [start_s, end_s) near a good one, climbing in tempo while it gets better."""
    believed = _moved(near, start_s)
    tempos = _around(FINE_TEMPO_STEP, tempo_reach)
    for _ in range(climbs):
        before = believed.tempo_ratio
        believed = _best(
            query, reference, believed, end_s=end_s, tempos=tempos, shift_bands=shift_bands, offset_s=offset_s
        )
        # At the rim of what was tried the best tempo may lie beyond it.
        if (
            len(tempos) == 1
            or abs(math.log(believed.tempo_ratio / before)) < tempo_reach - FINE_TEMPO_STEP / 2
        ):
            break
    return believed


def _moved(line: Alignment, query_s: float) -> Alignment:
    """The same line, told from another second of the query."""
    return replace(
        line, query_s=query_s, reference_s=line.reference_s + (query_s - line.query_s) * line.tempo_ratio
    )


def _around(step: float, reach: float) -> list[float]:
    """Factors from about 1 - reach to 1 + reach, evenly in their logarithm; only 1 for no reach."""
    steps = max(round(reach / step), 1) if reach else 0
    return [math.exp(step * k) for k in range(-steps, steps + 1)]


def _best(
    query: Stretchable,
    reference: Tensor,
    near: Alignment,
    *,
    end_s: float,
    tempos: list[float],
    shift_bands: int,
    offset_s: float,
) -> Alignment:
    start_s = near.query_s
    tried = [near.tempo_ratio * factor for factor in tempos]
    queries, cells = query.at(tried, start_s=start_s, end_s=end_s)
    longest = queries.shape[2]
    # The middle of the stretch stays where the hypothesis puts it, whatever the tempo.
    middle_s = near.reference_s + (end_s - start_s) / 2.0 * near.tempo_ratio
    starts = [middle_s - (end_s - start_s) / 2.0 * tempo_ratio for tempo_ratio in tried]
    first = math.floor((min(starts) - offset_s) * CONTOUR_RATE_HZ)
    last = math.ceil((max(starts) + offset_s) * CONTOUR_RATE_HZ) + longest
    shifts = _shifts(near.shift_semitones, shift_bands)
    found = surface(queries, cells, _excerpt(reference, first, last), shifts)
    tempo_at, shift_at, offset_at = np.unravel_index(int(found.argmax()), found.shape)
    # Each tempo has its best offset elsewhere: the tempo's own curve follows that ridge.
    ridge = found[:, max(shift_at - 1, 0) : shift_at + 2].amax(dim=(1, 2))
    fraction = _peak(ridge, int(tempo_at)) - float(tempo_at)
    step = math.log(tempos[1] / tempos[0]) if len(tempos) > 1 else 0.0
    return Alignment(
        query_s=start_s,
        reference_s=(first + _peak(found[tempo_at, shift_at], int(offset_at))) / CONTOUR_RATE_HZ,
        tempo_ratio=tried[tempo_at] * math.exp(step * fraction),
        shift_semitones=(shifts.start + _peak(found[tempo_at, :, offset_at], int(shift_at)))
        / BANDS_PER_SEMITONE,
        correlation=float(found.max()),
        prominence=above(found.flatten().numpy(), float(found.max())),
    )


def above(background: NDArray[np.float32], own: float) -> float:
    """Robust standard deviations by which `own` stands above a background."""
    middle = float(np.median(background))
    spread = 1.4826 * float(np.median(np.abs(background - middle)))
    return (own - middle) / max(spread, 1e-3)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an alignment stands among all places of its reference.

    surprise: robust standard deviations above the background; 0 where there is too little to tell.
    best_s: the reference second of the query's start that correlates most, at the same tempo and
    transposition: another repetition of the same music may fit better than the one first looked at.
    """

    surprise: float
    best_s: float
    best_correlation: float


def standing(
    query: Stretchable, reference: Tensor, *, start_s: float, end_s: float, found: Alignment
) -> Standing:
    """Compare an alignment of query [start_s, end_s) with every other place of the reference."""
    asked, cells = query.at([found.tempo_ratio], start_s=start_s, end_s=end_s)
    length = asked.shape[2]
    # Half a stretch of nothing on both sides: more places in short references.
    pad = length // 2 if reference.shape[1] > 2 * length else length
    padded = functional.pad(reference, (pad, pad))
    shifts = _shifts(found.shift_semitones, SHIFT_BANDS)
    # Where only part of the query lies on the reference, chance is smaller: bring it to the same scale.
    places = padded.shape[1] - length + 1
    covered = functional.pad(torch.ones(reference.shape[1]), (pad, pad)).cumsum(dim=0)
    covered = functional.pad(covered, (1, 0))
    overlap = ((covered[length : length + places] - covered[:places]) / length).clamp_min(LEAST_OVERLAP)
    alike = surface(asked, cells, padded, shifts)[0] / overlap.sqrt()
    at = round(_moved(found, start_s).reference_s * CONTOUR_RATE_HZ) + pad
    low, high = max(at - _EXCLUDED_CELLS, 0), at + _EXCLUDED_CELLS + 1
    background = torch.cat([alike[:, :low], alike[:, high:]], dim=1).flatten().numpy()
    row = round(found.shift_semitones * BANDS_PER_SEMITONE) - shifts.start
    same_shift = alike[max(row - 1, 0) : row + 2].amax(dim=0)
    best = int(same_shift.argmax())
    best_s = (best - pad) / CONTOUR_RATE_HZ
    best_correlation = float(same_shift[best])
    if background.size < _FEWEST_BACKGROUND:
        return Standing(surprise=0.0, best_s=best_s, best_correlation=best_correlation)
    own = found.correlation / math.sqrt(float(overlap[min(max(at, 0), places - 1)]))
    return Standing(surprise=above(background, own), best_s=best_s, best_correlation=best_correlation)


def _shifts(centre_semitones: float, reach_bands: int) -> range:
    centre = round(centre_semitones * BANDS_PER_SEMITONE)
    return range(
        max(centre - reach_bands, -MOST_SHIFT_BANDS), min(centre + reach_bands, MOST_SHIFT_BANDS) + 1
    )


def laid_over(reference: Tensor, *, first: int, cells: int, shift_bands: int) -> Tensor:
    """Reference cells from `first` on, moved up by `shift_bands`: float32 [BANDS, cells], 0 outside."""
    moved = torch.zeros(BANDS, cells)
    low, high = max(0, -shift_bands), min(BANDS, BANDS - shift_bands)
    moved[low + shift_bands : high + shift_bands] = _excerpt(reference, first, first + cells)[low:high]
    return moved


def _excerpt(reference: Tensor, first: int, last: int) -> Tensor:
    """Reference cells [first, last), zero where there are none."""
    total = reference.shape[1]
    inside = reference[:, max(first, 0) : max(min(last, total), 0)]
    left = min(max(-first, 0), last - first)
    return functional.pad(inside, (left, max(last - first - left - inside.shape[1], 0)))


def _peak(values: Tensor, at: int) -> float:
    """Position of the maximum to a fraction of a step: a parabola through three points."""
    if at <= 0 or at >= len(values) - 1:
        return float(at)
    left, middle, right = (float(values[at + step]) for step in (-1, 0, 1))
    curvature = left - 2.0 * middle + right
    return at if curvature >= 0.0 else at + max(-0.5, min(0.5, 0.5 * (left - right) / curvature))
