"""What makes up a published generation: which shards, and which of their tracks no longer count.

A manifest is one JSON file that holds its own checksum. It is written under another name, flushed and
renamed, and its number is one more than that of the last: readers take the newest whole one. Whatever the
shards of a manifest are, replaying the changelog since its `generation` (index/changelog.py) gives the
catalog of now: an older manifest is as true as the newest, only slower to start from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.durable import write_whole
from index.shards import FileSeal, ShardRef
from soundalike.errors import CatalogDamaged

FORMAT = 1
PREFIX, SUFFIX = "manifest-", ".json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """number: of the manifest; 0 stands for the empty one, which no file holds.

    generation: of the catalog that the shards and `removed` show; anchor: `index.changelog.anchor` of it.
    removed: by shard, the row ids in it that no longer count.
    """

    number: int = 0
    generation: int = 0
    anchor: str = ""
    model_sha256: str
    shards: tuple[ShardRef, ...] = ()
    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def live_tracks(self, ref: ShardRef) -> int:
        return ref.tracks - len(self.removed.get(ref.name, ()))


def publish(folder: Path, manifest: Manifest) -> None:
    """Returns when the manifest is on the disk. The caller holds the publishers' lock."""
    write_whole(path(folder, manifest.number), to_json(manifest))


def path(folder: Path, number: int) -> Path:
    return folder / f"{PREFIX}{number:012d}{SUFFIX}"


def numbers(folder: Path) -> list[int]:
    """Of the manifests in a folder, newest first; a poll reads one directory."""
    try:
        names = [file.name for file in folder.iterdir()]
    except FileNotFoundError:
        return []
    middles = (
        name[len(PREFIX) : -len(SUFFIX)]
        for name in names
        if name.startswith(PREFIX) and name.endswith(SUFFIX)
    )
    return sorted((int(middle) for middle in middles if middle.isdecimal()), reverse=True)


def newest_first(folder: Path) -> Iterator[Manifest]:
    """The whole ones. One that is torn or was just swept away is passed over: its predecessor holds."""
    for number in numbers(folder):
        try:
            yield from_json(path(folder, number).read_bytes(), name=str(path(folder, number)))
        except (FileNotFoundError, CatalogDamaged):
            continue


def to_json(manifest: Manifest) -> bytes:
    content = {
        "format": FORMAT,
        "number": manifest.number,
        "generation": manifest.generation,
        "anchor": manifest.anchor,
        "model_sha256": manifest.model_sha256,
        "shards": [
            {
                "name": ref.name,
                "tracks": ref.tracks,
                "windows": ref.windows,
                "files": {name: [seal.size_bytes, seal.sha256] for name, seal in sorted(ref.files.items())},
                "removed": sorted(manifest.removed.get(ref.name, ())),
            }
            for ref in manifest.shards
        ],
    }
    return json.dumps({"sha256": _digest(content), "manifest": content}, indent=1).encode() + b"\n"


def from_json(text: bytes, *, name: str) -> Manifest:
    """Raises CatalogDamaged if the text is not exactly what `to_json` wrote, or of another format."""
    try:
        document = json.loads(text)
        content = document["manifest"]
        if document["sha256"] != _digest(content):
            raise CatalogDamaged(f"the manifest {name} does not match its checksum")
        if content["format"] != FORMAT:
            raise CatalogDamaged(f"the manifest {name} is of format {content['format']}; this reads {FORMAT}")
        shards = tuple(_ref(shard) for shard in content["shards"])
        return Manifest(
            number=content["number"],
            generation=content["generation"],
            anchor=content["anchor"],
            model_sha256=content["model_sha256"],
            shards=shards,
            removed={
                shard["name"]: tuple(shard["removed"]) for shard in content["shards"] if shard["removed"]
            },
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CatalogDamaged(f"the manifest {name} can't be read ({error!r})") from error


def _ref(shard: dict[str, Any]) -> ShardRef:
    files = {name: FileSeal(size, sha256) for name, (size, sha256) in shard["files"].items()}
    return ShardRef(name=shard["name"], tracks=shard["tracks"], windows=shard["windows"], files=files)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
