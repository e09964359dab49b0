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
