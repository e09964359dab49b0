"""Publishes shards and merges them, in the background of readers and writers.

    flush      what the changelog brought since the newest manifest becomes a shard, its removals tombstones
    compact    small shards of one size become one of the next; tracks that no longer count are left behind
    repair     what damaged shards held, or no shard holds, is made anew from the prints
    sweep      deletes what no kept manifest names, and what killed mergers left half-written

All of it is derived from the tables and the prints: a merger may be killed at any instant, run twice, or
never run, and readers serve the same catalog, only with a larger head. Flush and compaction may go on at the
same time, in one process or two: each holds its own lock while it writes a shard, and both take the lock
of the manifests for the moment of publishing.
"""

from __future__ import annotations

import math
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import structlog

from index import manifest as manifests
from index.catalog import Catalog
from index.changelog import Delta, Entry
from index.library import split
from index.locks import locked
from index.manifest import Manifest
from index.shards import PART_SUFFIX, Shard, ShardRef, open_shard, write_shard
from soundalike.errors import CatalogDamaged

HEAD_TRACKS = 64
"""So many changes are flushed. 23,000 windows in the head cost a search of one upload about 50 ms."""
FANOUT = 4
"""So many shards of one size become one. Fewer would be written more often, more searched one by one."""
MOST_SHARD_TRACKS = 65_536
"""Shards of this size are left alone: 24 million windows, about 5 GB, some 20 minutes to build."""
DEAD_SHARE = 0.25
"""A shard with more tombstones than this is written anew without them."""
FLUSHED_TOGETHER = 1_024
"""Prints of 80 KB that are held in memory at once while a shard is written."""
KEPT_MANIFESTS = 2
"""The newest, and the one that readers fall back to when a shard of the newest is damaged."""

EXTENT = ("tracks.npy", "ids.npy")
"""What a merger reads of a shard; vectors and contours come from the prints, by their own checksums."""

log = structlog.get_logger(__name__)


def trusted(catalog: Catalog, *, model_sha256: str) -> Iterator[Manifest]:
    """The whole manifests that belong to this catalog's history, newest first."""
    for found in manifests.newest_first(catalog.shards_folder(model_sha256)):
        if found.model_sha256 == model_sha256 and found.anchor == catalog.anchor(found.generation):
            yield found


class Merger:
    """Tends the shards of one model. Several may be at work on one catalog; threads may share this one."""

    def __init__(self, catalog: Catalog, *, model_sha256: str) -> None:
        self._catalog = catalog
        self._model_sha256 = model_sha256
        self.folder = catalog.shards_folder(model_sha256)
        self._open: dict[str, Shard] = {}

    def newest(self) -> Manifest:
        """The manifest that readers start from; the empty one (number 0) where there is none."""
        return next(
            trusted(self._catalog, model_sha256=self._model_sha256), Manifest(model_sha256=self._model_sha256)
        )

    def flush(self, *, at_least: int = HEAD_TRACKS) -> bool:
        """Publishes what changed, if that is `at_least` so many tracks and nobody else is flushing.

        Raises CatalogDamaged if a print is; everything published stays as it was then.
        """
        with locked(self.folder / "flush.lock", wait=False) as mine:
            if not mine:
                return False
            base = self.newest()
            changes = self._catalog.delta(since=base.generation, model_sha256=self._model_sha256)
            if len(changes.live) + len(changes.gone) < max(at_least, 1):
                return False
            head = split(base, self._shards(base), changes).head
            written = self._write(head, generation=changes.generation)
            with self._publishing() as current:
                # A compaction may have put others in the place of some shards since.
                dead = split(current, self._shards(current), changes).dead
                self._publish(current, (*current.shards, *written), changes, dead)
        log.info("shards_flushed", generation=changes.generation, tracks=len(head), gone=len(changes.gone))
        return True

    def compact(self, *, everything: bool = False) -> bool:
        """Writes one shard in the place of several, if there are enough of a size; whether it did."""
        with locked(self.folder / "compact.lock", wait=False) as mine:
            if not mine:
                return False
            base = self.newest()
            victims = base.shards if everything else due(base)
            if not victims or (len(victims) == 1 and not base.removed.get(victims[0].name)):
                return False
            entries = sorted(self._entries(base, victims), key=lambda entry: entry.row_id)
            written = self._write(entries, generation=base.generation, together=MOST_SHARD_TRACKS)
            with self._publishing() as current:
                names = {victim.name for victim in victims}
                late = frozenset(row for ref in victims for row in self._removed_since(base, current, ref))
                kept = tuple(ref for ref in current.shards if ref.name not in names)
                removed = {ref.name: current.removed.get(ref.name, ()) for ref in kept}
                for ref in written:
                    held = self._shard(ref)
                    removed[ref.name] = tuple(row for row in late if held.position_of(row) is not None)
                self._put(replace(current, shards=(*kept, *written), removed=removed))
        log.info("shards_compacted", shards=len(victims), into=len(written), tracks=len(entries))
        return True

    def repair(self) -> tuple[str, ...]:
        """Compares every byte with the checksums and makes anew what is damaged; returns what was, by name.

        O(catalog). Also takes in whatever no shard holds, so it rebuilds all of them from nothing.
        """
        with ExitStack() as held:
            for name in ("flush.lock", "compact.lock"):
                held.enter_context(locked(self.folder / name, wait=True))
            current = self.newest()
            sound, damaged = [], []
            for ref in current.shards:
                try:
                    sound.append(open_shard(self.folder, ref))
                except CatalogDamaged as error:
                    damaged.append(str(error))
                    log.warning("shard_damaged", error=str(error))
            generation = self._catalog.generation()
            wanted = {
                entry.row_id: entry
                for entry in self._catalog.entries_at(generation, model_sha256=self._model_sha256)
            }
            removed: dict[str, tuple[int, ...]] = {}
            for shard in sound:
                out = set(current.removed.get(shard.ref.name, ()))
                for entry in shard.entries():
                    if entry.row_id in out:
                        continue
                    if wanted.get(entry.row_id) == entry:
                        del wanted[entry.row_id]
                    else:
                        out.add(entry.row_id)
                removed[shard.ref.name] = tuple(out)
            if damaged or wanted:
                written = self._write(tuple(wanted.values()), generation=generation)
                with self._publishing() as newest:
                    self._put(
                        replace(
                            newest,
                            generation=generation,
                            anchor=self._catalog.anchor(generation),
                            shards=(*(shard.ref for shard in sound), *written),
                            removed=removed,
                        )
                    )
        return tuple(damaged)

    def tend(self, *, at_least: int = HEAD_TRACKS) -> bool:
        """Flush, compact as long as there is something to compact, sweep; whether anything was published."""
        published = self.flush(at_least=at_least)
        while self.compact():
            published = True
        if published:
            self.sweep()
        return published

    def sweep(self) -> None:
        """Nothing while somebody is at work; readers keep what they have mapped."""
        named = sweep(self.folder)
        self._open = {name: shard for name, shard in self._open.items() if name in named}

    def _write(
        self, entries: Sequence[Entry], *, generation: int, together: int = FLUSHED_TOGETHER
    ) -> tuple[ShardRef, ...]:
        return tuple(
            write_shard(
                self.folder,
                f"{generation:010d}-{uuid.uuid4().hex[:8]}",
                ((entry, self._catalog.read_print(entry)) for entry in entries[first : first + together]),
            )
            for first in range(0, len(entries), together)
        )

    def _entries(self, base: Manifest, victims: Iterable[ShardRef]) -> Iterator[Entry]:
        for ref in victims:
            shard = self._shard(ref)
            gone = frozenset(base.removed.get(ref.name, ()))
            yield from (entry for entry in shard.entries() if entry.row_id not in gone)

    def _removed_since(self, base: Manifest, current: Manifest, ref: ShardRef) -> set[int]:
        """Row ids of a shard that counted in `base` and no longer do in `current`."""
        before = set(base.removed.get(ref.name, ()))
        if any(other.name == ref.name for other in current.shards):
            return set(current.removed.get(ref.name, ())) - before
        # Only a flush publishes during a compaction, and it leaves out a shard only when all of it is gone.
        return {entry.row_id for entry in self._shard(ref).entries()} - before

    def _shards(self, of: Manifest) -> tuple[Shard, ...]:
        return tuple(self._shard(ref) for ref in of.shards)

    def _shard(self, ref: ShardRef) -> Shard:
        if ref.name not in self._open:
            self._open[ref.name] = open_shard(self.folder, ref, verify=EXTENT)
        return self._open[ref.name]

    @contextmanager
    def _publishing(self) -> Iterator[Manifest]:
        """The newest manifest, which stays that until the body publishes another."""
        with locked(self.folder / "publish.lock", wait=True):
            yield self.newest()

    def _publish(
        self,
        current: Manifest,
        shards: tuple[ShardRef, ...],
        changes: Delta,
        dead: Mapping[str, frozenset[int]],
    ) -> None:
        removed = {
            ref.name: tuple(self._shard(ref).entry(position).row_id for position in dead[ref.name])
            for ref in current.shards
        }
        self._put(
            replace(
                current,
                generation=changes.generation,
                anchor=changes.anchor,
                shards=shards,
                removed=removed,
            )
        )

    def _put(self, manifest: Manifest) -> None:
        """Shards of which nothing counts any more are left out."""
        shards = tuple(ref for ref in manifest.shards if manifest.live_tracks(ref) > 0)
        number = max(manifests.numbers(self.folder), default=0) + 1
        manifests.publish(self.folder, replace(manifest, number=number, shards=shards))


def sweep(folder: Path) -> set[str]:
    """Deletes what no kept manifest names, unless somebody is at work; returns the shards that are named."""
    with ExitStack() as held:
        locks = ("flush.lock", "compact.lock", "publish.lock", "pull.lock")
        free = all(held.enter_context(locked(folder / name, wait=False)) for name in locks)
        kept = list(islice(manifests.newest_first(folder), KEPT_MANIFESTS))
        named = {ref.name for found in kept for ref in found.shards}
        if not free or not kept:
            return named
        for number in manifests.numbers(folder):
            if number < kept[-1].number:
                manifests.path(folder, number).unlink(missing_ok=True)
        for path in folder.iterdir():
            if path.is_dir() and path.name not in named:
                shutil.rmtree(path)
            elif path.is_file() and path.name.endswith(PART_SUFFIX):
                path.unlink()
    return named


def due(base: Manifest) -> tuple[ShardRef, ...]:
    """The shards that are to become one now.

    Sizes are powers of FANOUT; once FANOUT shards are of one size, they are due, and smaller ones with them.
    """
    sizes = {ref.name: _size(base.live_tracks(ref)) for ref in base.shards}
    open_ended = [ref for ref in base.shards if base.live_tracks(ref) < MOST_SHARD_TRACKS // 2]
    for size in sorted({sizes[ref.name] for ref in open_ended}):
        if sum(sizes[ref.name] == size for ref in open_ended) >= FANOUT:
            return tuple(ref for ref in open_ended if sizes[ref.name] <= size)
    for ref in base.shards:
        if len(base.removed.get(ref.name, ())) > DEAD_SHARE * ref.tracks:
            return (ref,)
    return ()


def _size(tracks: int) -> int:
    return max(0, math.floor(math.log(max(tracks, 1) / HEAD_TRACKS, FANOUT)))
