from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.heldout import jobs_of, main
from classifiers.ai.detector import SHIPPED_WEIGHTS
from classifiers.ai.examples import Source
from classifiers.ai.training import FOLDS

HUMAN, MACHINE = "krank", "suno"


def fold_of(group: str) -> int:
    return next(index for index, fold in enumerate(FOLDS) if group in fold)


def test_each_group_is_judged_by_the_detector_that_never_met_it() -> None:
    sources = [Source(f"h/{index}.ogg", "human", HUMAN, "train") for index in range(9)]
    sources += [Source("m/0.mp3", "machine", MACHINE, "train"), Source("x.ogg", "human", "nobody", "train")]
    jobs = jobs_of(
        sources,
        folds=Path("folds"),
        conditions=["clean"],
        longest_s=30.0,
        of_each={"human": 4, "machine": 2},
    )
    assert {(group, made, weights) for _, group, made, _, weights, _ in jobs} == {
        (HUMAN, False, Path("folds") / str(fold_of(HUMAN))),
        (MACHINE, True, Path("folds") / str(fold_of(MACHINE))),
    }
    assert [path.name for path, group, *_ in jobs if group == HUMAN] == ["0.ogg", "3.ogg", "5.ogg", "8.ogg"]


def test_the_command_writes_what_aibench_writes(
    two_recordings: Callable[[str], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = two_recordings(HUMAN)
    for group in (HUMAN, MACHINE):
        (tmp_path / "folds" / str(fold_of(group))).symlink_to(SHIPPED_WEIGHTS)
    assert main([*wanted, "--conditions", "clean"]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (results["conditions"]["clean"]["all"]["human"], results["skipped"]) == (1, [])
    assert "| clean |" in capsys.readouterr().out
