"""Merging and copying in the background of a process that keeps the catalog: `soundalike catalog serve`.

Three threads, so that a long merge holds up neither the next flush nor the next snapshot. What fails is
logged and tried again; nothing that readers use depends on it being quick.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from index.catalog import Catalog
from index.merge import Merger
from index.snapshot import push

EVERY_S = 1.0
"""A look costs two queries of what changed."""
PUSH_EVERY_S = 5.0
"""A worker elsewhere gets the print of a new track so late at most; it has to be searchable after 30 s."""
LONGEST_PAUSE_S = 60.0

log = structlog.get_logger(__name__)


class Tending:
    """Tends the shards of one model while the context lasts; with `snapshot`, copies them to that URI too."""

    def __init__(
        self, catalog: Catalog, *, model_sha256: str, snapshot: str | None = None, every_s: float = EVERY_S
    ) -> None:
        self._stop = threading.Event()
        flushing = Merger(catalog, model_sha256=model_sha256)
        compacting = Merger(catalog, model_sha256=model_sha256)

        def compact() -> None:
            if compacting.compact():
                compacting.sweep()

        work: list[tuple[str, Callable[[], object], float]] = [
            ("flush", flushing.flush, every_s),
            ("compact", compact, every_s),
        ]
        if snapshot is not None:
            uri = snapshot
            work.append(("push", lambda: push(catalog, model_sha256=model_sha256, to=uri), PUSH_EVERY_S))
        self._threads = [
            threading.Thread(target=self._repeat, args=each, name=f"catalog-{each[0]}", daemon=True)
            for each in work
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A merge in progress may take minutes and is worth nothing half done: it is not waited for."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _repeat(self, name: str, work: Callable[[], object], every_s: float) -> None:
        pause_s = every_s
        while not self._stop.wait(pause_s):
            try:
                work()
            except Exception as error:  # noqa: BLE001 -- the catalog is kept and served whatever happens here
                pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
                log.warning(
                    "catalog_tending_failed",
                    work=name,
                    error=str(error),
                    error_type=type(error).__name__,
                    next_attempt_s=pause_s,
                )
            else:
                pause_s = every_s
