"""Layers over music of the same fold, judged by the detector that met neither part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.heldout_layers import main, pairs_of
from classifiers.ai.detector import SHIPPED_WEIGHTS
from classifiers.ai.examples import Source
from classifiers.ai.training import FOLDS

FOLD = next(number for number, fold in enumerate(FOLDS) if "suno" in fold)
HUMAN = next(group for group in sorted(FOLDS[FOLD]) if group not in ("suno", "muse", "musicgen"))
ELSEWHERE = next(group for group in sorted(FOLDS[FOLD - 1]) if group != "minimax")


def test_both_parts_are_of_the_fold_whose_detector_judges() -> None:
    sources = [Source(f"{HUMAN}/{index}.ogg", "human", HUMAN, "train") for index in range(5)]
    sources += [Source(f"other/{index}.ogg", "human", ELSEWHERE, "train") for index in range(5)]
    sources += [Source(f"suno/{index}.mp3", "machine", "suno", "train") for index in range(9)]
    wanted = {"folds": Path("folds"), "levels_db": (0.0,), "longest_s": 30.0, "of_machine": 3}
    pairs = pairs_of(sources, seed=4, **wanted)
    assert [pair.machine.name for pair in pairs] == ["0.mp3", "4.mp3", "8.mp3"]
    assert {pair.human.parent.name for pair in pairs} == {HUMAN}
    assert {pair.detector for pair in pairs} == {Path("folds") / str(FOLD)}
    assert pairs == pairs_of(sources, seed=4, **wanted)
    assert pairs_of([source for source in sources if source.group != HUMAN], seed=4, **wanted) == []


def test_the_command_writes_what_layers_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("human.wav", "machine.wav"):
        noise = 0.1 * np.random.default_rng(len(name)).standard_normal((6 * 22_050, 2))
        soundfile.write(tmp_path / name, noise, 22_050)
    tracks = tmp_path / "tracks.csv"
    tracks.write_text(f"path,package,split\nhuman.wav,{HUMAN},train\n", encoding="utf-8")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,generator\nmachine.wav,Suno v5\n", encoding="utf-8")
    (tmp_path / "folds").mkdir()
    command = ["--human", str(tracks), "--machine", str(manifest), "--folds", str(tmp_path / "folds")]
    command += ["--out", str(tmp_path / "out"), "--levels-db", "3"]
    assert main(command) == 2
    assert "can't load the second ear" in capsys.readouterr().err
    (tmp_path / "folds" / str(FOLD)).symlink_to(SHIPPED_WEIGHTS)
    assert main(command) == 0
    results = json.loads((tmp_path / "out" / "layers.json").read_text())
    assert results["layers"]["+3 dB"]["pairs"] == 1
    assert "machine alone" in capsys.readouterr().out
