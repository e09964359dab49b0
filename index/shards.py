"""A shard: some thousand references in one immutable folder that readers map instead of load.

    NAME/tracks.npy      one record a track, in the order of row ids (TRACK)
    NAME/ids.npy         the track ids, UTF-8, one behind the other
    NAME/starts.npy      where each window starts, float32 seconds
    NAME/contours.npy    uint8 [frames, BANDS / 8], the tracks' contours one below the other
    NAME/index.faiss     the windows' vectors in inverted lists; vector numbers run as in `starts`

A shard is written under a `.part` name, flushed, and renamed: under its own name it is whole. Its checksums
lie in the manifest that publishes it (index/manifest.py); `open_shard` compares them before anything of
it is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import ReferencePrint
from index.changelog import Entry
from index.durable import flush, sha256_of
from index.npy_writer import NpyWriter
from index.vectors import alive_bits, build, cosines_with, load, nearest, rows_at, save
from soundalike.errors import CatalogDamaged

PART_SUFFIX = ".part"
INDEX_FILE = "index.faiss"
FILES = ("tracks.npy", "ids.npy", "starts.npy", "contours.npy", INDEX_FILE)

TRACK = np.dtype(
    [
        ("row_id", "<i8"),
        ("first_window", "<i8"),
        ("windows", "<i8"),
        ("first_frame", "<i8"),
        ("frames", "<i8"),
        ("id_at", "<i8"),
        ("id_bytes", "<i8"),
        ("duration_s", "<f8"),
        ("audio_sha256", "u1", 32),
        ("checksum", "u1", 32),
    ]
)

REMEDY = "`soundalike catalog merge` makes it anew from the prints"


@dataclass(frozen=True, slots=True)
class FileSeal:
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardRef:
    """What a manifest says of a shard."""

    name: str
    tracks: int
    windows: int
    files: Mapping[str, FileSeal]

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())


def write_shard(folder: Path, name: str, sources: Iterable[tuple[Entry, ReferencePrint]]) -> ShardRef:
    """Writes the shard `name`; returns once it is on the disk.

    sources: in ascending order of row ids, at least one, taken one at a time.
    """
    part = folder / f"{name}{PART_SUFFIX}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tracks = _write_tables(part, sources)
    windows = int(tracks["windows"].sum())
    vectors = part / "vectors.npy"
    save(build(np.load(vectors, mmap_mode="r")), part / INDEX_FILE)
    vectors.unlink()  # the index holds the same bytes
    flush(part / INDEX_FILE)
    seals = {file: _seal(part / file) for file in FILES}
    flush(part)
    part.rename(folder / name)
    flush(folder)
    return ShardRef(name=name, tracks=len(tracks), windows=windows, files=seals)


def _write_tables(part: Path, sources: Iterable[tuple[Entry, ReferencePrint]]) -> NDArray[Any]:
    records = []
    with ExitStack() as stack:
        writers: dict[str, NpyWriter] = {}

        def append(file: str, rows: NDArray[Any]) -> int:
            """The number of the first of the new rows."""
            if file not in writers:
                writers[file] = stack.enter_context(
                    NpyWriter(part / file, dtype=rows.dtype, row_shape=rows.shape[1:])
                )
            first = writers[file].rows
            writers[file].append(rows)
            return first

        for entry, heard in sources:
            encoded = np.frombuffer(entry.track_id.encode(), dtype=np.uint8)
            first_window = append("vectors.npy", heard.vectors)
            append("starts.npy", heard.starts_s)
            records.append(
                (
                    entry.row_id,
                    first_window,
                    len(heard.vectors),
                    append("contours.npy", heard.contour),
                    len(heard.contour),
                    append("ids.npy", encoded),
                    len(encoded),
                    heard.duration_s,
                    np.frombuffer(bytes.fromhex(entry.audio_sha256), dtype=np.uint8),
                    np.frombuffer(bytes.fromhex(entry.checksum), dtype=np.uint8),
                )
            )
        tracks = np.array(records, dtype=TRACK)
        if len(tracks) == 0 or np.any(np.diff(tracks["row_id"]) <= 0):
            raise ValueError("a shard takes at least one track, in ascending order of row ids")
        append("tracks.npy", tracks)
    return tracks


def _seal(path: Path) -> FileSeal:
    return FileSeal(path.stat().st_size, sha256_of(path))


def open_shard(folder: Path, ref: ShardRef, *, verify: Collection[str] = FILES) -> Shard:
    """Maps a shard. Raises CatalogDamaged, by the file's name, if it is not exactly what was published.

    verify: the files of which every byte is compared with the checksum (0.6 to 1.5 GB/s); of the others,
    the size.
    """
    for name, seal in ref.files.items():
        path = folder / ref.name / name
        try:
            size_bytes = path.stat().st_size
            found = sha256_of(path) if name in verify and size_bytes == seal.size_bytes else seal.sha256
        except OSError as error:
            raise CatalogDamaged(f"shard {ref.name}: {path} is missing; {REMEDY}") from error
        if size_bytes != seal.size_bytes:
            raise CatalogDamaged(
                f"shard {ref.name}: {path} has {size_bytes} bytes instead of {seal.size_bytes}; {REMEDY}"
            )
        if found != seal.sha256:
            raise CatalogDamaged(
                f"shard {ref.name}: {path} is damaged"
                f" (sha256 {found[:12]}…, published {seal.sha256[:12]}…); {REMEDY}"
            )
    return Shard(folder / ref.name, ref)


class Shard:
    """An open shard. Positions count its tracks from 0; threads may share it.

    What is held in memory is the list centres and 16 bytes a track; all else is mapped pages.
    """

    def __init__(self, folder: Path, ref: ShardRef) -> None:
        self.ref = ref
        self._tracks = _mapped(folder / "tracks.npy")
        self._ids = _mapped(folder / "ids.npy")
        self._starts_s = _mapped(folder / "starts.npy")
        self._contours = _mapped(folder / "contours.npy")
        self._index = load(folder / INDEX_FILE)
        self._row_ids = np.array(self._tracks["row_id"])
        self._first_window = np.array(self._tracks["first_window"])

    def __len__(self) -> int:
        return len(self._row_ids)

    @property
    def windows(self) -> int:
        return self.ref.windows

    def position_of(self, row_id: int) -> int | None:
        at = int(np.searchsorted(self._row_ids, row_id))
        return at if at < len(self) and self._row_ids[at] == row_id else None

    def entry(self, position: int) -> Entry:
        record = self._tracks[position]
        return Entry(
            row_id=int(record["row_id"]),
            track_id=self.track_id(position),
            audio_sha256=record["audio_sha256"].tobytes().hex(),
            checksum=record["checksum"].tobytes().hex(),
        )

    def entries(self) -> Iterator[Entry]:
        return (self.entry(position) for position in range(len(self)))

    def track_id(self, position: int) -> str:
        record = self._tracks[position]
        encoded: bytes = self._ids[record["id_at"] : record["id_at"] + record["id_bytes"]].tobytes()
        return encoded.decode()

    def duration_s(self, position: int) -> float:
        return float(self._tracks[position]["duration_s"])

    def contour(self, position: int) -> NDArray[np.uint8]:
        record = self._tracks[position]
        found: NDArray[np.uint8] = self._contours[
            record["first_frame"] : record["first_frame"] + record["frames"]
        ]
        return found

    def alive(self, dead: Iterable[int]) -> NDArray[np.uint8] | None:
        """The selection for `nearest` that leaves out the tracks at these positions; None for all."""
        ranges = [
            (int(record["first_window"]), int(record["first_window"] + record["windows"]))
            for record in (self._tracks[position] for position in dead)
        ]
        return alive_bits(self.windows, ranges) if ranges else None

    def nearest(
        self, queries: NDArray[np.float32], k: int, *, alive: NDArray[np.uint8] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Cosines, positions of tracks (-1 where there are fewer than k), starts in s; each [queries, k]."""
        similarity, rows = nearest(self._index, queries, k, alive=alive)
        found = rows >= 0
        positions = np.searchsorted(self._first_window, rows, side="right") - 1
        starts_s = np.where(found, self._starts_s[rows], 0.0).astype(np.float32)
        return similarity, np.where(found, positions, -1), starts_s

    def cosines(
        self, position: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """As `index.references.References.cosines` says."""
        first = int(self._first_window[position])
        last = first + int(self._tracks["windows"][position])
        return cosines_with(self._index, vectors, rows_at(self._starts_s[first:last], starts_s, first=first))


def _mapped(path: Path) -> NDArray[Any]:
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise CatalogDamaged(f"{path} is no array ({error}); {REMEDY}") from error
    return mapped
