"""Whether a line is real: the upload's contour laid over the reference's.

A hypothesis from the embeddings is right to within a second, a few percent of tempo and two
semitones. Here the query's contrast is correlated with the reference's contour bits over all tempos,
offsets and transpositions near it, which measures all three; and how far the best correlation stands
above those at every other place of the same reference says how surprising it is for *this* query and
*this* reference. Self-similar music is similar to itself everywhere, and thereby surprises little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from classifiers.contour import CONTOUR_RATE_HZ, Picture, contrast
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
_CONTEXT_S = 1.6
_EXCLUDED_CELLS = 15
"""Cells around the best offset that are not its background: 1.5 s."""
_FEWEST_BACKGROUND = 200
LEAST_OVERLAP = 0.25
"""Of the query on the reference; with less, a few cells would be scaled up to look like a picture."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A line as measured: query second `query_s` is reference second `reference_s`.

    correlation: in [-1, 1]; two equal pictures give 0.8, the loss of one being signs only.
    """

    query_s: float
    reference_s: float
    tempo_ratio: float
    shift_semitones: float
    correlation: float


def query_contrast(picture: Picture, *, start_s: float, end_s: float, tempo_ratio: float) -> Tensor:
    """Contrast of a stretch of the query in the reference's time: float32 [BANDS, cells]."""
    rate = tempo_ratio * CONTOUR_RATE_HZ
    cells = max(round((end_s - start_s) * rate), 1)
    # Context steadies the local mean at the edges; only where the query has any.
    before = int(min(_CONTEXT_S * CONTOUR_RATE_HZ, start_s * rate))
    after = max(int(min(_CONTEXT_S * CONTOUR_RATE_HZ, (picture.duration_s - end_s) * rate)), 0)
    level = picture.coarse_db(
        stride=1.0 / tempo_ratio, start_s=start_s - before / rate, cells=before + cells + after
    )
    return contrast(level)[:, before : before + cells]


def correlate(queries: Tensor, reference: Tensor, shifts: range) -> Tensor:
    """Correlation at every offset: float32 [queries, shifts, offsets].

    queries: [queries, BANDS, n] of contrasts; reference: [BANDS, m] of -1, 0, +1. Offset o lays the
    queries' first cell on reference cell o; offsets run over 0 .. m - n. A shift of s bands compares
    query band b + s with reference band b.
    """
    length = queries.shape[2]
    offsets = max(reference.shape[1] - length + 1, 1)
    # Circular correlation is right for these offsets as soon as nothing wraps into them.
    size = _fft_size(max(reference.shape[1], length))
    spectrum = torch.fft.rfft(reference, size)
    asked = torch.fft.rfft(queries, size).conj()
    energy = queries.square().sum(dim=2)
    surfaces = []
    for shift in shifts:
        low, high = max(0, -shift), min(BANDS, BANDS - shift)
        product = torch.einsum("qbf,bf->qf", asked[:, low + shift : high + shift], spectrum[low:high])
        norm = (energy[:, low + shift : high + shift].sum(dim=1) * (high - low) * length).sqrt()
        surface = torch.fft.irfft(product, size)[:, :offsets]
        surfaces.append(surface / norm.clamp_min(1e-3)[:, None])
    return torch.stack(surfaces, dim=1)


def measure(
    picture: Picture,
    reference: Tensor,
    *,
    start_s: float,
    end_s: float,
    near: Alignment,
    tempo_reach: float = TEMPO_REACH,
    shift_bands: int = SHIFT_BANDS,
    offset_s: float = OFFSET_S,
) -> Alignment:
    """Best alignment of query [start_s, end_s) near a hypothesis: first by coarse tempos, then by fine.

    reference: signs of the contour, float32 [BANDS, cells].
    """
    at_start = near.reference_s + (start_s - near.query_s) * near.tempo_ratio
    believed = Alignment(
        query_s=start_s,
        reference_s=at_start,
        tempo_ratio=near.tempo_ratio,
        shift_semitones=near.shift_semitones,
        correlation=near.correlation,
    )
    search = partial(_best, picture, reference, end_s=end_s)
    if tempo_reach >= COARSE_TEMPO_STEP:
        tempos = _around(COARSE_TEMPO_STEP, tempo_reach)
        believed = search(believed, tempos=tempos, shift_bands=shift_bands, offset_s=offset_s)
        tempo_reach, shift_bands, offset_s = 2.0 * FINE_TEMPO_STEP, 1, 0.3
    tempos = _around(FINE_TEMPO_STEP, tempo_reach)
    for _ in range(MOST_CLIMBS):
        before = believed.tempo_ratio
        believed = search(believed, tempos=tempos, shift_bands=shift_bands, offset_s=offset_s)
        # At the rim of what was tried the best tempo may lie beyond it.
        if (
            len(tempos) == 1
            or abs(math.log(believed.tempo_ratio / before)) < tempo_reach - FINE_TEMPO_STEP / 2
        ):
            break
    return believed


def _around(step: float, reach: float) -> list[float]:
    """Factors from about 1 - reach to 1 + reach, evenly in their logarithm; only 1 for no reach."""
    steps = max(round(reach / step), 1) if reach else 0
    return [math.exp(step * k) for k in range(-steps, steps + 1)]


def _best(
    picture: Picture,
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
    contrasts = [
        query_contrast(picture, start_s=start_s, end_s=end_s, tempo_ratio=tempo_ratio)
        for tempo_ratio in tried
    ]
    longest = max(part.shape[1] for part in contrasts)
    queries = torch.stack([functional.pad(part, (0, longest - part.shape[1])) for part in contrasts])
    # The middle of the stretch stays where the hypothesis puts it, whatever the tempo.
    middle_s = near.reference_s + (end_s - start_s) / 2.0 * near.tempo_ratio
    starts = [middle_s - (end_s - start_s) / 2.0 * tempo_ratio for tempo_ratio in tried]
    first = math.floor((min(starts) - offset_s) * CONTOUR_RATE_HZ)
    last = math.ceil((max(starts) + offset_s) * CONTOUR_RATE_HZ) + longest
    surface = correlate(queries, _excerpt(reference, first, last), _shifts(near.shift_semitones, shift_bands))
    tempo_at, shift_at, offset_at = np.unravel_index(int(surface.argmax()), surface.shape)
    # Each tempo has its best offset elsewhere: the tempo's own curve follows that ridge.
    ridge = surface[:, max(shift_at - 1, 0) : shift_at + 2].amax(dim=(1, 2))
    fraction = _peak(ridge, int(tempo_at)) - float(tempo_at)
    step = math.log(tempos[1] / tempos[0]) if len(tempos) > 1 else 0.0
    return Alignment(
        query_s=start_s,
        reference_s=(first + _peak(surface[tempo_at, shift_at], int(offset_at))) / CONTOUR_RATE_HZ,
        tempo_ratio=tried[tempo_at] * math.exp(step * fraction),
        shift_semitones=(
            _shifts(near.shift_semitones, shift_bands).start
            + _peak(surface[tempo_at, :, offset_at], int(shift_at))
        )
        / BANDS_PER_SEMITONE,
        correlation=float(surface.max()),
    )


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
    picture: Picture, reference: Tensor, *, start_s: float, end_s: float, found: Alignment
) -> Standing:
    """Compare an alignment of query [start_s, end_s) with every other place of the reference."""
    query = query_contrast(picture, start_s=start_s, end_s=end_s, tempo_ratio=found.tempo_ratio)
    length = query.shape[1]
    # Half a stretch of nothing on both sides: more places in short references.
    pad = length // 2 if reference.shape[1] > 2 * length else length
    padded = functional.pad(reference, (pad, pad))
    shifts = _shifts(found.shift_semitones, SHIFT_BANDS)
    # Where only part of the query lies on the reference, chance is smaller: bring it to the same scale.
    places = padded.shape[1] - length + 1
    covered = functional.pad(torch.ones(reference.shape[1]), (pad, pad)).cumsum(dim=0)
    covered = functional.pad(covered, (1, 0))
    overlap = ((covered[length : length + places] - covered[:places]) / length).clamp_min(LEAST_OVERLAP)
    surface = correlate(query[None], padded, shifts)[0] / overlap.sqrt()
    at_start = found.reference_s + (start_s - found.query_s) * found.tempo_ratio
    at = round(at_start * CONTOUR_RATE_HZ) + pad
    low, high = max(at - _EXCLUDED_CELLS, 0), at + _EXCLUDED_CELLS + 1
    background = torch.cat([surface[:, :low], surface[:, high:]], dim=1).flatten().numpy()
    row = round(found.shift_semitones * BANDS_PER_SEMITONE) - shifts.start
    same_shift = surface[max(row - 1, 0) : row + 2].amax(dim=0)
    best = int(same_shift.argmax())
    best_s = (best - pad) / CONTOUR_RATE_HZ
    best_correlation = float(same_shift[best])
    if background.size < _FEWEST_BACKGROUND:
        return Standing(surprise=0.0, best_s=best_s, best_correlation=best_correlation)
    middle = float(np.median(background))
    spread = 1.4826 * float(np.median(np.abs(background - middle)))
    own = found.correlation / math.sqrt(float(overlap[min(max(at, 0), places - 1)]))
    surprise = (own - middle) / max(spread, 1e-3)
    return Standing(surprise=surprise, best_s=best_s, best_correlation=best_correlation)


def _shifts(centre_semitones: float, reach_bands: int) -> range:
    centre = round(centre_semitones * BANDS_PER_SEMITONE)
    return range(
        max(centre - reach_bands, -MOST_SHIFT_BANDS), min(centre + reach_bands, MOST_SHIFT_BANDS) + 1
    )


def _fft_size(cells: int) -> int:
    """Next length of the form 2^k or 3 * 2^k: fast, and at most a third too long."""
    power = 1 << (cells - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= cells else power


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
