"""List centres in two levels: k-means over groups, then within each, and the same short way for every vector.

Comparing each vector with every centre makes the building of an index cost n to the power 1.5. With the
root of the centres as groups, a vector is compared with the groups, and then with the centres of the nearest
few of them: 560 instead of 12,000 at 10 million vectors. Queries, which are few, are compared with all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
GROUP_SAMPLE = 256
"""Vectors a group that its centre is the mean of."""
GROUPS_TRIED = 4
"""Of the nearest groups, for each vector: 98 % of real windows then find the nearest of all centres."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Centres:
    """groups: float32 [groups, dimension]; lists: float32 [lists, dimension], unit length, those of one group
    in a row; first: int64 [groups + 1], where each group's lists begin."""

    groups: Floats
    lists: Floats
    first: NDArray[np.int64]

    def nearest(self, vectors: Floats) -> NDArray[np.int64]:
        """The list of each of the unit vectors, float32 [n, dimension]."""
        to_groups = vectors @ self.groups.T
        tried = min(GROUPS_TRIED, len(self.groups))
        near = np.argpartition(-to_groups, tried - 1, axis=1)[:, :tried]
        best = np.full(len(vectors), -np.inf, dtype=np.float32)
        found = np.zeros(len(vectors), dtype=np.int64)
        for group in range(len(self.groups)):
            asking = np.flatnonzero((near == group).any(axis=1))
            if len(asking) == 0:
                continue
            cosines = vectors[asking] @ self.lists[self.first[group] : self.first[group + 1]].T
            at = cosines.argmax(axis=1)
            cosine = cosines[np.arange(len(asking)), at]
            better = cosine > best[asking]
            best[asking[better]] = cosine[better]
            found[asking[better]] = at[better] + self.first[group]
        return found


def train(sample: Floats, lists: int, *, seed: int = 0) -> Centres:
    """Centres of `lists` lists. sample: unit vectors, float32 [n, dimension], n >= lists."""
    groups = max(1, math.isqrt(lists))
    random = np.random.default_rng(seed)
    few = sample[np.sort(random.choice(len(sample), min(len(sample), groups * GROUP_SAMPLE), replace=False))]
    group_centres = _k_means(few, groups, seed=seed)
    of = (sample @ group_centres.T).argmax(axis=1)
    members = np.bincount(of, minlength=groups)
    shares = _shares(members, lists)
    centres = [
        _k_means(sample[of == group], int(share), seed=seed) for group, share in enumerate(shares) if share
    ]
    first = np.concatenate([[0], np.cumsum(shares)]).astype(np.int64)
    return Centres(groups=group_centres, lists=np.concatenate(centres), first=first)


def _shares(members: NDArray[np.int64], lists: int) -> NDArray[np.int64]:
    """Lists for each group in proportion to its members; `lists` in all."""
    exact = members * (lists / members.sum())
    shares: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    for group in np.argsort(shares - exact, kind="stable")[: lists - shares.sum()]:
        shares[group] += 1
    return shares


def _k_means(vectors: Floats, centres: int, *, seed: int) -> Floats:
    """Unit vectors, float32 [centres, dimension]."""
    if centres >= len(vectors):
        return vectors[:centres]
    trained: Any = faiss.Kmeans(
        vectors.shape[1],
        centres,
        niter=ROUNDS,
        spherical=True,
        seed=seed + 1,
        min_points_per_centroid=1,
        max_points_per_centroid=1_000_000,
    )
    trained.train(np.ascontiguousarray(vectors))
    found: Floats = trained.centroids
    return found
