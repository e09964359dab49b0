"""Training on features drawn at random: folds keep kin together, and what is learnt is what is there."""

from __future__ import annotations

import csv
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifiers.ai.detector import DECADES, SIGNS, load_detector
from classifiers.ai.evaluation import area_under_curve, hits_at
from classifiers.ai.examples import (
    EXCERPTS_PER_TRACK,
    FAMILIES,
    Source,
    family_of,
    human_sources,
    machine_sources,
    read_middle,
    render_all,
    synthetic_sources,
)
from classifiers.ai.stride_training import LEAST_DECADES, calibrate_stride, measure_strides, report_stride
from classifiers.ai.training import FOLDS, Table, held_out, join_signs, measure_examples, out_of_fold
from classifiers.train_detector import main, sources_of, train


def table(*, tell: float, tracks: int = 5, excerpts: int = 2) -> Table:
    """Every group of every fold; machine-made ones are `tell` apart in all features of the first sign."""
    random = np.random.default_rng(4)
    machine = set(FAMILIES.values())
    rows = [
        (group, "machine" if group in machine else "human", f"{group}/{track}")
        for fold in FOLDS
        for group in sorted(fold)
        for track in range(tracks)
        for _ in range(excerpts)
    ]
    rows += [("synthetic", "synthetic", f"synthetic/{index}") for index in range(12)]
    kinds = np.array([kind for _, kind, _ in rows])
    features = {
        sign.name: random.standard_normal((len(rows), len(sign.features))).astype(np.float32)
        for sign in SIGNS
    }
    features[SIGNS[0].name][kinds == "machine"] += np.float32(tell)
    return Table(
        features=features,
        groups=np.array([group for group, _, _ in rows]),
        kinds=kinds,
        tracks=np.array([track for _, _, track in rows]),
        codecs=np.array(["none", "mp3-128k"])[np.arange(len(rows)) % 2],
    )


def test_every_family_and_no_group_twice_stands_in_the_folds() -> None:
    named = [group for fold in FOLDS for group in fold]
    assert len(named) == len(set(named))
    assert set(FAMILIES.values()) <= set(named)


def test_kin_are_held_out_together_and_everything_once() -> None:
    rows = table(tell=0.0)
    flags = held_out(rows)
    assert np.array_equal(np.sum(flags, axis=0), np.ones(len(rows.groups)))
    for group in set(rows.groups) - {"synthetic"}:
        assert sum(bool(out[rows.groups == group].any()) for out in flags) == 1


def test_a_tell_is_learnt_weighed_and_calibrated(tmp_path: Path) -> None:
    detector, report = train(table(tell=0.8))
    assert report["joined"]["auc"] > 0.95
    assert report[SIGNS[0].name]["auc"] > report[SIGNS[1].name]["auc"] + 0.2
    assert detector.weights[SIGNS[0].name] == max(detector.weights.values())
    assert min(detector.weights.values()) >= 0
    detector.save(tmp_path)
    assert load_detector(tmp_path).sha256 == detector.sha256 == report["sha256"]


def test_without_a_tell_nobody_is_accused() -> None:
    rows = table(tell=0.0)
    odds, scored = out_of_fold(rows)
    assert scored.all()
    made = rows.machine_made
    weights, _ = join_signs(odds, machine_made=made, weights=np.ones(len(made)))
    assert max(weights.values()) < 0.35
    assert 0.35 < area_under_curve(odds["stereo"][~made], odds["stereo"][made]) < 0.65


def test_area_and_hits() -> None:
    assert area_under_curve(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert area_under_curve(np.array([1.0]), np.array([1.0])) == 0.5
    assert np.isnan(area_under_curve(np.array([]), np.array([1.0])))
    assert hits_at(np.arange(1000.0), np.array([985.0, 995.0])) == 0.5


def test_unknown_generators_are_refused() -> None:
    assert family_of("Suno v5.5") == "suno"
    with pytest.raises(KeyError, match="FAMILIES"):
        family_of("Something New")


def test_rendering_is_cached_and_repeatable(tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((20 * 22_050, 2))
    soundfile.write(path, noise, 22_050)
    sources = [Source(str(path), "human", "krank", "train"), *synthetic_sources(2)]
    first = render_all(sources, cache=tmp_path / "a")
    again = render_all(sources, cache=tmp_path / "a")
    fresh = render_all(sources, cache=tmp_path / "b")
    assert len(first) == EXCERPTS_PER_TRACK["human"] + 2
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.samples, other.samples)
    for one, other in zip(first, fresh, strict=True):
        assert np.array_equal(one.samples, other.samples)
    measured = measure_examples(first)
    assert all(len(values) == len(measured.groups) for values in measured.features.values())


def test_tables_are_read(tmp_path: Path) -> None:
    with (tmp_path / "tracks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "package", "split"], ["a/b.ogg", "krank", "tune"]])
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "generator"], ["x.mp3", "MiniMax Music 2.6"]])
    human = human_sources(tmp_path / "tracks.csv")[0]
    machine = machine_sources(tmp_path / "MANIFEST.csv")[0]
    assert (human.group, human.split, human.machine_made) == ("krank", "tune", False)
    assert human.path == str(tmp_path / "a" / "b.ogg")
    assert (machine.group, machine.machine_made) == ("minimax", True)


def test_the_stride_is_calibrated_on_human_music(tmp_path: Path) -> None:
    sources = [Source(f"h/{index}.ogg", "human", f"package-{index % 20}", "train") for index in range(400)]
    sources += [Source(f"m/{index}.mp3", "machine", f"family-{index % 6}", "train") for index in range(60)]
    strengths = np.array([*[0.0] * 396, 3.0, 4.0, 5.0, 26.0, *[30.0] * 40, *[0.0] * 20])
    calibration = calibrate_stride(sources, strengths)
    assert LEAST_DECADES / DECADES <= calibration.threshold <= 2.7
    assert calibration.read(3.0).low > 0.9
    assert calibration.read(0.0).low < 0.9
    report = report_stride(sources, strengths, calibration)
    assert (report["machine"]["found"], report["human"]["found"]) == (40, 1)
    assert report["families"]["family-0"]["recordings"] == 10


def test_strides_are_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((12 * 22_050, 2))
    soundfile.write(path, noise, 22_050)
    sources = [Source(str(path), "human", "krank", "train")]
    first = measure_strides(sources, cache=tmp_path)
    path.unlink()
    assert np.array_equal(measure_strides(sources, cache=tmp_path), first)
    assert first.tolist() == [0.0]


def test_the_middle_is_read_by_seeking(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    ramp = np.repeat(np.arange(60) / 100, 8_000)
    soundfile.write(path, np.stack((ramp, ramp), axis=1), 8_000)
    middle = read_middle(path, length_s=10.0)
    assert middle.duration_s == 10.0
    assert np.abs(middle.samples[0, [0, -1]] - np.array([0.25, 0.35])).max() < 0.02
    assert read_middle(path, length_s=55.0).duration_s == 55.0


def test_a_fold_can_be_left_out_of_everything(tmp_path: Path) -> None:
    with (tmp_path / "tracks.csv").open("w", newline="") as file:
        rows = [["path", "package", "split"], ["a.ogg", "krank", "tune"], ["b.ogg", "xmoto-data", "train"]]
        csv.writer(file).writerows([*rows, ["c.ogg", "zaz-data", "test"]])
    with (tmp_path / "MANIFEST.csv").open("w", newline="") as file:
        rows = [["file", "generator"], ["x.mp3", "MiniMax Music 2.6"], ["y.mp3", "Suno v5"]]
        csv.writer(file).writerows(rows)

    def groups(without_fold: int | None) -> set[str]:
        options = Namespace(
            human=tmp_path / "tracks.csv",
            machine=[tmp_path / "MANIFEST.csv"],
            machine_folder=[],
            without_fold=without_fold,
        )
        return {source.group for source in sources_of(options)}

    assert groups(None) == {"krank", "xmoto-data", "minimax", "suno", "synthetic"}
    assert {"minimax", "xmoto-data"} <= FOLDS[1]
    assert groups(1) == {"krank", "suno", "synthetic"}


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tracks.csv").write_text("path,package,split\n")
    arguments = ["--human", str(tmp_path / "tracks.csv"), "--cache", str(tmp_path), "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "--machine" in capsys.readouterr().err
