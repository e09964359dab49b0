"""Waveforms and spectrograms: computed once per recording, then cut to any window in milliseconds.

Peaks are the lowest and highest sample of each 10 ms. Bands are mean levels on a logarithmic frequency axis,
40 columns a second, so that a transposition is a shift along the axis that the eye can see. Three hours take
2 MB and 35 MB; both files are memory-mapped, and a window touches only its own part.
"""

from __future__ import annotations

import io
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PEAKS_PER_S = 100
COLUMNS_PER_S = 40
BANDS = 80
LOWEST_HZ = 60.0
HIGHEST_HZ = 10_000.0
RANGE_DB = 80.0
FFT_SAMPLES = 2048
_BLOCK_COLUMNS = 2000  # of one FFT call: 2000 x 2048 float32 = 16 MB


def peaks(mono: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.int8]:
    """int8 [ceil(n / 10 ms), 2]: lowest and highest sample, full scale = 127."""
    count = -(-mono.size * PEAKS_PER_S // sample_rate_hz)
    edges = (np.arange(count) * sample_rate_hz // PEAKS_PER_S).astype(np.int64)
    low, high = np.minimum.reduceat(mono, edges), np.maximum.reduceat(mono, edges)
    return np.stack([np.round(np.clip(side, -1.0, 1.0) * 127.0) for side in (low, high)], axis=1).astype(
        np.int8
    )


def bands(mono: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.uint8]:
    """uint8 [frames, BANDS], lowest band first: 255 is a sine at full scale, 0 is RANGE_DB below or less."""
    hop = sample_rate_hz / COLUMNS_PER_S
    frames = max(1, int(mono.size / hop))
    window = np.hanning(FFT_SAMPLES).astype(np.float32)
    weights = _band_weights(sample_rate_hz)
    padded = np.pad(mono, (FFT_SAMPLES // 2, FFT_SAMPLES))
    view = np.lib.stride_tricks.sliding_window_view(padded, FFT_SAMPLES)
    result = np.empty((frames, BANDS), dtype=np.uint8)
    for first in range(0, frames, _BLOCK_COLUMNS):
        starts = (np.arange(first, min(first + _BLOCK_COLUMNS, frames)) * hop).astype(np.int64)
        spectrum = np.abs(np.fft.rfft(view[starts] * window, axis=1)).astype(np.float32) / (window.sum() / 2)
        level_db = 10.0 * np.log10(np.square(spectrum) @ weights + 1e-12)
        scaled = (level_db + RANGE_DB) * (255.0 / RANGE_DB)
        result[first : first + starts.size] = np.clip(scaled, 0.0, 255.0).astype(np.uint8)
    return result


def window_peaks(path: Path, *, start_s: float, end_s: float, bins: int) -> list[float | None]:
    """Highest absolute level (0..1) in each of `bins` equal parts of the window; None outside the audio."""
    stored: NDArray[np.int8] = np.load(path, mmap_mode="r")
    edges = np.linspace(start_s, end_s, bins + 1) * PEAKS_PER_S
    result: list[float | None] = []
    for left, right in pairwise(edges):
        first = int(np.floor(left))
        last = max(first + 1, int(np.ceil(right)))
        if last <= 0 or first >= len(stored):
            result.append(None)
            continue
        part = stored[max(first, 0) : last]
        result.append(round(float(np.abs(part.astype(np.int16)).max()) / 127.0, 3))
    return result


def window_png(path: Path, *, start_s: float, end_s: float, width: int, height: int) -> bytes:
    """The window as a PNG, low frequencies at the bottom; transparent where there is no audio."""
    stored: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    columns = np.floor(np.linspace(start_s, end_s, width, endpoint=False) * COLUMNS_PER_S).astype(np.int64)
    per_pixel = max(1, round((end_s - start_s) * COLUMNS_PER_S / width))
    inside = (columns >= 0) & (columns < len(stored))
    levels = np.zeros((width, BANDS), dtype=np.uint8)
    # The loudest of a pixel's columns: a mean would let short notes vanish in a long window. Four probes
    # bound the work for windows of hours.
    for step in np.unique(np.linspace(0, per_pixel - 1, min(per_pixel, 4)).astype(np.int64)):
        probe = np.clip(columns + step, 0, len(stored) - 1)
        levels = np.maximum(levels, stored[probe])
    levels[~inside] = 0
    image = Image.fromarray(np.ascontiguousarray(levels.T[::-1]), mode=None).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    image.putpalette(_palette())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def _band_weights(sample_rate_hz: int) -> NDArray[np.float32]:
    """[FFT bins, BANDS]: triangles between neighbouring centres, at least one bin wide."""
    centres_hz = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS)
    bin_hz = sample_rate_hz / FFT_SAMPLES
    bins_hz = np.arange(FFT_SAMPLES // 2 + 1) * bin_hz
    width_hz = np.maximum(np.gradient(centres_hz), bin_hz)
    distance = np.abs(bins_hz[:, None] - centres_hz[None, :]) / width_hz[None, :]
    return np.clip(1.0 - distance, 0.0, 1.0).astype(np.float32)


@lru_cache(maxsize=1)
def _palette() -> list[int]:
    """256 colours from near black over violet and orange to pale yellow: even in lightness, safe for the
    colour-blind, and readable in grey."""
    stops = np.array([0, 70, 130, 190, 255])
    red = np.interp(np.arange(256), stops, [12, 76, 178, 246, 252])
    green = np.interp(np.arange(256), stops, [10, 18, 50, 136, 250])
    blue = np.interp(np.arange(256), stops, [24, 110, 118, 60, 190])
    return [int(value) for value in np.stack([red, green, blue], axis=1).astype(np.uint8).ravel()]
