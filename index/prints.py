"""Reference prints on disk: one immutable safetensors file per recording and model.

A file is written under a temporary name, flushed to the disk, and only then given its own: a killed writer
leaves at most a `.part` file that nobody reads. Its name ends in the start of its checksum, so that two
prints of the same audio never overwrite one another while a reader has one of them open. The full checksum
lies in SQL; a file that does not match it is `CatalogDamaged`, by name.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from index.durable import flush
from index.remote import Place, fetch_print
from soundalike.errors import CatalogDamaged

FORMAT = 1
"""Of the files; the arrays in them are the model's affair."""

METADATA_KEY = "soundalike_reference_print"
PART_SUFFIX = ".part"
ABANDONED_AFTER_S = 24 * 3600.0
"""A `.part` file of yesterday belongs to a writer that was killed: writing one takes well under a second."""


class Print(Protocol):
    """What can be stored: `classifiers.fingerprint.ReferencePrint`, or a stand-in of the same form."""

    @property
    def duration_s(self) -> float: ...

    def to_arrays(self) -> dict[str, NDArray[Any]]: ...

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Self: ...


@dataclass(frozen=True, slots=True)
class StoredFile:
    checksum: str
    size_bytes: int


def print_name(*, audio_sha256: str, checksum: str) -> str:
    return f"{audio_sha256}-{checksum[:16]}.safetensors"


class PrintStore:
    """The folder of prints. All methods may be called from any process at any time.

    origin: fsspec URI of a snapshot (index/snapshot.py) that prints which are not in the folder come from.
    """

    def __init__(self, folder: Path, *, origin: str | None = None) -> None:
        self.folder = folder
        self._origin = origin

    def path(self, *, audio_sha256: str, checksum: str) -> Path:
        return self.folder / print_name(audio_sha256=audio_sha256, checksum=checksum)

    def write(
        self, arrays: Mapping[str, NDArray[Any]], *, audio_sha256: str, model_sha256: str
    ) -> StoredFile:
        """Returns when the file is safe on the disk."""
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        about = {"audio_sha256": audio_sha256, "format": FORMAT, "model_sha256": model_sha256}
        # One entry only: safetensors writes several in any order, and equal prints must be equal files.
        content = save(contiguous, metadata={METADATA_KEY: json.dumps(about, sort_keys=True)})
        checksum = hashlib.sha256(content).hexdigest()
        target = self.path(audio_sha256=audio_sha256, checksum=checksum)
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=PART_SUFFIX, delete=False) as part:
            try:
                part.write(content)
                part.flush()
                os.fsync(part.fileno())
                # The temporary file is private to its user; a reader may run as another one.
                Path(part.name).chmod(0o644)
                Path(part.name).replace(target)
            except OSError:
                Path(part.name).unlink(missing_ok=True)
                raise
        flush(self.folder)
        return StoredFile(checksum, len(content))

    def read(self, *, audio_sha256: str, checksum: str) -> dict[str, NDArray[Any]]:
        """The arrays as they were written. Raises CatalogDamaged if the file is not exactly that file."""
        path = self.path(audio_sha256=audio_sha256, checksum=checksum)
        if self._origin is not None:
            fetch_print(Place(self._origin), self.folder, path.name, checksum=checksum)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise CatalogDamaged(f"the reference print {path} is missing; {REMEDY}") from error
        found = hashlib.sha256(content).hexdigest()
        if found != checksum:
            raise CatalogDamaged(
                f"the reference print {path} is damaged"
                f" (sha256 {found[:12]}…, recorded {checksum[:12]}…); {REMEDY}"
            )
        try:
            arrays: dict[str, NDArray[Any]] = load(content)
        except SafetensorError as error:
            raise CatalogDamaged(f"the reference print {path} can't be read ({error}); {REMEDY}") from error
        return arrays

    def is_intact(self, *, audio_sha256: str, checksum: str) -> bool:
        try:
            content = self.path(audio_sha256=audio_sha256, checksum=checksum).read_bytes()
        except FileNotFoundError:
            return False
        return hashlib.sha256(content).hexdigest() == checksum

    def sweep(self, *, abandoned_after_s: float = ABANDONED_AFTER_S) -> list[Path]:
        """Deletes what killed writers left half-written; returns what it deleted."""
        oldest = time.time() - abandoned_after_s
        swept = []
        for part in self.folder.glob(f"*{PART_SUFFIX}"):
            try:
                if part.stat().st_mtime < oldest:
                    part.unlink()
                    swept.append(part)
            except FileNotFoundError:  # its writer finished, or another sweeper was quicker
                continue
        return swept


REMEDY = "restore it from a backup, or add the recording again with `soundalike catalog add --replace`"
