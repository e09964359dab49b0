"""Find recordings that occur twice in a collection, byte for byte or re-encoded, cut or extended.

A sketch is a chroma picture of the whole recording at 4 frames per second, each pitch class with its
mean removed, so that two pieces in one key do not look alike for their key. Two recordings are the
same when the middle minute of the shorter one lies somewhere in the longer one. It will not notice
a speeded-up edition; those carry a telling name (`_fast`) in the packages we use, which is the
second rule here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import av.logging
import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from soundalike.errors import AudioEmpty, NotAudio

RATE_HZ: Final = 8000
WINDOW: Final = 4096
HOP: Final = 2000
FRAMES_PER_S: Final = RATE_HZ / HOP
EXCERPT_S: Final = 60.0
SAME_SIMILARITY: Final = 0.55
"""Over all 80,601 pairs of the 402 recordings of bench.corpora, eight exceed 0.45: one copy (1.00), a piece
and its raw mix (0.86), two pairs whose names say that they are arrangements of one piece (0.67 and 0.60), and
four whose names do not (0.50 and less). The border lies in the gap; the pairs were judged by name and
length, not by ear."""
EDITIONS: Final = re.compile(r"[_-](fast|f|sd|raw)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sketch:
    """chroma: float32 [12, frames], 4 frames per second."""

    chroma: NDArray[np.float32]
    duration_s: float
    artist: str
    title: str


def _filterbank() -> NDArray[np.float32]:
    """float32 [12, bins]: semitone membership of each bin between 80 Hz and 2 kHz."""
    frequencies_hz = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    bank = np.zeros((12, frequencies_hz.size), dtype=np.float32)
    inside = np.flatnonzero((frequencies_hz >= 80) & (frequencies_hz <= 2000))
    pitch = 12 * np.log2(frequencies_hz[inside] / 440.0)
    for row in range(12):
        distance = np.abs((pitch - row + 6) % 12 - 6)
        bank[row, inside] = np.maximum(0.0, 1.0 - distance)
    return bank


def sketch(path: Path, *, cached: Path) -> Sketch:
    """Decode the recording and draw its sketch; NotAudio or AudioEmpty when there is none."""
    if cached.is_file():
        with np.load(cached) as kept:
            return Sketch(kept["chroma"], float(kept["duration_s"]), str(kept["artist"]), str(kept["title"]))
    av.logging.set_level(None)
    pieces: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path), metadata_errors="replace") as container:  # old files tag in Latin-1
            if not container.streams.audio:
                raise NotAudio(f"{path} has no audio stream")
            stream = container.streams.audio[0]
            tags = {key.lower(): value for key, value in (container.metadata | stream.metadata).items()}
            resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
            for frame in container.decode(stream):
                pieces.extend(part.to_ndarray()[0] for part in resampler.resample(frame))
            pieces.extend(part.to_ndarray()[0] for part in resampler.resample(None))
    except av.error.FFmpegError as error:
        raise NotAudio(f"{path} can't be decoded: {error}") from error
    samples = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
    if samples.size < WINDOW:
        raise AudioEmpty(f"{path} decodes to {samples.size} samples")
    drawn = Sketch(
        chroma=_chroma(samples),
        duration_s=samples.size / RATE_HZ,
        artist=tags.get("artist", "").strip(),
        title=tags.get("title", "").strip(),
    )
    np.savez(cached, chroma=drawn.chroma, duration_s=drawn.duration_s, artist=drawn.artist, title=drawn.title)
    return drawn


def _chroma(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    bank = _filterbank()
    taper = np.hanning(WINDOW).astype(np.float32)
    chroma = np.empty((12, frames.shape[0]), dtype=np.float32)
    for start in range(0, frames.shape[0], 512):
        spectrum = np.abs(np.fft.rfft(frames[start : start + 512] * taper, axis=1)).astype(np.float32)
        chroma[:, start : start + 512] = np.sqrt(bank @ spectrum.T)
    chroma /= np.maximum(np.linalg.norm(chroma, axis=0), 1e-3)
    centred: NDArray[np.float32] = chroma - chroma.mean(axis=1, keepdims=True)
    return centred


def similarity(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Best correlation, in [-1, 1], of the shorter sketch's middle minute with a place in the longer."""
    short, long = (one, other) if one.shape[1] <= other.shape[1] else (other, one)
    wanted = min(int(EXCERPT_S * FRAMES_PER_S), int(0.8 * short.shape[1]))
    start = (short.shape[1] - wanted) // 2
    excerpt = short[:, start : start + wanted]
    products = fftconvolve(long, excerpt[:, ::-1], mode="valid", axes=1).sum(axis=0)
    energy = np.concatenate(([0.0], np.cumsum((long.astype(np.float64) ** 2).sum(axis=0))))
    local = np.sqrt(np.maximum(energy[wanted:] - energy[:-wanted], 1e-9))
    return float((products / (local * max(float(np.linalg.norm(excerpt)), 1e-9))).max())


def _stem(path: str) -> str:
    return str(Path(path).with_suffix("")).casefold()


def duplicates(rows: Sequence[tuple[str, str, Sketch]]) -> dict[str, tuple[str, str]]:
    """Of (path, sha256, sketch): path to drop → (path kept, why). The longer is kept, then the first."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i][2].chroma.shape[1], i))
    stems = {_stem(path): path for path, _, _ in rows}
    kept: list[int] = []
    dropped: dict[str, tuple[str, str]] = {}
    for i in order:
        path, digest, drawn = rows[i]
        original = stems.get(EDITIONS.sub("", _stem(path)))
        if original is not None and original != path:
            dropped[path] = (original, "another edition by its name")
            continue
        for j in kept:
            if digest == rows[j][1]:
                dropped[path] = (rows[j][0], "the same bytes")
                break
            alike = similarity(drawn.chroma, rows[j][2].chroma)
            if alike >= SAME_SIMILARITY:
                dropped[path] = (rows[j][0], f"similarity {alike:.2f}")
                break
        else:
            kept.append(i)
    return dropped
