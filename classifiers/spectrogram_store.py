"""Spectrograms of a training corpus on disk, one uint8 array a track, memory-mapped.

Decoding and transforming 25 hours of music takes minutes, a training run looks at each second
hundreds of times. Half a decibel a step is finer than any augmentation.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from classifiers.audio import Audio
from classifiers.resample import to_mono
from classifiers.spectrogram import FLOOR_DB, log_frequency_db
from soundalike.errors import NotAudio

DB_PER_STEP = 0.5


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """One track: uint8 [frames, BANDS]; power in dB is ``FLOOR_DB + DB_PER_STEP * value``."""

    name: str
    package: str
    levels: NDArray[np.uint8]


def quantise(power_db: torch.Tensor) -> NDArray[np.uint8]:
    """float32 [BANDS, frames] in dB to uint8 [frames, BANDS]."""
    steps = ((power_db - FLOOR_DB) / DB_PER_STEP).round().clamp(0, 255)
    return steps.to(torch.uint8).T.contiguous().numpy()


def dequantise(levels: torch.Tensor) -> torch.Tensor:
    """uint8 of any shape to float32 dB."""
    return levels.to(torch.float32) * DB_PER_STEP + FLOOR_DB


def read_split(corpus: Path, split: str) -> list[dict[str, str]]:
    """Rows of ``tracks.csv`` of one split; columns path, package, sha256, split, duration_s."""
    with (corpus / "tracks.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


def load_store(
    corpus: Path, split: str, store: Path, *, progress: Callable[[int, int, str], None] | None = None
) -> list[StoredTrack]:
    """Open the spectrograms of a split, computing what is missing. Interrupted work is resumed."""
    rows = read_split(corpus, split)
    store.mkdir(parents=True, exist_ok=True)
    return list(_load(corpus, rows, store, progress))


def _load(
    corpus: Path,
    rows: list[dict[str, str]],
    store: Path,
    progress: Callable[[int, int, str], None] | None,
) -> Iterator[StoredTrack]:
    for done, row in enumerate(rows):
        if progress:
            progress(done, len(rows), row["path"])
        target = store / f"{row['sha256'][:24]}.npy"
        if not target.exists():
            part = target.with_suffix(".part.npy")
            np.save(part, quantise(log_frequency_db(_read_mono(corpus / row["path"]))))
            part.rename(target)
        yield StoredTrack(name=row["path"], package=row["package"], levels=np.load(target, mmap_mode="r"))


def _read_mono(path: Path) -> NDArray[np.float32]:
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise NotAudio(f"can't read {path.name}: {error}; remove it from tracks.csv") from error
    return to_mono(Audio(samples=np.ascontiguousarray(samples.T), sample_rate_hz=rate))
