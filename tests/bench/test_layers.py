"""A machine's layer over human music: mixed at the level that is asked, judged, counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.layers import ALONE, SAID, main, mix, summary


def noise(path: Path, *, seed: int, seconds: float = 6.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * 22_050), 2))
    soundfile.write(path, samples, 22_050)


@pytest.mark.parametrize("level_db", [-6.0, 0.0, 12.0])
def test_the_machine_lies_in_the_middle_at_the_level_that_is_asked(level_db: float) -> None:
    random = np.random.default_rng(0)
    human = 0.01 * random.standard_normal((2, 40_000)).astype(np.float32)
    machine = 0.05 * random.standard_normal((2, 30_000)).astype(np.float32)
    heard = mix(human, machine, level_db=level_db)
    assert heard.shape == (2, 30_000)
    layer = heard - 0.5 * human[:, :30_000]
    assert np.allclose(layer[0], layer[1], atol=1e-6)
    levels = [10 * np.log10(np.mean(np.square(part))) for part in (layer, 0.5 * human[:, :30_000])]
    assert levels[0] - levels[1] == pytest.approx(level_db, abs=0.1)


def test_shares_are_of_all_pairs() -> None:
    said = dict.fromkeys(SAID, False)
    counted = summary([{"+0 dB": said | {"stride": True}}, {"+0 dB": said}])
    assert counted["+0 dB"]["pairs"] == 2
    assert counted["+0 dB"]["stride"]["count"] == 1
    assert counted["+0 dB"]["accused"]["count"] == 0


def test_from_folders_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise(tmp_path / "human" / "a.wav", seed=1)
    noise(tmp_path / "ai" / "maker" / "b.wav", seed=2)
    folders = [
        "--human",
        str(tmp_path / "human"),
        "--ai",
        str(tmp_path / "ai"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*folders, "--count", "2", "--levels-db", "0", "6"]) == 0
    results = json.loads((tmp_path / "out" / "layers.json").read_text())
    assert list(results["layers"]) == [*ALONE, "+0 dB", "+6 dB"]
    assert all(row["pairs"] == 2 for row in results["layers"].values())
    assert "human alone" in capsys.readouterr().out


def test_a_broken_file_is_named_and_no_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise(tmp_path / "human" / "a.wav", seed=1)
    (tmp_path / "ai").mkdir()
    (tmp_path / "ai" / "b.wav").write_bytes(b"no sound")
    folders = [
        "--human",
        str(tmp_path / "human"),
        "--ai",
        str(tmp_path / "ai"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert main([*folders, "--count", "1"]) == 2
    assert "left out" in capsys.readouterr().err
    assert main(["--human", str(tmp_path / "nowhere"), *folders[2:]]) == 2
    assert "no such folder" in capsys.readouterr().err
