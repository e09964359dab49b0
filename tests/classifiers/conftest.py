"""Music for the tests that train."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    with (root / "tracks.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "package", "sha256", "split"])
        for number in range(6):
            t = np.arange(12 * 16_000) / 16_000
            notes = random.uniform(150, 2000, size=24).repeat(8000)
            tone = 0.3 * np.sin(2 * np.pi * np.cumsum(notes) / 16_000) * (1 + 0.2 * np.sin(7 * t))
            soundfile.write(root / f"{number}.wav", tone.astype(np.float32), 16_000)
            writer.writerow([f"{number}.wav", "p", f"{number:064x}", "train" if number < 4 else "tune"])
    return root
