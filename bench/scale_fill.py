"""Tracks that do not exist, made from real ones, to see how a catalog behaves at a size we have no music for.

A made track is a mash-up of two real ones in the space of embeddings: both run along in their own time, from
random places and at a random tempo, around the mean of all windows

    v = unit(mean + (a * A(t) + b * B(u * t)) / sqrt(a^2 + b^2) + noise),    A, B: real windows less the mean

with the weight swinging slowly between 0.35 and 0.65, and noise of a tenth of the spread. So neighbouring
windows stay alike, the spread around the mean stays that of real music, and no two made tracks share a
stretch. Contours are a real track's from another place: their content is not searched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifiers.fingerprint import REFERENCE_HOP_S, ReferencePrint
from index.npy_writer import NpyWriter

WINDOWS = 360
"""Three minutes."""
FRAMES = 1_800
NOISE = 0.1


def fill(prints: list[ReferencePrint], *, vectors: int, to: Path, seed: int = 0) -> NDArray[np.int8]:
    """The windows of all real tracks, then of made ones until there are `vectors`, mapped from the file `to`.

    The first n of a larger fill are the fill of n. A file that is there already is taken as it is.
    """
    if to.exists():
        there: NDArray[np.int8] = np.load(to, mmap_mode="r")
        if len(there) >= vectors:
            return there
    with NpyWriter(to, dtype=np.int8, row_shape=prints[0].vectors.shape[1:]) as writer:
        for heard in prints:
            writer.append(heard.vectors)
        made = _made(prints, np.random.default_rng(seed))
        while writer.rows < vectors:
            writer.append(next(made))
    filled: NDArray[np.int8] = np.load(to, mmap_mode="r")
    return filled


def tracks(
    prints: list[ReferencePrint], filled: NDArray[np.int8], *, vectors: int
) -> Iterator[ReferencePrint]:
    """The tracks of the first `vectors` windows: the real ones, then whole made ones."""
    yield from prints
    first = sum(len(heard.vectors) for heard in prints)
    for number, at in enumerate(range(first, vectors - WINDOWS + 1, WINDOWS)):
        contour = prints[number % len(prints)].contour
        place = (np.arange(FRAMES) + 97 * number) % len(contour)
        yield ReferencePrint(
            duration_s=WINDOWS * REFERENCE_HOP_S,
            vectors=filled[at : at + WINDOWS],
            starts_s=np.arange(WINDOWS, dtype=np.float32) * np.float32(REFERENCE_HOP_S),
            contour=contour[place],
        )


def _made(prints: list[ReferencePrint], random: np.random.Generator) -> Iterator[NDArray[np.int8]]:
    """int8 [WINDOWS, dimension], without end."""
    mean = np.concatenate([heard.vectors for heard in prints]).mean(axis=0).astype(np.float32) / 127.0
    centred = [heard.vectors.astype(np.float32) / 127.0 - mean for heard in prints if len(heard.vectors)]
    spread = np.float32(np.sqrt(np.mean([np.square(part).mean() for part in centred])))
    dimension = len(mean)
    while True:
        first, second = random.choice(len(centred), 2, replace=False)
        swing = np.linspace(0, random.uniform(3, 12), WINDOWS) + random.uniform(0, 6.28)
        weight = (0.5 + 0.15 * np.sin(swing)).astype(np.float32)[:, None]
        mixed = weight * _stretch(centred[first], random) + (1 - weight) * _stretch(centred[second], random)
        mixed /= np.sqrt(weight**2 + (1 - weight) ** 2)
        noise = random.standard_normal((WINDOWS, dimension), dtype=np.float32)
        mixed += mean + np.float32(NOISE) * spread * noise
        mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
        yield np.round(mixed * 127.0).astype(np.int8)


def _stretch(windows: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """WINDOWS of them from a random place at a tempo of 0.8 to 1.25, interpolated, round and round."""
    at = random.uniform(0, len(windows)) + np.arange(WINDOWS) * random.uniform(0.8, 1.25)
    low = np.floor(at).astype(np.int64)
    part = (at - low).astype(np.float32)[:, None]
    here, there = windows[low % len(windows)], windows[(low + 1) % len(windows)]
    return np.asarray((1 - part) * here + part * there, dtype=np.float32)
