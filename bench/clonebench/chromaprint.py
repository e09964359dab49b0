"""Chromaprint as a peer: fingerprints from `fpcalc`, and a search of ours over every offset.

AcoustID's server looks for whole files; for excerpts the fingerprints are laid on each other at every
offset. Along an offset each item contributes 10 minus its wrong bits (of 32), and the best run of
items counts: Chromaprint's own file matcher calls 10 wrong bits the border between same and different;
unrelated items differ in 16.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.clonebench.systems import Hit
from bench.effects import Samples
from soundalike.errors import SettingsError

ITEM_S: Final = 1365 / 11025
"""4096-sample frames overlapping by two thirds (integer division, as in Chromaprint) at 11025 Hz."""
BORDER_BITS: Final = 10
CHUNK: Final = 1 << 14


class Chromaprint:
    name = "chromaprint"

    def __init__(self) -> None:
        program = os.environ.get("FPCALC") or shutil.which("fpcalc")
        if program is None or shutil.which(program) is None:
            raise SettingsError(
                "chromaprint: `fpcalc` is not on the PATH; install it with "
                "`apt-get install libchromaprint-tools` or name it in FPCALC"
            )
        self._program = program
        shown = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=30, check=True)
        self.version = shown.stdout.strip()
        self._prints: dict[str, NDArray[np.uint32]] = {}

    def add(self, track_id: str, samples: Samples, rate_hz: int) -> None:
        self._prints[track_id] = self._fingerprint(samples, rate_hz)

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        asked = self._fingerprint(samples, rate_hz)
        hits = []
        for track_id, known in self._prints.items():
            score, query_item, reference_item = best_run(asked, known)
            if score > 0:
                hits.append(Hit(track_id, float(score), query_item * ITEM_S, reference_item * ITEM_S))
        return sorted(hits, key=lambda hit: -hit.score)

    def _fingerprint(self, samples: Samples, rate_hz: int) -> NDArray[np.uint32]:
        with tempfile.TemporaryDirectory(prefix="clonebench-") as folder:
            path = Path(folder) / "query.wav"
            write_wav(path, samples, rate_hz)
            answer = subprocess.run(
                [self._program, "-raw", "-json", "-length", "36000", str(path)],
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
        if not answer.stdout.strip():
            if "Empty fingerprint" in answer.stderr:  # shorter than the 2.6 s of its filter
                return np.zeros(0, dtype=np.uint32)
            raise RuntimeError(f"{self._program} failed on a rendered query: {answer.stderr.strip()}")
        # Debian 12's fpcalc takes the end of every file for an error (exit 3) after a complete answer.
        return np.array(json.loads(answer.stdout)["fingerprint"], dtype=np.uint32)


def best_run(asked: NDArray[np.uint32], known: NDArray[np.uint32]) -> tuple[int, int, int]:
    """(score, first query item, first reference item) of the best run over all full and partial offsets."""
    if asked.size == 0 or known.size == 0:
        return 0, 0, 0
    # All-ones on one side and zeros on the other: 32 wrong bits, so runs never leave the reference.
    edge = asked.size - 1
    padded = np.pad(known, (edge, edge))
    outside = np.pad(np.zeros(known.size, dtype=bool), (edge, edge), constant_values=True)
    windows = np.lib.stride_tricks.sliding_window_view(padded, asked.size)
    beyond = np.lib.stride_tricks.sliding_window_view(outside, asked.size)
    best = (0, 0, 0)
    for start in range(0, windows.shape[0], CHUNK):
        wrong = np.bitwise_count(windows[start : start + CHUNK] ^ asked).astype(np.int16)
        gain = np.where(beyond[start : start + CHUNK], -BORDER_BITS, BORDER_BITS - wrong)
        total = np.cumsum(gain, axis=1, dtype=np.int32)
        total = np.concatenate([np.zeros((total.shape[0], 1), dtype=np.int32), total], axis=1)
        lowest = np.minimum.accumulate(total, axis=1)
        rise = total - lowest
        row, end = np.unravel_index(int(rise.argmax()), rise.shape)
        if rise[row, end] > best[0]:
            first = int(total[row, : end + 1].argmin())
            best = (int(rise[row, end]), first, start + int(row) - edge + first)
    return best


def write_wav(path: Path, samples: Samples, rate_hz: int) -> None:
    """16-bit PCM, as a peer reads it."""
    pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767.0).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(pcm.shape[0])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(np.ascontiguousarray(pcm.T).tobytes())
