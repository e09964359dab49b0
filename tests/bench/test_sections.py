"""A section in a song: spliced where and as loud as is asked, judged, counted by its segments."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.layers import ALONE, RATE_HZ, rms
from bench.sections import EDGE_S, Heard, Triple, hear, main, splice, summary, what_is_heard
from classifiers.ai.detector import Assessment, SignReading

SAID = {"stride": False, "mixed": False, "likely": False, "accused": False, "there": False}


def noise(path: Path, *, seed: int, seconds: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * 22_050), 2))
    soundfile.write(path, samples, 22_050)
    return path


def test_the_section_is_the_middle_of_the_other_as_loud_as_what_was_there() -> None:
    random = np.random.default_rng(0)
    human = 0.01 * random.standard_normal((2, 4 * RATE_HZ)).astype(np.float32)
    part = 0.2 * random.standard_normal((2, 3 * RATE_HZ)).astype(np.float32)
    start, length = RATE_HZ, 2 * RATE_HZ
    spliced = splice(human, part, start=start, length=length)
    assert np.array_equal(spliced[:, :start], human[:, :start])
    assert np.array_equal(spliced[:, start + length :], human[:, start + length :])
    inner = slice(start + RATE_HZ // 2, start + length - RATE_HZ // 2)
    there = part[:, RATE_HZ // 2 :][:, RATE_HZ // 2 : -RATE_HZ]
    likeness = np.corrcoef(spliced[0, inner], there[0])[0, 1]
    assert likeness == pytest.approx(1.0, abs=1e-4)
    assert rms(spliced[:, inner]) == pytest.approx(rms(human), rel=0.05)
    assert np.abs(np.diff(spliced)).max() < 0.1  # no click at the edges


def test_segments_are_counted_inside_and_outside_of_it() -> None:
    segments = tuple((5.0 * at, 5.0 * at + 5, value) for at, value in enumerate((0.1, 0.3, 0.8, 0.9, 0.2)))
    mixed = SignReading("mixed", 0.4, 0.4, "")
    said = what_is_heard(Assessment(0.6, 0.4, 0.8, True, segments, (mixed,)), (9.5, 19.5))
    assert said.inside == (0.8, 0.9)
    assert said.outside == (0.1, 0.2)  # 5 to 10 s is neither
    assert said.said["mixed"]
    assert said.said["there"]
    assert said.said["likely"]
    assert not said.said["accused"]
    assert not what_is_heard(Assessment(0.6, 0.4, 0.8, True, segments), (0.0, 10.0)).said["there"]
    assert what_is_heard(Assessment(0.6, 0.4, 0.8, True, segments), None).inside == ()


def test_shares_are_of_the_recordings_that_have_the_row() -> None:
    row = "20 s by a machine"
    one = {row: Heard(SAID | {"mixed": True}, (0.8, 0.9), (0.1,)), "human alone": Heard(SAID, (), (0.1,))}
    results = summary([one, {"human alone": Heard(SAID, (), (0.9,))}, {row: Heard(SAID, (0.2,), (0.3,))}])
    assert results["human alone"]["recordings"] == 2
    assert results["human alone"]["segments"]["outside"] == 0.5
    assert results["human alone"]["segments"]["auc"] is None
    assert results[row]["recordings"] == 2
    assert results[row]["mixed"]["count"] == 1
    assert results[row]["segments"]["inside"] == pytest.approx(2 / 3)
    assert results[row]["segments"]["auc"] == pytest.approx(5 / 6)


def test_what_is_too_short_for_a_section_is_left_out_of_its_row(tmp_path: Path) -> None:
    files = [noise(tmp_path / f"{seed}.wav", seed=seed, seconds=7) for seed in range(3)]
    answer = hear(Triple(*files, at=0.5, sections_s=(5.0,), longest_s=60.0))
    assert isinstance(answer, dict)
    assert list(answer) == list(ALONE)
    assert 5 + 2 * EDGE_S > 7


def test_from_folders_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise(tmp_path / "human" / "a.wav", seed=1, seconds=17)
    noise(tmp_path / "ai" / "maker" / "b.wav", seed=2, seconds=6)
    folders = ["--human", str(tmp_path / "human"), "--ai", str(tmp_path / "ai")]
    out = ["--out", str(tmp_path / "out")]
    assert main([*folders, *out, "--count", "2", "--sections-s", "5", "6.5"]) == 0
    results = json.loads((tmp_path / "out" / "sections.json").read_text())["sections"]
    # Of seconds that only the human recording has, only what it lends itself.
    assert list(results) == [*ALONE, "5 s of others", "5 s by a machine", "6.5 s of others"]
    assert all(row["recordings"] == 2 for row in results.values())
    assert "human alone" in capsys.readouterr().out


def test_a_broken_file_is_named_and_no_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise(tmp_path / "human" / "a.wav", seed=1, seconds=6)
    (tmp_path / "ai").mkdir()
    (tmp_path / "ai" / "b.wav").write_bytes(b"no sound")
    rest = ["--ai", str(tmp_path / "ai"), "--out", str(tmp_path / "out"), "--count", "1"]
    assert main(["--human", str(tmp_path / "human"), *rest]) == 2
    assert "left out" in capsys.readouterr().err
    assert main(["--human", str(tmp_path / "nowhere"), *rest]) == 2
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--human", str(tmp_path / "human"), *rest, "--sections-s", "-3"])
    assert "give a number above 0" in capsys.readouterr().err
