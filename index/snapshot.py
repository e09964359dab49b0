"""Copies of the memory at any fsspec URI, for workers on other machines and for the day the disk dies.

    URI/snapshot-GENERATION-MANIFEST.json   what makes up one snapshot, with every checksum; written last
    URI/shards/NAME/*                       each shard once, however many snapshots name it
    URI/prints/*.safetensors                the prints of what no shard holds yet
    URI/catalog-GENERATION.sqlite           the tables, if they are SQLite; PostgreSQL has its own backups

A worker that boots from a snapshot has a generation of the past, and replays the changelog from there like
any other reader. What it then needs, and nobody has copied to it, are prints of newer tracks: its
`PrintStore` fetches them from the URI, to which `push` brings them as they come.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from index import manifest as manifests
from index.catalog import DATABASE_FILE, PRINTS_FOLDER, Catalog
from index.changelog import Entry
from index.durable import flush, sha256_of, write_whole
from index.locks import locked
from index.manifest import Manifest
from index.merge import sweep
from index.prints import print_name
from index.remote import PART_SUFFIX, Place, fetch_print
from index.shards import ShardRef, open_shard
from soundalike.errors import CatalogDamaged, CatalogError

KEPT_SNAPSHOTS = 2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """generation: that a worker which boots from it begins with. database: name and sha256, or None."""

    generation: int
    manifest: Manifest
    prints: tuple[Entry, ...]
    database: tuple[str, str] | None

    @property
    def name(self) -> str:
        return f"snapshot-{self.generation:012d}-{self.manifest.number:012d}.json"


def push(catalog: Catalog, *, model_sha256: str, to: str) -> Snapshot | None:
    """Copies what is not there yet; None if that is nothing. The place is readable at any instant."""
    place = Place(to)
    folder = catalog.shards_folder(model_sha256)
    with tempfile.TemporaryDirectory(prefix="soundalike-snapshot-") as scratch:
        with _tables(catalog, Path(scratch)) as (tables, copy):
            found = _newest(tables, folder, model_sha256)
            changes = tables.delta(since=found.generation, model_sha256=model_sha256)
        names = place.names()
        database = None if copy is None else f"catalog-{changes.generation:012d}.sqlite"
        snapshot = Snapshot(
            generation=changes.generation,
            manifest=found,
            prints=changes.live,
            database=None if copy is None or database is None else (database, sha256_of(copy)),
        )
        if snapshot.name in names:
            return None
        for entry in snapshot.prints:
            file = catalog.data_dir / PRINTS_FOLDER / _file_of(entry)
            _put(place, f"{PRINTS_FOLDER}/{file.name}", file)
        for ref in found.shards:
            for name in ref.files:
                _put(place, f"shards/{ref.name}/{name}", folder / ref.name / name)
        if copy is not None and database is not None:
            place.put(database, copy)
        described = Path(scratch) / snapshot.name
        described.write_bytes(_to_json(snapshot))
        place.put(snapshot.name, described)
    _sweep(place)
    log.info("snapshot_pushed", uri=place.uri, generation=snapshot.generation, shards=len(found.shards))
    return snapshot


def pull(data_dir: Path, *, source: str, model_sha256: str, with_tables: bool) -> Snapshot:
    """Makes, or brings up to date, a data folder from the newest snapshot that is whole.

    with_tables: also the SQLite tables, into a folder that has none. Shards that are there already stay. A
    worker that serves from the folder swaps to the new ones by itself. Raises CatalogDamaged, CatalogError.
    """
    place = Place(source)
    failures: list[CatalogError] = []
    for name in reversed([name for name in place.names() if name.startswith("snapshot-")]):
        try:
            snapshot = _from_json(place.read(name), name=f"{place.uri}/{name}")
            if snapshot.manifest.model_sha256 != model_sha256:
                continue
            _take(place, snapshot, data_dir, with_tables=with_tables)
        except CatalogDamaged as error:
            log.warning("snapshot_refused", snapshot=name, error=str(error))
            failures.append(error)
        else:
            log.info("snapshot_pulled", uri=place.uri, generation=snapshot.generation)
            return snapshot
    if failures:
        raise failures[0]
    raise CatalogError(
        f"{place.uri} holds no snapshot for the model {model_sha256[:12]}…;"
        " `soundalike catalog snapshot` makes one"
    )


def _take(place: Place, snapshot: Snapshot, data_dir: Path, *, with_tables: bool) -> None:
    folder = data_dir / "shards" / snapshot.manifest.model_sha256[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "pull.lock", wait=True):
        for ref in snapshot.manifest.shards:
            if not (folder / ref.name).exists():
                _take_shard(place, ref, folder)
        for entry in snapshot.prints:
            fetch_print(place, data_dir / PRINTS_FOLDER, _file_of(entry), checksum=entry.checksum)
        if with_tables:
            _take_tables(place, snapshot, data_dir)
        # Numbered anew: the folder may have merged on its own since the last pull.
        if snapshot.manifest.number:
            known = next(manifests.newest_first(folder), Manifest(model_sha256=""))
            same = known == replace(snapshot.manifest, number=known.number)
            if not same and known.generation <= snapshot.manifest.generation:
                number = max(manifests.numbers(folder), default=0) + 1
                manifests.publish(folder, replace(snapshot.manifest, number=number))
    sweep(folder)


def _take_shard(place: Place, ref: ShardRef, folder: Path) -> None:
    part = folder / f"{ref.name}{PART_SUFFIX}"
    shutil.rmtree(part, ignore_errors=True)
    for name in ref.files:
        place.get(f"shards/{ref.name}/{name}", part / name)
        flush(part / name)
    flush(part)
    part.rename(folder / ref.name)
    try:
        open_shard(folder, ref)
    except CatalogDamaged:
        shutil.rmtree(folder / ref.name)
        raise
    flush(folder)


def _take_tables(place: Place, snapshot: Snapshot, data_dir: Path) -> None:
    if snapshot.database is None:
        raise CatalogError(
            f"the snapshot {snapshot.name} holds no tables, as its catalog lives in PostgreSQL; name that"
            " database with --catalog-url"
        )
    target = data_dir / DATABASE_FILE
    if target.exists():
        raise CatalogError(f"there is a catalog at {target} already; choose an empty --data folder")
    name, sha256 = snapshot.database
    content = place.read(name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CatalogDamaged(f"{place.uri}/{name} is damaged; the snapshot {snapshot.name} can't be used")
    write_whole(target, content)


@contextmanager
def _tables(catalog: Catalog, scratch: Path) -> Iterator[tuple[Catalog, Path | None]]:
    """The tables at one instant: of SQLite a copy, which becomes part of the snapshot."""
    copy = scratch / DATABASE_FILE
    if not catalog.copy_tables(copy):
        yield catalog, None
        return
    with Catalog.open(scratch) as tables:
        yield tables, copy


def _newest(tables: Catalog, folder: Path, model_sha256: str) -> Manifest:
    for found in manifests.newest_first(folder):
        if found.model_sha256 == model_sha256 and found.anchor == tables.anchor(found.generation):
            return found
    return Manifest(model_sha256=model_sha256)


def _put(place: Place, name: str, source: Path) -> None:
    try:
        size_bytes = source.stat().st_size
    except FileNotFoundError as error:
        raise CatalogError(f"{source} was merged away while it was copied; try again") from error
    if not place.has(name, size_bytes):
        place.put(name, source)


def _sweep(place: Place) -> None:
    """Deletes what the newest snapshots do not name."""
    names = place.names()
    snapshots = [name for name in names if name.startswith("snapshot-") and name.endswith(".json")]
    for name in snapshots[:-KEPT_SNAPSHOTS]:
        place.delete(name)
    kept = [_from_json(place.read(name), name=name) for name in snapshots[-KEPT_SNAPSHOTS:]]
    shards = {ref.name for snapshot in kept for ref in snapshot.manifest.shards}
    databases = {snapshot.database[0] for snapshot in kept if snapshot.database}
    prints = {_file_of(entry) for snapshot in kept for entry in snapshot.prints}
    unused = [name for name in names if name.startswith("catalog-") and name not in databases]
    unused += [f"shards/{name}" for name in place.names("shards") if name not in shards]
    unused += [f"{PRINTS_FOLDER}/{name}" for name in place.names(PRINTS_FOLDER) if name not in prints]
    for name in unused:
        place.delete(name)


def _file_of(entry: Entry) -> str:
    return print_name(audio_sha256=entry.audio_sha256, checksum=entry.checksum)


def _to_json(snapshot: Snapshot) -> bytes:
    content = {
        "generation": snapshot.generation,
        "manifest": json.loads(manifests.to_json(snapshot.manifest)),
        "prints": [[e.row_id, e.track_id, e.audio_sha256, e.checksum] for e in snapshot.prints],
        "database": snapshot.database,
    }
    return json.dumps({"sha256": _digest(content), "snapshot": content}, indent=1).encode() + b"\n"


def _from_json(text: bytes, *, name: str) -> Snapshot:
    try:
        document = json.loads(text)
        content = document["snapshot"]
        if document["sha256"] != _digest(content):
            raise CatalogDamaged(f"the snapshot {name} does not match its checksum")
        database = content["database"]
        return Snapshot(
            generation=content["generation"],
            manifest=manifests.from_json(json.dumps(content["manifest"]).encode(), name=name),
            prints=tuple(Entry(*fields) for fields in content["prints"]),
            database=None if database is None else (database[0], database[1]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogDamaged(f"the snapshot {name} can't be read ({error!r})") from error


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
