"""One generation of the catalog as a matcher sees it: mapped shards, a small head in memory, tombstones.

The head holds what was added since the shards were published; the tombstones name what no longer counts in
them. Both come from replaying the changelog, so a library of any manifest shows the same catalog.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint
from index.changelog import Delta, Entry
from index.manifest import Manifest
from index.references import ReferencesInMemory
from index.shards import Shard
from index.vectors import Neighbours


@dataclass(frozen=True, slots=True)
class Masked:
    """A shard without the tracks at the positions `dead`. alive: the same for the search; None for all."""

    shard: Shard
    dead: frozenset[int]
    alive: NDArray[np.uint8] | None

    @property
    def tracks(self) -> int:
        return len(self.shard) - len(self.dead)


@dataclass(frozen=True, slots=True)
class Split:
    """Where each track of a generation is to be found: `dead` positions by shard name, and the head."""

    dead: Mapping[str, frozenset[int]]
    head: tuple[Entry, ...]


def split(manifest: Manifest, shards: Sequence[Shard], changes: Delta) -> Split:
    """Replays `changes`, which begin at the manifest's generation, over its shards.

    A track whose print was made anew is dead in its shard and comes again in the head.
    """
    gone = dict.fromkeys(changes.gone) | {entry.row_id: entry for entry in changes.live}
    head = {entry.row_id: entry for entry in changes.live}
    dead: dict[str, frozenset[int]] = {}
    for shard in shards:
        out = set()
        for row_id in manifest.removed.get(shard.ref.name, ()):
            position = shard.position_of(row_id)
            if position is not None:
                out.add(position)
        for row_id, now in gone.items():
            position = shard.position_of(row_id)
            if position is None or position in out:
                continue
            if now is not None and shard.entry(position).checksum == now.checksum:
                head.pop(row_id, None)  # a merge has taken it in already
            else:
                out.add(position)
        dead[shard.ref.name] = frozenset(out)
    return Split(dead, tuple(head.values()))


class Library:
    """`index.references.References` over shards and head; immutable."""

    def __init__(self, parts: Sequence[Masked], head: Mapping[str, ReferencePrint]) -> None:
        self._parts = tuple(parts)
        self._head = ReferencesInMemory(head)
        sizes = [len(part.shard) for part in self._parts]
        self._bases = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]

    @property
    def tracks(self) -> int:
        return self._head.tracks + sum(part.tracks for part in self._parts)

    @property
    def head_tracks(self) -> int:
        return self._head.tracks

    @property
    def parts(self) -> tuple[Masked, ...]:
        return self._parts

    def search(self, vectors: NDArray[np.float32], k: int) -> Neighbours:
        """The best of all parts' best: exactly what one index over all of them would answer."""
        found = self._head.search(vectors, k)
        similarity = [found.similarity]
        track = [np.where(found.track >= 0, found.track + self._bases[-1], -1)]
        start_s = [found.start_s]
        for base, part in zip(self._bases, self._parts, strict=False):
            cosines, positions, starts_s = part.shard.nearest(vectors, k, alive=part.alive)
            similarity.append(cosines)
            track.append(np.where(positions >= 0, positions + base, -1))
            start_s.append(starts_s)
        return _best(similarity, track, start_s, k)

    def cosines(
        self, position: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        references, at = self._place(position)
        return references.cosines(at, vectors, starts_s)

    def track_id(self, position: int) -> str:
        references, at = self._place(position)
        return references.track_id(at)

    def duration_s(self, position: int) -> float:
        references, at = self._place(position)
        return references.duration_s(at)

    def contour(self, position: int) -> NDArray[np.uint8]:
        references, at = self._place(position)
        return references.contour(at)

    def _place(self, position: int) -> tuple[Shard | ReferencesInMemory, int]:
        part = bisect_right(self._bases, position) - 1
        at = position - self._bases[part]
        return (self._head if part == len(self._parts) else self._parts[part].shard), at


def _best(
    similarity: list[NDArray[np.float32]],
    track: list[NDArray[np.int64]],
    start_s: list[NDArray[np.float32]],
    k: int,
) -> Neighbours:
    """The `k` most similar of each query, best first; equals in the order of the parts."""
    all_similarity = np.concatenate(similarity, axis=1)
    order = np.argsort(-all_similarity, axis=1, kind="stable")[:, :k]
    return Neighbours(
        similarity=np.take_along_axis(all_similarity, order, axis=1),
        track=np.take_along_axis(np.concatenate(track, axis=1), order, axis=1).astype(np.int32),
        start_s=np.take_along_axis(np.concatenate(start_s, axis=1), order, axis=1),
    )
