"""Copies of the audio of cases, by content: an old case still plays when the original has gone.

    <folder>/ab/abcdef….orig         the bytes that were fetched, named by their sha256
    <folder>/ab/abcdef….flac         what browsers play, where they can't play the original
    <folder>/ab/abcdef….peaks.npy    int8  [n, 2], see review.pictures
    <folder>/ab/abcdef….bands.npy    uint8 [frames, bands]
    <folder>/ab/abcdef….sign-comb.png  the picture of one sign of machine-made music

Files are written under a temporary name and renamed: a name that exists is complete.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class MediaStore:
    """The files under `folder`."""

    folder: Path

    def path(self, sha256: str, suffix: str) -> Path:
        """Where the file of this recording lies. Raises ValueError if `sha256` is none."""
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is no sha256 in hex")
        return self.folder / sha256[:2] / f"{sha256}{suffix}"

    @contextmanager
    def writing(self, suffix: str = "") -> Iterator[Path]:
        """A temporary file in the store's folder; it is removed at the end unless it was renamed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=self.folder, prefix=".new-", suffix=suffix, delete=False
        ) as file:
            path = Path(file.name)
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def keep(self, temporary: Path, sha256: str, suffix: str) -> Path:
        """Give a finished file its name."""
        path = self.path(sha256, suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(path)
        return path

    def remove(self, sha256: str) -> None:
        """Delete all files of this recording; those that are gone already are no error."""
        for path in self.path(sha256, "").parent.glob(f"{sha256}.*"):
            path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
