"""Nearest windows of the catalog: a FAISS index whose type follows the catalog's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint

FLAT_UP_TO_VECTORS = 20_000
"""Below this an exact scan of one upload's windows takes under 40 ms on one core."""
PROBES = 16
TRAINING_VECTORS_PER_LIST = 64


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Catalog windows near each query window, best first.

    similarity: float32 [queries, k], cosine; track: int32 [queries, k], position in `track_ids`, -1
    where there are fewer than k; start_s: float32 [queries, k], where the catalog window starts.
    """

    similarity: NDArray[np.float32]
    track: NDArray[np.int32]
    start_s: NDArray[np.float32]


class VectorIndex:
    """Every window of every reference; immutable once built."""

    def __init__(self, prints: Mapping[str, ReferencePrint]) -> None:
        self.track_ids = sorted(prints)
        lengths = [len(prints[track_id].vectors) for track_id in self.track_ids]
        self._track = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self._start_s = np.concatenate(
            [prints[track_id].starts_s for track_id in self.track_ids] or [np.zeros(0, np.float32)]
        )
        self._index = self._build(prints)

    def _build(self, prints: Mapping[str, ReferencePrint]) -> Any:
        total = len(self._track)
        if total == 0:
            return None
        dimension = prints[self.track_ids[0]].vectors.shape[1]
        if total <= FLAT_UP_TO_VECTORS:
            index: Any = faiss.IndexScalarQuantizer(
                dimension, faiss.ScalarQuantizer.QT_8bit_direct_signed, faiss.METRIC_INNER_PRODUCT
            )
        else:
            lists = min(int(4 * np.sqrt(total)), total // TRAINING_VECTORS_PER_LIST)
            coarse = faiss.IndexFlatIP(dimension)
            index = faiss.IndexIVFScalarQuantizer(
                coarse,
                dimension,
                lists,
                faiss.ScalarQuantizer.QT_8bit_direct_signed,
                faiss.METRIC_INNER_PRODUCT,
            )
            index.by_residual = False
            index.nprobe = PROBES
            generator = np.random.default_rng(0)
            sample = generator.choice(total, min(total, lists * TRAINING_VECTORS_PER_LIST), replace=False)
            offsets = np.concatenate(
                [[0], np.cumsum(np.bincount(self._track, minlength=len(self.track_ids)))]
            )
            rows = [
                prints[self.track_ids[self._track[row]]].vectors[row - offsets[self._track[row]]]
                for row in sample
            ]
            index.train(np.stack(rows).astype(np.float32))
        for track_id in self.track_ids:
            vectors = prints[track_id].vectors
            if len(vectors):
                index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        return index

    def __len__(self) -> int:
        return len(self._track)

    def search(self, vectors: NDArray[np.float32], k: int) -> Neighbours:
        """Nearest catalog windows of each row of `vectors`, float32 [queries, dimension], unit length."""
        queries = len(vectors)
        if self._index is None or queries == 0:
            return Neighbours(
                similarity=np.zeros((queries, 0), np.float32),
                track=np.zeros((queries, 0), np.int32),
                start_s=np.zeros((queries, 0), np.float32),
            )
        k = min(k, len(self))
        # Both sides are scaled by 127, so the products come back as cosines times 127 squared.
        similarity, rows = self._index.search(np.ascontiguousarray(vectors * 127.0, dtype=np.float32), k)
        found = rows >= 0
        return Neighbours(
            similarity=(similarity / (127.0 * 127.0)).astype(np.float32),
            track=np.where(found, self._track[rows], -1).astype(np.int32),
            start_s=np.where(found, self._start_s[rows], 0.0).astype(np.float32),
        )
