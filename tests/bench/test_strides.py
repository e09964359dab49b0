import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.strides import main, summary

RATE_HZ = 22_050


def noise(seed: int, *, stride: int | None = None) -> np.ndarray:
    """Twelve seconds; with a stride, weighted by the place in it and with its bias, as decoders do."""
    random = np.random.default_rng(seed)
    samples = 0.1 * random.standard_normal((12 * RATE_HZ, 2))
    if stride is None:
        return samples
    weights, bias = 1 + 0.3 * random.standard_normal(stride), 0.006 * random.standard_normal(stride)
    place = np.arange(len(samples)) % stride
    return samples * weights[place, None] + bias[place, None]


def test_recordings_are_counted_by_folder_and_condition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name, stride in (("human", "ann", None), ("ai", "strider", 128)):
        (tmp_path / folder / name).mkdir(parents=True)
        for seed in range(2):
            soundfile.write(tmp_path / folder / name / f"{seed}.wav", noise(seed, stride=stride), RATE_HZ)
    (tmp_path / "human" / "ann" / "broken.wav").write_text("no sound")
    out = tmp_path / "strides.json"
    wanted = ["--human", str(tmp_path / "human"), "--ai", str(tmp_path / "ai"), "--out", str(out)]
    assert main([*wanted, "--conditions", "clean"]) == 0
    cell = json.loads(out.read_text())["conditions"]["clean"]
    assert cell == json.loads(capsys.readouterr().out)["conditions"]["clean"]
    assert (cell["human"]["recordings"], cell["human"]["found"]) == (2, 0)
    assert cell["generators"]["strider"]["found"] == 2
    assert cell["generators"]["strider"]["counted"] == 2
    assert cell["human"]["most_decades"] == 0.0
    assert cell["auc"] == 1.0


def test_the_threshold_counts_from_its_value_on_and_what_is_blurred_only_counts() -> None:
    strengths = [
        ("ann", False, 0.0, 1.5),
        ("m", True, 10.0, 10.0),
        ("m", True, 0.0, 9.0),
        ("m", True, 0.0, 0.0),
    ]
    rows = [(name, made, {"pitch+2": (strength, decades)}) for name, made, strength, decades in strengths]
    cell = summary(rows, ["pitch+2"], threshold=10.0)["conditions"]["pitch+2"]
    assert (cell["human"]["found"], cell["machine"]["found"]) == (0, 1)
    assert (cell["human"]["counted"], cell["machine"]["counted"]) == (1, 2)
    assert cell["human"]["most_decades"] == 1.5
    assert cell["auc"] == pytest.approx(2 / 3)


def test_a_folder_that_is_not_there_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "nowhere")
    assert main(["--human", missing, "--ai", missing, "--out", str(tmp_path / "x.json")]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
