"""What is remembered of a licensed recording, and what is asked of an upload.

A `ReferencePrint` holds embeddings every half second (for searching) and the contour (for
verifying); a `QueryPrint` holds embeddings at three transpositions, every two seconds or more often, of a
short upload those of its lower and upper spectrum as well, and the picture itself, which never leaves the
process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from classifiers.audio import Audio
from classifiers.contour import contour_bits
from classifiers.embedder import SHIPPED_WEIGHTS, WINDOW_FRAMES, Embedder
from classifiers.resample import to_mono
from classifiers.spectrogram import (
    BANDS_PER_SEMITONE,
    FLOOR_DB,
    FRAME_RATE_HZ,
    band_frequencies_hz,
    log_frequency_db,
)

REFERENCE_HOP_S = 0.5
SHORTEST_HOP_S = 0.25
LONGEST_HOP_S = {0: 1.5, -3: 3.0, 3: 3.0}
"""By transposition in semitones. The network tolerates about two of them either way, so that asking three
times covers -5 to +5; most uploads that play a track for long are found untransposed. Of 54 hard excerpts of
6 to 20 s in three minutes of other music 47 were found so, and with half as many windows more."""
WINDOWS_A_QUERY = 60
"""Short queries are asked more often: ten seconds, four times a second, found 86 % of hard cases, not 83."""
PARTED_AT_HZ = 500.0
PARTED_UP_TO_S = 60.0
"""So long an upload is also asked below and above PARTED_AT_HZ alone: other music on top seldom covers both
at once. Of 32 excerpts under music of equal power 28 were found instead of 26. Longer ones do well without.
"""
WHOLE, LOWER, UPPER = 0, -1, 1
SHORTEST_S = 1.0
"""Shorter recordings are not embedded: less than half a window would be music."""
SILENCE_DB = -70.0
"""A window whose loudest cell stays under this is silence and asks nothing."""


@dataclass(frozen=True, slots=True)
class ReferencePrint:
    """vectors: int8 [windows, dimension], unit vectors times 127; starts_s: float32 [windows];
    contour: uint8 [frames, BANDS / 8]; duration_s: of the recording."""

    duration_s: float
    vectors: NDArray[np.int8]
    starts_s: NDArray[np.float32]
    contour: NDArray[np.uint8]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "duration_s": np.array([self.duration_s], dtype=np.float64),
            "vectors": self.vectors,
            "starts_s": self.starts_s,
            "contour": self.contour,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> ReferencePrint:
        return cls(
            duration_s=float(arrays["duration_s"][0]),
            vectors=np.ascontiguousarray(arrays["vectors"], dtype=np.int8),
            starts_s=np.ascontiguousarray(arrays["starts_s"], dtype=np.float32),
            contour=np.ascontiguousarray(arrays["contour"], dtype=np.uint8),
        )


@dataclass(frozen=True, slots=True)
class QueryPrint:
    """vectors: float32 [windows, dimension]; starts_s and transpositions: float32 [windows], the second
    where each window starts and by how many semitones the query was moved before embedding it;
    parts: int8 [windows], which spectrum was embedded: WHOLE, LOWER or UPPER; power_db: float32
    [BANDS, frames] at 50 Hz."""

    duration_s: float
    vectors: NDArray[np.float32]
    starts_s: NDArray[np.float32]
    transpositions: NDArray[np.float32]
    parts: NDArray[np.int8]
    power_db: Tensor


class Fingerprinter:
    """Audio in, prints out; holds the one network."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.name = embedder.name
        self.sha256 = embedder.sha256

    def reference(self, audio: Audio) -> ReferencePrint:
        power_db = log_frequency_db(to_mono(audio))
        starts = _window_starts(power_db, REFERENCE_HOP_S)
        vectors = self.embedder.embed(power_db, start_frames=starts)
        return ReferencePrint(
            duration_s=audio.duration_s,
            vectors=np.round(vectors * 127.0).astype(np.int8),
            starts_s=(starts / FRAME_RATE_HZ).astype(np.float32),
            contour=contour_bits(power_db),
        )

    def query(self, audio: Audio) -> QueryPrint:
        return self.query_of(log_frequency_db(to_mono(audio)), duration_s=audio.duration_s)

    def query_of(self, power_db: Tensor, *, duration_s: float) -> QueryPrint:
        """The query of a picture, float32 [BANDS, frames] in dB at 50 Hz."""
        vectors, starts_s, transpositions, parts = [], [], [], []
        for picture, semitones, part in _ways(power_db, duration_s=duration_s):
            hop_s = min(max(duration_s / WINDOWS_A_QUERY, SHORTEST_HOP_S), LONGEST_HOP_S[semitones])
            starts = _window_starts(picture, hop_s)
            vectors.append(
                self.embedder.embed(picture, start_frames=starts, shift_bands=semitones * BANDS_PER_SEMITONE)
            )
            starts_s.append((starts / FRAME_RATE_HZ).astype(np.float32))
            transpositions.append(np.full(len(starts), semitones, dtype=np.float32))
            parts.append(np.full(len(starts), part, dtype=np.int8))
        return QueryPrint(
            duration_s=duration_s,
            vectors=np.concatenate(vectors),
            starts_s=np.concatenate(starts_s),
            transpositions=np.concatenate(transpositions),
            parts=np.concatenate(parts),
            power_db=power_db,
        )


def _ways(power_db: Tensor, *, duration_s: float) -> Iterator[tuple[Tensor, int, int]]:
    """Pictures to embed, by how many semitones to move each, and which part of the spectrum it shows."""
    for semitones in LONGEST_HOP_S:
        yield power_db, semitones, WHOLE
    if duration_s <= PARTED_UP_TO_S:
        at = int(np.searchsorted(band_frequencies_hz(), PARTED_AT_HZ))
        for part, silenced in ((LOWER, slice(at, None)), (UPPER, slice(None, at))):
            picture = power_db.clone()
            picture[silenced] = FLOOR_DB
            yield picture, 0, part


def _window_starts(power_db: Tensor, hop_s: float) -> NDArray[np.int64]:
    """First frames of the windows that hold sound; the last one may reach half a window past the end."""
    frames = power_db.shape[1]
    if frames < SHORTEST_S * FRAME_RATE_HZ:
        return np.zeros(0, dtype=np.int64)
    last = max(frames - WINDOW_FRAMES // 2, 1)
    starts = np.arange(0, last, round(hop_s * FRAME_RATE_HZ), dtype=np.int64)
    loudest = power_db.amax(dim=0).numpy()
    sounding = [
        bool(loudest[start : start + WINDOW_FRAMES].max(initial=-200.0) > SILENCE_DB) for start in starts
    ]
    kept: NDArray[np.int64] = starts[np.array(sounding, dtype=bool)]
    return kept


@lru_cache(maxsize=2)
def load_fingerprinter(model: str | None = None) -> Fingerprinter:
    """The shipped network, or the one at `model` (folder or hub id). One copy a process.

    Raises ModelError when it can't be loaded.
    """
    return Fingerprinter(Embedder(model if model is not None else Path(SHIPPED_WEIGHTS)))
