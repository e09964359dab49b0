"""Nearest windows: FAISS indexes whose kind follows their size, built from int8 vectors.

Vectors are unit vectors times 127 and rounded, as `classifiers.fingerprint.ReferencePrint` holds them. The
inverted lists keep exactly these bytes (`QT_8bit_direct_signed`), so a similarity is as exact as the bytes of
the query, and it is nearly only the choice of lists that can miss a neighbour. docs/scale.md has the
measurements behind the numbers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import REFERENCE_HOP_S, ReferencePrint
from index import centres
from soundalike.errors import CatalogDamaged

FLAT_UP_TO_VECTORS = 20_000
"""In memory, an exact scan of one upload's windows takes under 40 ms on one core up to here."""
SCALE = 127.0
TRAINING_VECTORS_PER_LIST = 32
FEWEST_VECTORS_PER_LIST = 64
PROBES = 768
PROBES_UP_TO_VECTORS = ((25_000, 96), (100_000, 192), (400_000, 384), (12_000_000, 512))
"""Lists looked into, by the size of the index: so many that at least 98 % of the 20 nearest are found.

Measured in 56 dimensions: 99.0 % at 24,000 vectors, 98.4 at 100,000, 99.0 at 400,000, 98.6 at 1 million,
98.4 at 10 million, 98.5 at 18 million. Many short lists reach a recall sooner than few long ones: at 2.5
million 98.4 % took 440 ms of CPU an upload in 12,649 lists and 580 ms in 6,324.
"""
MOST_LISTS = 32_768
ADDED_AT_ONCE = 65_536

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Catalog windows near each query window, best first.

    similarity: float32 [queries, k], cosine; track: int32 [queries, k], position among the references, -1
    where there are fewer than k; start_s: float32 [queries, k], where the catalog window starts.
    """

    similarity: NDArray[np.float32]
    track: NDArray[np.int32]
    start_s: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plan:
    """lists: how many the vectors are parted into. probes: how many of them a query looks into."""

    lists: int
    probes: int


def plan(vectors: int) -> Plan:
    """The inverted lists for so many vectors.

    The square root balances the two costs of a query, comparing with list centres and scanning lists.
    """
    lists = min(int(8.0 * np.sqrt(vectors)), vectors // FEWEST_VECTORS_PER_LIST, MOST_LISTS)
    lists = max(lists, 1)
    probes = next((probes for most, probes in PROBES_UP_TO_VECTORS if vectors <= most), PROBES)
    return Plan(lists=lists, probes=min(lists, probes))


def build(vectors: NDArray[np.int8], *, seed: int = 0) -> Any:
    """Inverted lists over `vectors`, int8 [n, dimension], n > 0; they may be mapped from a file."""
    total, dimension = vectors.shape
    lists = plan(total).lists
    # Sorted: a file is then read from its beginning to its end.
    wanted = min(total, lists * TRAINING_VECTORS_PER_LIST)
    sample = np.sort(np.random.default_rng(seed).choice(total, wanted, replace=False))
    found = centres.train(vectors[sample].astype(np.float32) / np.float32(SCALE), lists, seed=seed)
    coarse: Any = faiss.IndexFlatIP(dimension)
    coarse.add(found.lists)
    index: Any = faiss.IndexIVFScalarQuantizer(
        coarse,
        dimension,
        lists,
        faiss.ScalarQuantizer.QT_8bit_direct_signed,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.by_residual = False
    index.train(found.lists)  # the centres are there and bytes need no training: it only says so
    for first in range(0, total, ADDED_AT_ONCE):
        block = vectors[first : first + ADDED_AT_ONCE].astype(np.float32)
        rows = np.arange(first, first + len(block), dtype=np.int64)
        near = found.nearest(block / np.float32(SCALE))
        index.add_core(len(block), faiss.swig_ptr(block), faiss.swig_ptr(rows), faiss.swig_ptr(near))
        index.ntotal = first + len(block)
    return index


def save(index: Any, path: Path) -> None:
    faiss.write_index(index, str(path))


def load(path: Path) -> Any:
    """The index with its lists mapped, not read. Raises CatalogDamaged if it is none."""
    try:
        index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        lists: Any = faiss.downcast_InvertedLists(index.invlists)
    except (RuntimeError, AttributeError) as error:
        raise CatalogDamaged(f"{path} is no FAISS index that can be mapped ({error})") from error
    # FAISS would start 32 threads a search to read ahead; page faults fetch what is needed.
    lists.prefetch_nthread = 0
    return index


def nearest(
    index: Any,
    queries: NDArray[np.float32],
    k: int,
    *,
    alive: NDArray[np.uint8] | None = None,
    probes: int | None = None,
) -> tuple[NDArray[np.float32], Rows]:
    """Cosines and rows of the `k` nearest, each [queries, k], best first; row -1 where there are fewer.

    queries: float32 [queries, dimension], unit length. alive: a bit for each row, set where it may be found,
    lowest bit first (`alive_bits`). probes: lists to look into instead of the plan's.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if not isinstance(index, faiss.IndexIVF):
        products, rows = index.search(queries, min(k, index.ntotal))
        return np.where(rows >= 0, products / SCALE, -np.inf).astype(np.float32), rows
    parameters: Any = faiss.SearchParametersIVF()
    parameters.nprobe = probes or plan(index.ntotal).probes
    asked, factor = in_bytes(queries)
    ranked = min(k + k // 2, index.ntotal)
    _, rows, near = index.search_and_reconstruct(asked, ranked, params=parameters)
    cosines = np.einsum("qd,qkd->qk", queries, near) / np.float32(SCALE)
    counts = rows >= 0 if alive is None else _alive(rows, alive)
    cosines = np.where(counts, cosines, -np.inf)  # where there is none, `near` holds no number
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, index.ntotal)]
    cosines, rows = np.take_along_axis(cosines, best, 1), np.take_along_axis(rows, best, 1)
    rows[np.isneginf(cosines)] = -1
    crowded = np.flatnonzero(rows[:, -1] < 0)  # the dead took the places of the living
    if alive is not None and ranked < index.ntotal and len(crowded) > 0:
        # FAISS does not hand out vectors that it selects among: here they stay ranked by bytes.
        parameters.sel = faiss.IDSelectorBitmap(index.ntotal, faiss.swig_ptr(alive))
        products, found = index.search(asked[crowded], rows.shape[1], params=parameters)
        rows[crowded] = found
        cosines[crowded] = np.where(found >= 0, products / (SCALE * factor[crowded]), -np.inf)
    return cosines, rows


def cosines_with(index: Any, queries: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
    """Cosine of each query with one row: float32 [queries]; NaN for row -1, and where the search misses it.

    queries: float32 [queries, dimension], unit length; rows: int64 [queries], close together. Inverted lists
    can't be asked for a row, so those that the plan looks into are searched for the rows from the first to
    the last; the cosines are those of queries rounded to bytes, within 0.01.
    """
    cosines = np.full(len(rows), np.nan, dtype=np.float32)
    wanted = np.flatnonzero(rows >= 0)
    if len(wanted) == 0:
        return cosines
    asked = np.ascontiguousarray(queries[wanted], dtype=np.float32)
    if not isinstance(index, faiss.IndexIVF):
        cosines[wanted] = np.einsum("qd,qd->q", asked, index.reconstruct_batch(rows[wanted])) / SCALE
        return cosines
    first, last = int(rows[wanted].min()), int(rows[wanted].max()) + 1
    parameters: Any = faiss.SearchParametersIVF()
    parameters.nprobe = plan(index.ntotal).probes
    between = faiss.IDSelectorRange(first, last)  # the parameters hold no reference to it
    parameters.sel = between
    whole, factor = in_bytes(asked)
    products, found = index.search(whole, last - first, params=parameters)
    query, at = np.nonzero(found == rows[wanted][:, None])
    cosines[wanted[query]] = products[query, at] / (SCALE * factor[query, 0])
    return cosines


def rows_at(starts_s: NDArray[np.float32], at_s: NDArray[np.float64], *, first: int) -> Rows:
    """Rows of the windows that start at these seconds, -1 where none does within half a hop: int64 [seconds].

    starts_s: float32 [windows] of one reference, ascending; `first` is its first row.
    """
    if len(starts_s) == 0:
        return np.full(len(at_s), -1, dtype=np.int64)
    between = (starts_s[1:].astype(np.float64) + starts_s[:-1]) / 2.0
    window = np.searchsorted(between, at_s)
    near = np.abs(starts_s[window] - at_s) <= REFERENCE_HOP_S / 2.0
    return np.where(near, first + window, -1).astype(np.int64)


def _alive(rows: Rows, alive: NDArray[np.uint8]) -> NDArray[np.bool_]:
    there = np.maximum(rows, 0)
    bits: NDArray[np.bool_] = (alive[there >> 3] >> (there & 7).astype(np.uint8)) & 1 == 1
    return bits & (rows >= 0)


def in_bytes(queries: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Queries as whole numbers up to 127, and the factor of each row, [queries, 1].

    FAISS compares bytes with bytes: it cuts off a query's fractions. Rounded so, of the 20 nearest of a
    million it finds 98.8 % with every list looked into. So half as many again are taken, and ranked by the
    query as it is: all 20 are right then, for 3 % more time.
    """
    factor = SCALE / np.maximum(np.abs(queries).max(axis=1, keepdims=True), np.float32(1e-6))
    return np.round(queries * factor).astype(np.float32), factor.astype(np.float32)


def alive_bits(total: int, dead: list[tuple[int, int]]) -> NDArray[np.uint8]:
    """The selection of `total` rows without the ranges [first, last) in `dead`."""
    alive = np.ones(total, dtype=bool)
    for first, last in dead:
        alive[first:last] = False
    return np.packbits(alive, bitorder="little")


class VectorIndex:
    """Every window of every reference, in memory; immutable once built."""

    def __init__(self, prints: Mapping[str, ReferencePrint]) -> None:
        self.track_ids = sorted(prints)
        lengths = [len(prints[track_id].vectors) for track_id in self.track_ids]
        self._first = np.cumsum([0, *lengths])
        self._track = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        self._start_s = np.concatenate(
            [prints[track_id].starts_s for track_id in self.track_ids] or [np.zeros(0, np.float32)]
        )
        self._index: Any = None
        if len(self._track):
            vectors = np.concatenate([prints[track_id].vectors for track_id in self.track_ids])
            self._index = _flat(vectors) if len(vectors) <= FLAT_UP_TO_VECTORS else build(vectors)

    def __len__(self) -> int:
        return len(self._track)

    def search(self, vectors: NDArray[np.float32], k: int) -> Neighbours:
        """Nearest catalog windows of each row of `vectors`, float32 [queries, dimension], unit length."""
        queries = len(vectors)
        if self._index is None or queries == 0:
            return nothing(queries)
        similarity, rows = nearest(self._index, vectors, k)
        found = rows >= 0
        return Neighbours(
            similarity=similarity,
            track=np.where(found, self._track[rows], -1).astype(np.int32),
            start_s=np.where(found, self._start_s[rows], 0.0).astype(np.float32),
        )

    def cosines(
        self, track: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """As `index.references.References.cosines` says."""
        first, last = (int(row) for row in self._first[track : track + 2])
        return cosines_with(self._index, vectors, rows_at(self._start_s[first:last], starts_s, first=first))


def nothing(queries: int) -> Neighbours:
    """The neighbours in an empty catalog."""
    return Neighbours(
        similarity=np.zeros((queries, 0), np.float32),
        track=np.zeros((queries, 0), np.int32),
        start_s=np.zeros((queries, 0), np.float32),
    )


def _flat(vectors: NDArray[np.int8]) -> Any:
    """Exact; as floats, four times the memory of bytes but scanned by a matrix product."""
    index: Any = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors.astype(np.float32))
    return index
