"""A catalog that changes while it serves: poll the generation, prepare the next beside, swap at once.

Two checkpoints: the generation that is served and the one that is stored. While they differ, the next one is
prepared in a background thread and the old one serves on; the swap is one assignment, so a caller that took
a `Serving` keeps one consistent generation for as long as it likes, without a lock. What is prepared is what
changed: shards that are mapped already, and prints in the head, are taken over.

A generation that can't be loaded (a damaged print, a database that does not answer) never takes the old one's
place: it is tried again with growing pauses, and shown by `last_error` and, once it lasts, `is_stale`. A
damaged shard is refused by name (`refused`) and never tried again: the manifest before it, with a longer
replay of the changelog, gives the same catalog.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import structlog

from classifiers.fingerprint import ReferencePrint
from index import manifest as manifests
from index.catalog import Catalog
from index.changelog import Entry
from index.library import Library, Masked, split
from index.manifest import Manifest
from index.merge import trusted
from index.shards import Shard, open_shard
from index.tracks import Track
from soundalike.errors import CatalogDamaged, UnknownTrack

POLL_INTERVAL_S = 1.0
"""A poll reads one row and one folder. A removal has to be seen within 10 s; nine are left for the rest."""

STALE_AFTER_S = 30.0
"""An addition has to be searchable within 30 s: what lags for longer is stale."""

LONGEST_PAUSE_S = 30.0
"""Between two attempts at a generation that fails to load."""

LARGE_HEAD_TRACKS = 2_000
"""A head above it takes seconds to load and 80 KB a track: somebody should merge."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving(Generic[T]):
    """One generation, complete: everything in it belongs together."""

    generation: int
    value: T
    tracks: Mapping[str, Track]
    """All tracks of the generation by id, also those that the model has not heard; looked up when asked."""


class TracksAt(Mapping[str, Track]):
    """The tracks of one generation, read from the tables one by one: memory does not grow with them."""

    def __init__(self, catalog: Catalog, generation: int) -> None:
        self._catalog = catalog
        self._generation = generation

    def __getitem__(self, track_id: str) -> Track:
        try:
            return self._catalog.track_at(track_id, self._generation)
        except UnknownTrack as error:
            raise KeyError(track_id) from error

    def __iter__(self) -> Iterator[str]:
        return (track.track_id for track in self._catalog.tracks(at_generation=self._generation))

    def __len__(self) -> int:
        return len(self._catalog.tracks(at_generation=self._generation))


class ServingCatalog(Generic[T]):
    """What `build` makes of the catalog's library, kept up to date.

        with ServingCatalog(catalog, build=Matcher, model_sha256=model) as serving:
            now = serving.current()      # one generation: keep it for the whole upload
            now.value.match(query), now.generation, now.tracks

    `build` is called only when tracks, prints or shards changed: a change of terms raises the generation
    without building anything. `on_swap` is told of each generation as it begins to be served. The catalog
    stays the caller's to close, after this.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        build: Callable[[Library], T],
        model_sha256: str,
        poll_interval_s: float = POLL_INTERVAL_S,
        stale_after_s: float = STALE_AFTER_S,
        on_swap: Callable[[Serving[T]], None] = lambda _serving: None,
    ) -> None:
        self._catalog = catalog
        self._build = build
        self._model_sha256 = model_sha256
        self._folder = catalog.shards_folder(model_sha256)
        self._poll_interval_s = poll_interval_s
        self._stale_after_s = stale_after_s
        self._on_swap = on_swap
        self._serving: Serving[T] | None = None
        self._library = Library((), {})
        self._seen: tuple[int, int] | None = None
        self._content: object = None
        self._shards: dict[str, Shard] = {}
        self._head: dict[Entry, ReferencePrint] = {}
        self._refused: dict[str, CatalogDamaged] = {}
        self._current_at_s = time.monotonic()
        self._last_error: Exception | None = None
        self._refreshing = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Loads the present generation, then follows. Raises CatalogError if the first can't be loaded."""
        self.refresh()
        self._thread = threading.Thread(target=self._follow, name="catalog-follower", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends the following; a build that is under way is waited for."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def current(self) -> Serving[T]:
        """The newest complete generation; never waits."""
        if self._serving is None:
            raise RuntimeError("start() comes before current()")
        return self._serving

    @property
    def is_ready(self) -> bool:
        return self._serving is not None

    @property
    def is_stale(self) -> bool:
        """What is served has differed from what is stored, or nobody could tell, for longer than allowed."""
        return time.monotonic() - self._current_at_s > self._stale_after_s

    @property
    def last_error(self) -> Exception | None:
        """Why the newest attempt failed; None once one succeeds."""
        return self._last_error

    @property
    def refused(self) -> Mapping[str, CatalogDamaged]:
        """The damaged shards that were met, by name."""
        return dict(self._refused)

    def refresh(self) -> bool:
        """Compares, and swaps if what is stored is another generation or lies in other shards.

        Returns whether it swapped. Raises what the loading raised; the old generation then serves on.
        """
        with self._refreshing:
            try:
                swapped = self._refresh()
            except Exception as error:
                self._last_error = error
                raise
            self._last_error = None
            self._current_at_s = time.monotonic()
            return swapped

    def _refresh(self) -> bool:
        seen = (self._catalog.generation(), next(iter(manifests.numbers(self._folder)), 0))
        if seen == self._seen:
            return False
        manifest, shards = self._open_newest()
        changes = self._catalog.delta(since=manifest.generation, model_sha256=self._model_sha256)
        parted = split(manifest, shards, changes)
        content = (parted, tuple(shard.ref.name for shard in shards))
        serving = self._serving
        if serving is None or content != self._content:
            head = {
                entry: self._head[entry] if entry in self._head else self._catalog.read_print(entry)
                for entry in parted.head
            }
            self._library = Library(
                [self._masked(shard, parted.dead[shard.ref.name]) for shard in shards],
                {entry.track_id: heard for entry, heard in head.items()},
            )
            value = self._build(self._library)
            self._head, self._content = head, content
            self._shards = {shard.ref.name: shard for shard in shards}
        else:
            value = serving.value
        # Told before it is seen, so that a change between the two looks is never taken for seen.
        self._seen = (changes.generation, seen[1])
        self._serving = Serving(changes.generation, value, TracksAt(self._catalog, changes.generation))
        self._on_swap(self._serving)
        return True

    def _open_newest(self) -> tuple[Manifest, tuple[Shard, ...]]:
        """The newest manifest that can be served. Raises CatalogDamaged if there are some but none can be."""
        failures: list[CatalogDamaged] = []
        for manifest in trusted(self._catalog, model_sha256=self._model_sha256):
            try:
                return manifest, tuple(self._opened(ref.name, ref) for ref in manifest.shards)
            except CatalogDamaged as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return Manifest(model_sha256=self._model_sha256), ()

    def _opened(self, name: str, ref: Any) -> Shard:
        if name in self._refused:
            raise self._refused[name]
        if name in self._shards:
            return self._shards[name]
        try:
            return open_shard(self._folder, ref)
        except CatalogDamaged as error:
            if (self._folder / name).exists():  # else a merge has swept it away since the manifest was read
                self._refused[name] = error
                log.warning("shard_refused", shard=name, error=str(error))
            raise

    def _masked(self, shard: Shard, dead: frozenset[int]) -> Masked:
        for part in self._library.parts:
            if part.shard is shard and part.dead == dead:
                return part
        return Masked(shard, dead, shard.alive(sorted(dead)))

    def _follow(self) -> None:
        pause_s = self._poll_interval_s
        while not self._stop.wait(pause_s):
            try:
                swapped = self.refresh()
            except Exception as error:  # noqa: BLE001 -- whatever it is, the old generation serves on and tells
                pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
                log.warning(
                    "catalog_generation_not_loaded",
                    serving=self.current().generation,
                    error=str(error),
                    error_type=type(error).__name__,
                    next_attempt_s=pause_s,
                )
                continue
            pause_s = self._poll_interval_s
            if swapped:
                self._tell()

    def _tell(self) -> None:
        library = self._library
        log.info("catalog_generation_served", generation=self.current().generation, tracks=library.tracks)
        if library.head_tracks > LARGE_HEAD_TRACKS:
            log.warning(
                "many tracks are held in memory; run `soundalike catalog merge`", tracks=library.head_tracks
            )
