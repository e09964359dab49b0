"""audfprint as a peer, through the package `audfprint2` with the settings of its command line.

Its command line defaults are kept (density 20, fan-out 3, queries at four sub-frame shifts, match
window 2, at least 5 common hashes); only the time field is 16 bits wide, so that tracks over six
minutes keep their offsets.
"""

from __future__ import annotations

import logging
import random
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.clonebench.systems import Hit
from bench.effects import Samples
from bench.effects.warp import resample
from soundalike.errors import SettingsError

RATE_HZ: Final = 11025
QUERY_SHIFTS: Final = 4
MATCH_WINDOW: Final = 2
TIME_BITS: Final = 16


class Audfprint:
    name = "audfprint"

    def __init__(self) -> None:
        handlers = list(logging.getLogger().handlers)
        try:
            from audfprint2 import Analyzer, HashTable, Matcher  # noqa: PLC0415 - optional peer
            from audfprint2.core.analyzer import landmarks2hashes  # noqa: PLC0415

            self.version = f"audfprint2 {version('audfprint2')}"
        except (ImportError, PackageNotFoundError) as error:
            raise SettingsError(
                f"audfprint: {error}; install it with `pip install 'audfprint2>=0.1.2,<0.2'`"
            ) from error
        # The package configures the root logger when imported; take that back.
        logging.getLogger().handlers[:] = handlers
        self._to_hashes: Any = landmarks2hashes
        self._analyzer: Any = Analyzer(density=20.0)
        self._table: Any = HashTable(hashbits=20, depth=100, maxtime=1 << TIME_BITS)
        self._matcher: Any = Matcher()
        self._matcher.window = MATCH_WINDOW
        self._frame_s = self._analyzer.n_hop / RATE_HZ
        random.seed(0)  # full buckets keep a random choice

    def add(self, track_id: str, samples: Samples, rate_hz: int) -> None:
        pairs = self._hashes(_mono(samples, rate_hz)).tolist()
        self._table.store(track_id, [(int(time), int(value)) for time, value in pairs])

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        mono = _mono(samples, rate_hz)
        shifted = [
            self._hashes(mono[round(shift / QUERY_SHIFTS * self._analyzer.n_hop) :])
            for shift in range(QUERY_SHIFTS)
        ]
        hashes = np.unique(np.concatenate(shifted), axis=0)
        if hashes.shape[0] == 0:
            return []
        # Rows: track, common hashes in line, reference − query frames, …
        found = self._matcher.match_hashes(self._table, hashes)
        return [
            Hit(
                track_id=str(self._table.names[int(row[0])]),
                score=float(row[1]),
                query_start_s=0.0,
                reference_start_s=float(row[2]) * self._frame_s,
            )
            for row in found
        ]

    def _hashes(self, mono: NDArray[np.float32]) -> NDArray[np.int32]:
        if mono.size < self._analyzer.n_fft or not mono.any():
            return np.zeros((0, 2), dtype=np.int32)
        landmarks = self._analyzer.peaks2landmarks(self._analyzer.find_peaks(mono, RATE_HZ))
        return np.asarray(self._to_hashes(landmarks), dtype=np.int32).reshape(-1, 2)


def _mono(samples: Samples, rate_hz: int) -> NDArray[np.float32]:
    mono: NDArray[np.float32] = resample(samples.mean(axis=0, keepdims=True), rate_hz=rate_hz, to_hz=RATE_HZ)[
        0
    ]
    return mono
