"""A catalog that changes while it serves: poll the generation, build beside, swap at once.

Two checkpoints: the generation that is served and the one that is stored. While they differ, the next
one is built in a background thread and the old one serves on; the swap is one assignment, so a caller
that took a `Serving` keeps one consistent generation for as long as it likes, without a lock.

A generation that can't be loaded (a damaged print, a database that does not answer) never takes the old
one's place: it is tried again with growing pauses, and shown by `last_error` and, once it lasts, `is_stale`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import structlog
from numpy.typing import NDArray

from index.catalog import Catalog
from index.recordings import Manifest, PrintFile
from index.tracks import Track

POLL_INTERVAL_S = 1.0
"""A poll reads one row. A removal has to be seen within 10 s; this leaves nine of them for the building."""

STALE_AFTER_S = 30.0
"""An addition has to be searchable within 30 s: what lags for longer is stale."""

LONGEST_PAUSE_S = 30.0
"""Between two attempts at a generation that fails to load."""

P = TypeVar("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Serving(Generic[T]):
    """One generation, complete: everything in it belongs together."""

    generation: int
    value: T
    manifest: Manifest

    @property
    def tracks(self) -> Mapping[str, Track]:
        """All live tracks by id, also those that the model has not heard."""
        return self.manifest.tracks


class ServingCatalog(Generic[P, T]):
    """What `build` makes of the catalog's prints, kept up to date.

        decode = ReferencePrint.from_arrays
        with ServingCatalog(catalog, build=Matcher, decode=decode, model_sha256=model) as serving:
            now = serving.current()      # one generation: keep it for the whole upload
            now.value.match(query), now.generation, now.tracks

    `build` is called with the prints by track id, and only when they changed: a change of terms raises
    the generation without building anything. The catalog stays the caller's to close, after this.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        build: Callable[[dict[str, P]], T],
        decode: Callable[[dict[str, NDArray[Any]]], P],
        model_sha256: str,
        poll_interval_s: float = POLL_INTERVAL_S,
        stale_after_s: float = STALE_AFTER_S,
    ) -> None:
        self._catalog = catalog
        self._build = build
        self._decode = decode
        self._model_sha256 = model_sha256
        self._poll_interval_s = poll_interval_s
        self._stale_after_s = stale_after_s
        self._loaded: dict[PrintFile, P] = {}
        self._serving: Serving[T] | None = None
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

    def refresh(self) -> bool:
        """Compares, and swaps if the stored generation is another one; returns whether it swapped.

        Raises what the loading raised; the old generation then serves on.
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
        old = self._serving
        if old is not None and self._catalog.generation() == old.generation:
            return False
        manifest = self._catalog.manifest(model_sha256=self._model_sha256)
        if old is not None and manifest.files == old.manifest.files:
            value = old.value
        else:
            prints = self._catalog.load_manifest_as(manifest, decode=self._decode, loaded=self._loaded)
            value = self._build(prints)
            self._loaded = {file: prints[track_id] for track_id, file in manifest.files.items()}
        self._serving = Serving(manifest.generation, value, manifest)
        return True

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
                now = self.current()
                log.info("catalog_generation_served", generation=now.generation, tracks=len(now.tracks))
