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

import numpy as np
import torch
from torch import Tensor

from classifiers.contour import CONTOUR_RATE_HZ, coarse_db, contrast
from classifiers.spectrogram import BANDS, BANDS_PER_SEMITONE

TEMPO_STEP = 0.015
TEMPO_STEPS = 4
"""+- 6 % around the hypothesis: one and a half steps of the Hough grid."""
SHIFT_BANDS = 5
"""+- 2.5 semitones around the transposition that was asked with."""
OFFSET_S = 1.5
_CONTEXT_S = 1.6
_EXCLUDED_CELLS = 15
"""Cells around the best offset that are not its background: 1.5 s."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A line as measured: query second `query_s` is reference second `reference_s`.

    correlation: in [-1, 1]; surprise: robust standard deviations above the background, or 0 where
    there is too little of the reference to tell.
    """

    query_s: float
    reference_s: float
    tempo_ratio: float
    shift_semitones: float
    correlation: float
    surprise: float


def query_contrast(power_db: Tensor, *, start_s: float, end_s: float, tempo_ratio: float) -> Tensor:
    """Contrast of a stretch of the query in the reference's time: float32 [BANDS, frames]."""
    cells = max(round((end_s - start_s) * tempo_ratio * CONTOUR_RATE_HZ), 1)
    context = round(_CONTEXT_S * CONTOUR_RATE_HZ)
    # Context steadies the local mean at the edges; only where the query has any.
    before = min(context, int(start_s * tempo_ratio * CONTOUR_RATE_HZ))
    duration_s = power_db.shape[1] / 50.0
    after = max(min(context, int((duration_s - end_s) * tempo_ratio * CONTOUR_RATE_HZ)), 0)
    level = coarse_db(
        power_db,
        stride=1.0 / tempo_ratio,
        start_s=start_s - before / (tempo_ratio * CONTOUR_RATE_HZ),
        frames=before + cells + after,
    )
    return contrast(level)[:, before : before + cells]


def correlate(query: Tensor, reference: Tensor, shifts: range) -> Tensor:
    """Correlation at every offset: float32 [queries, shifts, offsets].

    query: [queries, BANDS, n]; reference: [BANDS, m] of -1, 0, +1. Offset o lays query cell 0 on
    reference cell ``o``; offsets run over 0 .. m - n. Normalised so that equal pictures give about 1
    (0.8 for a picture against its own signs).
    """
    count, _, length = query.shape
    size = 1 << (reference.shape[1] + length - 1).bit_length()
    spectrum = torch.fft.rfft(reference, size)
    asked = torch.fft.rfft(query, size).conj()
    products = []
    norms = []
    energy = query.square().sum(dim=2)
    for shift in shifts:
        low, high = max(0, -shift), min(BANDS, BANDS - shift)
        products.append((asked[:, low + shift : high + shift] * spectrum[None, low:high]).sum(dim=1))
        norms.append((energy[:, low + shift : high + shift].sum(dim=1) * (high - low) * length).sqrt())
    surface = torch.fft.irfft(torch.stack(products, dim=1), size)
    offsets = max(reference.shape[1] - length + 1, 1)
    result: Tensor = surface[:, :, :offsets] / torch.stack(norms, dim=1).clamp_min(1e-6)[:, :, None]
    assert result.shape[0] == count
    return result


def measure(
    power_db: Tensor,
    reference: Tensor,
    *,
    start_s: float,
    end_s: float,
    reference_s: float,
    tempo_ratio: float,
    shift_semitones: float,
    tempo_steps: int = TEMPO_STEPS,
    shift_bands: int = SHIFT_BANDS,
    offset_s: float = OFFSET_S,
) -> Alignment:
    """Best alignment of query [start_s, end_s) near a hypothesis.

    reference: signs of the contour, float32 [BANDS, frames]. reference_s: where the query's
    `start_s` is believed to lie. The returned `query_s` is `start_s`; `surprise` is left at 0.
    """
    tempos = [tempo_ratio * math.exp(TEMPO_STEP * step) for step in range(-tempo_steps, tempo_steps + 1)]
    contrasts = [
        query_contrast(power_db, start_s=start_s, end_s=end_s, tempo_ratio=tempo) for tempo in tempos
    ]
    longest = max(part.shape[1] for part in contrasts)
    queries = torch.stack([torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in contrasts])
    # The middle of the stretch stays where the hypothesis puts it, whatever the tempo.
    middle_s = reference_s + (end_s - start_s) / 2.0 * tempo_ratio
    starts = [middle_s - part.shape[1] / 2.0 / CONTOUR_RATE_HZ for part in contrasts]
    first = math.floor((min(starts) - offset_s) * CONTOUR_RATE_HZ)
    last = math.ceil((max(starts) + offset_s) * CONTOUR_RATE_HZ) + longest
    excerpt = _excerpt(reference, first, last)
    centre = round(shift_semitones * BANDS_PER_SEMITONE)
    shifts = range(max(centre - shift_bands, -BANDS // 4), min(centre + shift_bands, BANDS // 4) + 1)
    surface = correlate(queries, excerpt, shifts)
    best = int(surface.argmax())
    tempo_at, rest = divmod(best, surface.shape[1] * surface.shape[2])
    shift_at, offset_at = divmod(rest, surface.shape[2])
    offset = _peak(surface[tempo_at, shift_at], offset_at)
    shift = _peak(surface[tempo_at, :, offset_at], shift_at)
    # A slower tempo has its best offset elsewhere: follow the ridge, not the column.
    ridge = surface[:, max(shift_at - 1, 0) : shift_at + 2].amax(dim=(1, 2))
    tempo = _peak(ridge, tempo_at) - tempo_at
    return Alignment(
        query_s=start_s,
        reference_s=(first + offset) / CONTOUR_RATE_HZ,
        tempo_ratio=tempos[tempo_at] * math.exp(TEMPO_STEP * tempo),
        shift_semitones=(shifts.start + shift) / BANDS_PER_SEMITONE,
        correlation=float(surface.max()),
        surprise=0.0,
    )


def surprise(power_db: Tensor, reference: Tensor, *, start_s: float, end_s: float, found: Alignment) -> float:
    """Robust standard deviations by which the alignment stands above all other places of the reference."""
    query = query_contrast(power_db, start_s=start_s, end_s=end_s, tempo_ratio=found.tempo_ratio)
    length = query.shape[1]
    # Half a stretch of silence on both sides: more offsets for short references.
    padded = torch.nn.functional.pad(reference, (length // 2, length // 2))
    if padded.shape[1] < length + 4 * _EXCLUDED_CELLS:
        padded = torch.nn.functional.pad(reference, (length, length))
    centre = round(found.shift_semitones * BANDS_PER_SEMITONE)
    shifts = range(max(centre - SHIFT_BANDS, -BANDS // 4), min(centre + SHIFT_BANDS, BANDS // 4) + 1)
    surface = correlate(query[None], padded, shifts)[0]
    pad = (padded.shape[1] - reference.shape[1]) // 2
    at = round(found.reference_s * CONTOUR_RATE_HZ) + pad
    low, high = max(at - _EXCLUDED_CELLS, 0), at + _EXCLUDED_CELLS + 1
    background = torch.cat([surface[:, :low], surface[:, high:]], dim=1).flatten().numpy()
    if background.size < 200:
        return 0.0
    middle = float(np.median(background))
    spread = 1.4826 * float(np.median(np.abs(background - middle)))
    return (found.correlation - middle) / max(spread, 1e-4)


def _excerpt(reference: Tensor, first: int, last: int) -> Tensor:
    """Reference cells [first, last), zero where there are none."""
    total = reference.shape[1]
    inside = reference[:, max(first, 0) : max(min(last, total), 0)]
    left = min(max(-first, 0), last - first)
    return torch.nn.functional.pad(inside, (left, max(last - first - left - inside.shape[1], 0)))


def _peak(values: Tensor, at: int) -> float:
    """Position of the maximum to a fraction of a step: a parabola through three points."""
    if at <= 0 or at >= len(values) - 1:
        return float(at)
    left, middle, right = (float(values[at + step]) for step in (-1, 0, 1))
    curvature = left - 2.0 * middle + right
    return at if curvature >= 0.0 else at + max(-0.5, min(0.5, 0.5 * (left - right) / curvature))
