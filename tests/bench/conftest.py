"""What several benches are tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile


@pytest.fixture
def two_recordings(tmp_path: Path) -> Callable[[str], list[str]]:
    """Noise as the only human recording, of a package that is given, and as the only one of Suno.

    The options that name both, the detectors in the folder `folds` and the folder `out`.
    """

    def make(package: str) -> list[str]:
        for name in ("human.wav", "machine.wav"):
            noise = 0.1 * np.random.default_rng(len(name)).standard_normal((6 * 22_050, 2))
            soundfile.write(tmp_path / name, noise, 22_050)
        tracks, manifest = tmp_path / "tracks.csv", tmp_path / "manifest.csv"
        tracks.write_text(f"path,package,split\nhuman.wav,{package},train\n", encoding="utf-8")
        manifest.write_text("file,generator\nmachine.wav,Suno v5\n", encoding="utf-8")
        (tmp_path / "folds").mkdir()
        folders = ["--folds", str(tmp_path / "folds"), "--out", str(tmp_path / "out")]
        return ["--human", str(tracks), "--machine", str(manifest), *folders]

    return make
