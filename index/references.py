"""What an upload is compared with: one seam, so that a matcher need not know where references lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint
from index.vectors import Neighbours, VectorIndex


class References(Protocol):
    """One generation of the catalog: immutable, and safe to be asked from several threads.

    A reference is named by its position, 0 .. len - 1, which holds for this generation only; some positions
    may be dead (removed from the catalog since): no search answers with them.
    """

    @property
    def tracks(self) -> int:
        """How many can be recognised."""
        ...

    def search(self, vectors: NDArray[np.float32], k: int) -> Neighbours:
        """The `k` nearest windows of each row of `vectors`, float32 [queries, dimension], unit length."""
        ...

    def cosines(
        self, position: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """How alike query windows and one reference's windows are, pair by pair: float32 [queries], cosines.

        vectors: float32 [queries, dimension], unit length; starts_s: float64 [queries], the second of the
        reference on which each is laid. NaN where no window starts within half a hop, or none is found.
        """
        ...

    def track_id(self, position: int) -> str: ...

    def duration_s(self, position: int) -> float: ...

    def contour(self, position: int) -> NDArray[np.uint8]:
        """uint8 [frames, BANDS / 8], as `classifiers.contour.contour_bits` made it."""
        ...


class ReferencesInMemory:
    """References from their prints: small catalogs, tests, and what was added a moment ago."""

    def __init__(self, prints: Mapping[str, ReferencePrint]) -> None:
        self._index = VectorIndex(prints)
        self._prints = [prints[track_id] for track_id in self._index.track_ids]

    @property
    def tracks(self) -> int:
        return len(self._prints)

    def search(self, vectors: NDArray[np.float32], k: int) -> Neighbours:
        return self._index.search(vectors, k)

    def cosines(
        self, position: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        return self._index.cosines(position, vectors, starts_s)

    def track_id(self, position: int) -> str:
        return self._index.track_ids[position]

    def duration_s(self, position: int) -> float:
        return self._prints[position].duration_s

    def contour(self, position: int) -> NDArray[np.uint8]:
        return self._prints[position].contour
