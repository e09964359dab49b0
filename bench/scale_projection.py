"""Vectors of fewer dimensions than the shipped network gives, to see what a smaller one would cost and find.

The principal directions are taken about the origin, from the catalog's own windows: cosines are about the
origin too. Projected vectors are brought back to unit length and, those of the catalog, to bytes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint

SCALE = 127.0


def project(
    prints: list[ReferencePrint], queries: list[NDArray[np.float32]], *, dimension: int
) -> tuple[list[ReferencePrint], list[NDArray[np.float32]]]:
    """All of them in `dimension` dimensions; as they are if they have no more."""
    windows = np.concatenate([heard.vectors for heard in prints]).astype(np.float32) / SCALE
    if windows.shape[1] <= dimension:
        return prints, queries
    _, directions = np.linalg.eigh(windows.T @ windows)
    strongest: NDArray[np.float32] = directions[:, ::-1][:, :dimension].astype(np.float32)

    def smaller(heard: ReferencePrint) -> ReferencePrint:
        projected = _unit(heard.vectors.astype(np.float32) @ strongest)
        return replace(heard, vectors=np.round(projected * SCALE).astype(np.int8))

    return [smaller(heard) for heard in prints], [_unit(query @ strongest) for query in queries]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)
