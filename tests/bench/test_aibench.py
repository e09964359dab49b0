from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.aibench import files_of, main, summary
from bench.aibench_conditions import CONDITIONS, chosen, render
from bench.aibench_measure import Heard, cell, hits_at_one_percent, wilson
from classifiers.ai.synthetic import RECIPES
from soundalike.errors import SettingsError


def heard(score: float | None, *, made: bool, low: float | None = None, source: str = "x") -> Heard:
    known = score is not None
    return Heard("f", source, made, known, 0.5 if known else None, low, score, "" if known else "short")


def write(path: Path, *, name: str, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    audio = RECIPES[name](duration_s=7.0, random=np.random.default_rng(seed))
    soundfile.write(path, audio.samples.T, audio.sample_rate_hz)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    human, machine = tmp_path / "human", tmp_path / "ai"
    for index, name in enumerate(("chiptune", "drone", "solo-synth")):
        write(human / "album" / f"{name}.wav", name=name, seed=index)
        write(machine / f"generator-{index % 2}" / f"{name}.wav", name=name, seed=10 + index)
    (human / "album" / "broken.mp3").write_text("not audio")
    return human, machine


def test_the_command_writes_numbers_table_and_plot(folders: tuple[Path, Path], tmp_path: Path) -> None:
    human, machine = folders
    out = tmp_path / "out"
    arguments = ["--human", str(human), "--ai", str(machine), "--out", str(out)]
    assert main([*arguments, "--longest-s", "8", "--conditions", "clean,clip-5s"]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["longest_s"] == 8.0
    assert list(results["conditions"]) == ["clean", "clip-5s"]
    clean = results["conditions"]["clean"]
    assert set(clean["generators"]) == {"generator-0", "generator-1"}
    assert (clean["all"]["human"], clean["all"]["machine"]) == (3, 3)
    assert clean["human_sources"]["album"]["recordings"] == 3
    assert [skipped["file"] for skipped in results["skipped"]] == ["broken.mp3"]
    for name in ("auc", "tpr_at_1pct_fpr", "fpr_shipped", "tpr_shipped"):
        low, high = clean["all"][f"{name}_95"]
        assert low - 1e-9 <= clean["all"][name] <= high + 1e-9
    table = (out / "results.md").read_text().splitlines()
    row, head = (
        next(line for line in table if line.startswith(f"| {name} |")) for name in ("clean", "condition")
    )
    assert row.count("|") == head.count("|")
    assert (out / "results.png").read_bytes().startswith(b"\x89PNG")


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["--human", str(tmp_path / "empty"), "--ai", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "no audio file" in capsys.readouterr().err


def test_unknown_conditions_are_named() -> None:
    with pytest.raises(SettingsError, match="slower"):
        chosen(["clean", "slower"])
    assert list(chosen([])) == list(CONDITIONS)


def test_files_lie_in_sub_folders_or_directly(tmp_path: Path) -> None:
    write(tmp_path / "a" / "deep" / "1.wav", name="noise", seed=0)
    write(tmp_path / "2.wav", name="noise", seed=0)
    assert {name: len(paths) for name, paths in files_of(tmp_path, what="--ai").items()} == {
        "a": 1,
        tmp_path.name: 1,
    }


def test_perfect_and_reversed_order() -> None:
    human = [heard(-1.0 - index / 100, made=False, low=0.1) for index in range(120)]
    machine = [heard(1.0, made=True, low=0.95)] * 20
    good = cell(human, machine)
    assert (good["auc"], good["tpr_at_1pct_fpr"], good["tpr_shipped"], good["fpr_shipped"]) == (1, 1, 1, 0)
    bad = cell(machine, human)
    assert (bad["auc"], bad["fpr_shipped"]) == (0, 1)


def test_what_is_not_known_counts_as_not_found() -> None:
    human = [heard(0.0, made=False, low=0.1)] * 10
    found = cell(human, [heard(None, made=True), heard(1.0, made=True, low=0.95)])
    assert found["unknown_machine"] == 0.5
    assert found["auc"] == 0.5
    assert found["auc_known"] == 1.0
    assert found["tpr_shipped"] == 0.5


def test_where_nothing_is_known_no_area_is_made_up() -> None:
    found = cell([heard(0.0, made=False, low=0.1)] * 10, [heard(None, made=True)])
    assert (found["auc"], found["auc_known"], found["unknown_machine"]) == (0.0, None, 1.0)


def test_one_percent_of_a_hundred_is_one_and_of_fifty_none() -> None:
    scores = np.arange(100.0)
    assert hits_at_one_percent(scores, np.array([98.5])) == 1.0
    assert hits_at_one_percent(scores[:50], np.array([48.5])) == 0.0


def test_wilson_knows_that_none_of_few_is_not_never() -> None:
    low, high = wilson([False] * 20)
    assert low == 0.0
    assert 0.1 < high < 0.2
    assert wilson([]) == (0.0, 1.0)


def test_one_side_missing_is_an_error() -> None:
    with pytest.raises(SettingsError):
        summary([heard(0.0, made=True)])


@pytest.mark.parametrize("name", CONDITIONS)
def test_every_condition_renders_the_same_twice(name: str) -> None:
    audio = RECIPES["chiptune"](duration_s=6.0, random=np.random.default_rng(1))
    first, second = (render(audio, name, file_name="a.wav") for _ in range(2))
    assert np.isfinite(first.samples).all()
    assert np.array_equal(first.samples, second.samples)
    expected_s = {"speed-0.9": 6 / 0.9, "speed-1.1": 6 / 1.1, "clip-5s": 5.0}.get(name, 6.0)
    assert first.duration_s == pytest.approx(expected_s, abs=0.15)
