"""Layers over music of the same fold, judged by the detector that met neither part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.heldout_layers import main, pairs_of
from classifiers.ai.detector import SHIPPED_WEIGHTS
from classifiers.ai.examples import Source
from classifiers.ai.training import FOLDS

HUMAN, ELSEWHERE = "pushover-data", "krank"
"""Packages of the fold of Suno, and of another."""
FOLD = next(number for number, fold in enumerate(FOLDS) if {"suno", HUMAN} <= fold and ELSEWHERE not in fold)


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


def test_the_command_writes_what_layers_writes(
    two_recordings: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*two_recordings(HUMAN), "--levels-db", "3"]
    assert main(command) == 2
    assert "can't load the second ear" in capsys.readouterr().err
    (tmp_path / "folds" / str(FOLD)).symlink_to(SHIPPED_WEIGHTS)
    assert main(command) == 0
    results = json.loads((tmp_path / "out" / "layers.json").read_text())
    assert results["layers"]["+3 dB"]["pairs"] == 1
    assert "machine alone" in capsys.readouterr().out
