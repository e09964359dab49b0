"""From files and metadata to tracks of the catalog: what `soundalike catalog add` does, without its screen.

`plan` decides which file becomes which track; `ingest` adds one of them. What is there already is
skipped before it is decoded, so an interrupted run is taken up again by repeating it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from index.metadata_csv import Metadata, Row
from index.terms import clean_name
from index.tracks import Right, Track
from soundalike.errors import (
    AudioEmpty,
    AudioNotFound,
    CatalogError,
    DuplicateTrack,
    FetchFailed,
    SoundalikeError,
)

if TYPE_CHECKING:
    from classifiers.fingerprint import ReferencePrint
    from index.catalog import Catalog

_CONTAINERS = ("aac", "aif", "aifc", "aiff", "flac", "m4a", "mp3", "mp4", "oga", "ogg", "opus", "wav", "wma")
AUDIO_SUFFIXES = frozenset(f".{name}" for name in _CONTAINERS)
"""What is taken from a folder. A file that is named on the command line is taken whatever its name."""

HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One file that is to become one track."""

    track_id: str
    file: Path
    title: str
    artists: tuple[str, ...] = ()
    isrc: str | None = None
    iswc: str | None = None
    release_date: date | None = None
    rights: tuple[Right, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be added: a file or a line of the metadata. `reason` is the code of the error."""

    what: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    candidates: tuple[Candidate, ...]
    failures: tuple[Failure, ...]


class Done(StrEnum):
    ADDED = "added"
    REPLACED = "replaced"
    REFRESHED = "refreshed"
    """The same recording, heard anew: its print was damaged, or of another model."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    done: Done
    same_audio_as: tuple[str, ...] = ()


def plan(
    paths: Sequence[Path],
    *,
    metadata: Metadata | None = None,
    metadata_name: str = "metadata",
    rights: tuple[Right, ...] = (),
) -> Plan:
    """Which track each file becomes.

    Rows of the metadata come first; files that no row names take their stem as id and title.
    `rights` are those of every track whose row names nobody.
    """
    files, failures = _collect(paths)
    rows: tuple[Row, ...] = ()
    if metadata is not None:
        rows = metadata.rows
        failures += [Failure(metadata_name, CatalogError.reason, str(fault)) for fault in metadata.faults]
    candidates = [_from_row(row, file=_file_of(row, files), rights=rights) for row in rows]
    described = {candidate.file.resolve() for candidate in candidates}
    candidates += [
        Candidate(track_id=clean_name(file.stem), file=file, title=clean_name(file.stem), rights=rights)
        for file in files
        if file.resolve() not in described
    ]
    return Plan(tuple(candidates), tuple(failures))


def ingest(
    candidate: Candidate,
    *,
    catalog: Catalog,
    hear: Callable[[Path], ReferencePrint],
    model_sha256: str,
    replace: bool = False,
) -> Outcome:
    """Adds one track. Raises AudioError or CatalogError when it can't be; the catalog is unchanged then."""
    audio_sha256 = hash_file(candidate.file)
    there = catalog.find(candidate.track_id)
    same = there is not None and there.audio_sha256 == audio_sha256
    if same and not replace:
        if catalog.has_print(audio_sha256, model_sha256=model_sha256):
            return Outcome(Done.SKIPPED)
        catalog.add_print(audio_sha256, _heard(candidate.file, hear), model_sha256=model_sha256)
        return Outcome(Done.REFRESHED)
    if there is not None and not replace:
        raise DuplicateTrack(
            f"the track id {candidate.track_id!r} is taken by another recording, “{there.title}”;"
            " rename the file, give ids with --metadata, or replace that track with --replace"
        )
    heard = _heard(candidate.file, hear)
    track = Track(
        track_id=candidate.track_id,
        title=candidate.title,
        audio_sha256=audio_sha256,
        duration_s=heard.duration_s,
        artists=candidate.artists,
        isrc=candidate.isrc,
        iswc=candidate.iswc,
        release_date=candidate.release_date,
    )
    added = catalog.add(track, heard, model_sha256=model_sha256, rights=candidate.rights, replace=replace)
    return Outcome(Done.ADDED if there is None else Done.REPLACED, added.same_audio_as)


def failure(candidate: Candidate, error: SoundalikeError) -> Failure:
    return Failure(str(candidate.file), error.reason, str(error))


def hash_file(file: Path) -> str:
    """sha256 over the bytes, in hex. Raises AudioNotFound, or FetchFailed for what can't be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as opened:
            while block := opened.read(HASH_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError as error:
        raise AudioNotFound(f"{file}: {error.strerror}; check the path") from error
    except OSError as error:
        raise FetchFailed(f"{file}: {error.strerror}; let this program read it, then run again") from error
    return digest.hexdigest()


def _heard(file: Path, hear: Callable[[Path], ReferencePrint]) -> ReferencePrint:
    heard = hear(file)
    if len(heard.vectors) == 0:
        raise AudioEmpty(f"{file}: too short or silent throughout; nothing could ever be recognised as it")
    return heard


def _collect(paths: Iterable[Path]) -> tuple[list[Path], list[Failure]]:
    """The audio files below the paths, each once, folders in the order of names."""
    files: dict[Path, Path] = {}
    failures = []
    for path in paths:
        if path.is_dir():
            found, unreadable = _inside(path)
            failures += unreadable
            if not found and not unreadable:
                failures.append(Failure(str(path), AudioNotFound.reason, "the folder holds no audio file"))
        elif path.exists():
            found = [path]
        else:
            found = []
            failures.append(Failure(str(path), AudioNotFound.reason, "there is no such file or folder"))
        for file in found:
            files.setdefault(file.resolve(), file)
    return list(files.values()), failures


def _inside(folder: Path) -> tuple[list[Path], list[Failure]]:
    """The files below a folder that are named like audio, in the order of names; and what can't be read."""
    failures = []

    def unreadable(error: OSError) -> None:
        failures.append(
            Failure(str(error.filename), AudioNotFound.reason, f"can't be read: {error.strerror}")
        )

    named = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder, onerror=unreadable)
        for name in names
        if Path(name).suffix.lower() in AUDIO_SUFFIXES
    )
    found = [file for file in named if file.is_file()]
    for file in set(named).difference(found):  # a link to nowhere, a pipe
        failures.append(Failure(str(file), AudioNotFound.reason, "is no file, or a link to one that is gone"))
    return found, sorted(failures, key=lambda failed: failed.what)


def _file_of(row: Row, files: Sequence[Path]) -> Path:
    """Beside the metadata, or else the only one of that name among the given paths."""
    if not row.file.exists():
        named = [file for file in files if file.name == row.file.name]
        if len(named) == 1:
            return named[0]
    return row.file


def _from_row(row: Row, *, file: Path, rights: tuple[Right, ...]) -> Candidate:
    return Candidate(
        track_id=row.track_id,
        file=file,
        title=row.title or file.stem,
        artists=row.artists,
        isrc=row.isrc,
        iswc=row.iswc,
        release_date=row.release_date,
        rights=row.rights or rights,
    )
