"""The folders of recordings a run is given: found, decoded, cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import av.logging
import numpy as np

from bench.effects import Samples
from soundalike.errors import AudioEmpty, AudioError, NotAudio, SettingsError

RATE_HZ: Final = 44_100
SUFFIXES: Final = frozenset(
    {".wav", ".flac", ".mp3", ".m4a", ".mp4", ".aac", ".ogg", ".oga", ".opus"}
    | {".aif", ".aiff", ".wma", ".webm", ".mka", ".alac", ".caf"}
)


@dataclass(frozen=True, slots=True)
class Recording:
    """track_id: path below the folder, with suffix, as recordings may differ in that alone."""

    track_id: str
    path: Path
    duration_s: float
    sha256: str


def find(folder: Path) -> list[Path]:
    """Audio files below `folder` by suffix (files without one are tried as well), sorted."""
    if not folder.is_dir():
        raise SettingsError(f"{folder} is not a folder")
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES | {""}]
    return sorted(files)


def probe(path: Path, *, folder: Path) -> Recording:
    """Decode once for the true duration; NotAudio or AudioEmpty when there is nothing to hear."""
    samples = read(path)
    return Recording(
        track_id=path.relative_to(folder).as_posix(),
        path=path,
        duration_s=samples.shape[1] / RATE_HZ,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def probe_all(paths: Iterable[Path], *, folder: Path) -> tuple[list[Recording], dict[str, str]]:
    """(recordings, what was left out and why)."""
    found, left_out = [], {}
    for path in paths:
        try:
            found.append(probe(path, folder=folder))
        except AudioError as error:
            left_out[path.relative_to(folder).as_posix()] = str(error)
    return found, left_out


def read(path: Path, *, start_s: float = 0.0, duration_s: float | None = None) -> Samples:
    """float32 [2, samples] at RATE_HZ, decoded from the file's beginning so that the cut is exact.

    With a duration, exactly that many samples come back or AudioEmpty is raised.
    """
    av.logging.set_level(None)
    first = round(start_s * RATE_HZ)
    wanted = None if duration_s is None else round(duration_s * RATE_HZ)
    pieces: list[Samples] = []
    position = 0
    try:
        with av.open(str(path), "r", metadata_errors="replace") as container:
            if not container.streams.audio:
                raise NotAudio(f"{path} has no audio stream")
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE_HZ)
            for frame in container.decode(audio=0):
                for part in resampler.resample(frame):
                    block = part.to_ndarray()
                    pieces.append(np.asarray(block[:, max(0, first - position) :], dtype=np.float32))
                    position += block.shape[1]
                if wanted is not None and position >= first + wanted:
                    break
            else:
                pieces.extend(
                    np.asarray(part.to_ndarray(), dtype=np.float32) for part in resampler.resample(None)
                )
    except av.error.FFmpegError as error:
        raise NotAudio(f"{path} can't be decoded: {error}") from error
    samples = np.concatenate(pieces, axis=1) if pieces else np.zeros((2, 0), dtype=np.float32)
    if samples.shape[1] == 0 or (wanted is not None and samples.shape[1] < wanted):
        raise AudioEmpty(f"{path} ends before {start_s + (duration_s or 0):.1f} s")
    return samples[:, :wanted]
