"""Sections in music of the same fold, judged by the detector that met none of the three."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.heldout_sections import main, triples_of
from classifiers.ai.detector import SHIPPED_WEIGHTS
from classifiers.ai.examples import Source
from classifiers.ai.training import FOLDS

HUMAN, ELSEWHERE = "pushover-data", "krank"
"""Packages of the fold of Suno, and of another."""
FOLD = next(number for number, fold in enumerate(FOLDS) if {"suno", HUMAN} <= fold and ELSEWHERE not in fold)


def test_all_parts_are_of_the_fold_whose_detector_judges() -> None:
    sources = [Source(f"{HUMAN}/{index}.ogg", "human", HUMAN, "train") for index in range(5)]
    sources += [Source(f"other/{index}.ogg", "human", ELSEWHERE, "train") for index in range(5)]
    sources += [Source(f"suno/{index}.mp3", "machine", "suno", "train") for index in range(9)]
    wanted = {"folds": Path("folds"), "sections_s": (20.0,), "longest_s": 90.0, "of_machine": 3}
    triples = triples_of(sources, seed=4, **wanted)
    assert [triple.machine.name for triple in triples] == ["0.mp3", "4.mp3", "8.mp3"]
    assert {path.parent.name for triple in triples for path in (triple.human, triple.other)} == {HUMAN}
    assert {triple.detector for triple in triples} == {Path("folds") / str(FOLD)}
    assert len({triple.at for triple in triples}) == 3
    assert triples == triples_of(sources, seed=4, **wanted)
    assert triples_of([source for source in sources if source.group != HUMAN], seed=4, **wanted) == []


def test_the_command_writes_what_sections_writes(
    two_recordings: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*two_recordings(HUMAN), "--sections-s", "3"]
    assert main(command) == 2
    assert "can't load the second ear" in capsys.readouterr().err
    (tmp_path / "folds" / str(FOLD)).symlink_to(SHIPPED_WEIGHTS)
    assert main(command) == 0
    results = json.loads((tmp_path / "out" / "sections.json").read_text())["sections"]
    assert results["machine alone"]["recordings"] == 1
    assert "machine alone" in capsys.readouterr().out
