"""The catalog as it stood: what a past generation could recognise, and what was on record at an instant.

For judging again what was judged then. Tracks and their times are history and never lost. Prints are derived:
one that was made anew stands for its older self, and one that is gone is named. Terms, shares, accounts and
suppressions go by time, not by generation, as the judge itself asks them: as of now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.changelog import Entry
from index.findings import Finding
from index.library import Library, Masked
from index.merge import trusted
from index.serving import Serving, TracksAt
from index.shards import Shard, open_shard
from index.suppression import Suppression
from index.terms import Use
from index.tracks import Right
from soundalike.errors import CatalogDamaged

T = TypeVar("T")


def serving_at(
    catalog: Catalog, generation: int, *, build: Callable[[Library], T], model_sha256: str
) -> Serving[T]:
    """What a reader that served `generation` had in hand; O(tracks), of which only the head is read.

    Raises CatalogError if there was no such generation, CatalogDamaged if a print of it is missing or
    damaged, or if the model heard none of its tracks.
    """
    catalog.recorded_at(generation)
    wanted = {entry.row_id: entry for entry in catalog.entries_at(generation, model_sha256=model_sha256)}
    there = TracksAt(catalog, generation)
    if not wanted and len(there) > 0:
        raise CatalogDamaged(
            f"the model {model_sha256[:12]}… has heard none of the {len(there)} tracks of generation"
            f" {generation}; name the model that judged with --embedder"
        )
    parts = []
    for shard in _shards(catalog, model_sha256=model_sha256):
        dead = set()
        for position, entry in enumerate(shard.entries()):
            if wanted.get(entry.row_id) == entry:
                del wanted[entry.row_id]
            else:
                dead.add(position)
        if len(dead) < len(shard):
            parts.append(Masked(shard, frozenset(dead), shard.alive(sorted(dead))))
    head = {entry.track_id: _heard(catalog, entry, generation=generation) for entry in wanted.values()}
    return Serving(generation, build(Library(parts, head)), there)


def _shards(catalog: Catalog, *, model_sha256: str) -> tuple[Shard, ...]:
    """Of the newest manifest that is whole; none if there is none: all tracks are then read from prints."""
    folder = catalog.shards_folder(model_sha256)
    for manifest in trusted(catalog, model_sha256=model_sha256):
        try:
            return tuple(open_shard(folder, ref) for ref in manifest.shards)
        except CatalogDamaged:
            continue
    return ()


def _heard(catalog: Catalog, entry: Entry, *, generation: int) -> ReferencePrint:
    try:
        return catalog.read_print(entry)
    except CatalogDamaged as error:
        raise CatalogDamaged(
            f"generation {generation} can't be searched again, for want of its track"
            f" {entry.track_id!r}: {error}"
        ) from error


@dataclass(frozen=True, slots=True)
class RecordAt:
    """What the rightsholders had said, and what was suppressed, at the instant `at`."""

    catalog: Catalog
    at: datetime

    def findings(
        self,
        track_id: str,
        use: Use | str,
        *,
        uploader: str,
        licences: Collection[str] = (),
        distributor: str | None = None,
        ai_tool: str | None = None,
        territory: str | None = None,
        at: datetime | None = None,
    ) -> tuple[Finding, ...]:
        """As `Catalog.findings`, by what was on record then. at: of the use, by default that instant too."""
        return self.catalog.findings(
            track_id,
            use,
            uploader=uploader,
            licences=licences,
            distributor=distributor,
            ai_tool=ai_tool,
            territory=territory,
            at=self.at if at is None else at,
            known_at=self.at,
        )

    def is_own_upload(self, track_id: str, uploader: str) -> bool:
        return self.catalog.is_own_upload(track_id, uploader, known_at=self.at)

    def suppressions_of(self, track_ids: Collection[str]) -> tuple[Suppression, ...]:
        return self.catalog.suppressions.of(track_ids, known_at=self.at)

    def rights_of(self, track_id: str) -> tuple[Right, ...]:
        return self.catalog.rights_of(track_id, known_at=self.at)
