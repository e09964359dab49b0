"""What `python -m bench.detector_speed` counts, and what it says of a file that is no recording."""

from pathlib import Path

import numpy as np
import pytest

from bench.detector_speed import hear, main
from classifiers.ai.detector import load_detector
from classifiers.audio import Audio


def test_so_many_seconds_are_heard_so_many_times() -> None:
    samples = 0.1 * np.random.default_rng(0).standard_normal((2, 9 * 44_100)).astype(np.float32)
    heard = hear(load_detector(), Audio(samples, 44_100), seconds=6.0, repeats=2)
    assert heard.duration_s == pytest.approx(6.0)
    assert len(heard.wall_s) == 2
    assert min(heard.wall_s) > 0.0
    assert heard.cpu_s > 0.0


def test_a_file_that_is_no_recording_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list.txt"
    file.write_text("no sound in here")
    assert main([str(file)]) == 2
    assert "detector_speed: " in capsys.readouterr().out


def test_a_bad_file_does_not_hide_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    music = sorted((Path(__file__).parents[2] / "soundalike" / "demo_audio").glob("*.opus"))[0]
    missing = tmp_path / "nothing.mp3"
    assert main([str(missing), str(music), "--seconds", "6", "--repeats", "1"]) == 2
    said = capsys.readouterr().out
    assert "nothing.mp3" in said
    assert "best wall s" in said


@pytest.mark.parametrize("seconds", ["0.000001", "nan", "-3", "long"])
def test_seconds_in_which_nothing_can_be_heard_are_refused(
    seconds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["song.mp3", "--seconds", seconds])
    assert stopped.value.code == 2
    assert "--seconds" in capsys.readouterr().err
