"""A folder at any fsspec URI, and what is fetched from it: s3://bucket/catalog, gs://…, file:///mnt/backup."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from index.durable import write_whole
from soundalike.errors import CatalogDamaged, CatalogError

PART_SUFFIX = ".part"
OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs"})
"""As fsspec names them: a file appears there whole or not at all, and folders are only parts of names."""
PRINTS_FOLDER = "prints"


class Place:
    """One folder at a URI. Raises CatalogError where the store fails."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        with self._named("opened"):
            self._files, self._root = fsspec.core.url_to_fs(self.uri)
        self._is_object_store = not OBJECT_STORES.isdisjoint(_protocols(self._files))

    def has(self, name: str, size_bytes: int) -> bool:
        with self._named(name):
            try:
                return bool(self._files.size(f"{self._root}/{name}") == size_bytes)
            except FileNotFoundError:
                return False

    def put(self, name: str, source: Path) -> None:
        """Readers see whole files only: an object store shows nothing else, and in a folder the file gets
        its name last."""
        target = f"{self._root}/{name}"
        with self._named(name):
            if self._is_object_store:  # to make a folder there would make the bucket, and to move is to copy
                self._files.put_file(str(source), target)
                return
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(source), target + PART_SUFFIX)
            self._files.mv(target + PART_SUFFIX, target)

    def get(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._named(name):
            self._files.get_file(f"{self._root}/{name}", str(target))

    def read(self, name: str) -> bytes:
        with self._named(name):
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
            return content

    def names(self, folder: str = "") -> list[str]:
        with self._named(folder or "."):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(f"{self._root}/{folder}".rstrip("/"), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(path).rstrip("/").rpartition("/")[2] for path in found)

    def delete(self, name: str) -> None:
        with self._named(name):
            self._files.rm(f"{self._root}/{name}", recursive=True)

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store's library has exceptions of its own, none with a common base
            cause = " ".join(str(error).split()) or type(error).__name__
            raise CatalogError(
                f"the snapshot place {self.uri} failed at {name}: {cause}; check the URI and its credentials"
            ) from error


def _protocols(files: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def fetch_print(place: Place, folder: Path, name: str, *, checksum: str) -> None:
    """Brings one print into the folder, if it is not there. Raises CatalogDamaged if it is not that print."""
    if (folder / name).exists():
        return
    content = place.read(f"{PRINTS_FOLDER}/{name}")
    if hashlib.sha256(content).hexdigest() != checksum:
        raise CatalogDamaged(f"{place.uri}/{PRINTS_FOLDER}/{name} does not match its checksum")
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / name, content)
