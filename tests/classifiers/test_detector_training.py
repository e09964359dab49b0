"""Training on features drawn at random: folds keep kin together, and what is learnt is what is there."""

from __future__ import annotations

import csv
from argparse import Namespace
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifiers.ai import whole
from classifiers.ai.detector import DECADES, LEANING, MOST_DECADES, SIGNS, TOGETHER, load_detector
from classifiers.ai.evaluation import area_under_curve, hits_at
from classifiers.ai.examples import (
    CHAINS,
    CLEAN,
    FAMILIES,
    PANEL,
    PLACES,
    Source,
    family_of,
    human_sources,
    machine_sources,
    read_middle,
    render,
    synthetic_sources,
)
from classifiers.ai.listening import STRETCH_S
from classifiers.ai.stride_training import (
    LEAST_DECADES,
    calibrate_stride,
    report_stride,
)
from classifiers.ai.training import (
    FOLDS,
    Table,
    fit,
    held_out,
    join_signs,
    measure_sources,
    nested,
    out_of_fold,
    with_repeats,
)
from classifiers.ai.whole import (
    SHORT_S,
    Numbers,
    Wholes,
    measure_panel,
    measure_recordings,
    measure_wholes,
    stride_of,
)
from classifiers.train_detector import main, sources_of, train
from soundalike.errors import NotAudio, SettingsError


def table(*, tell: float, tracks: int = 5) -> Table:
    """Every group of every fold; machine-made ones are `tell` apart in all features of the first sign."""
    random = np.random.default_rng(4)
    machine = set(FAMILIES.values())
    rows = [
        (group, "machine" if group in machine else "human", f"{group}/{track}", condition)
        for fold in FOLDS
        for group in sorted(fold)
        for track in range(tracks)
        for condition in (CLEAN, PANEL[0], "chain")
    ]
    rows += [("synthetic", "synthetic", f"synthetic/{index}", "chain") for index in range(12)]
    kinds = np.array([kind for _, kind, _, _ in rows])
    conditions = np.array([condition for _, _, _, condition in rows])
    features = {
        sign.name: random.standard_normal((len(rows), len(sign.features))).astype(np.float32)
        for sign in SIGNS
    }
    features[SIGNS[0].name][kinds == "machine"] += np.float32(tell)
    return Table(
        features=features,
        groups=np.array([group for group, _, _, _ in rows]),
        kinds=kinds,
        tracks=np.array([track for _, _, track, _ in rows]),
        conditions=conditions,
        codecs=np.where(conditions == PANEL[0], PANEL[0], "none"),
        places=np.zeros(len(rows), dtype=np.int64),
        decades=np.full(len(rows), np.nan),
        repeats=np.full(len(rows), np.nan),
        short_decades=np.full(len(rows), np.nan),
        short_repeats=np.full(len(rows), np.nan),
    )


def wholes(**known: Numbers) -> Wholes:
    """Nothing else is known."""
    return Wholes(**{field.name: known.get(field.name, {}) for field in fields(Wholes)})


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
    assert report["nested"]["auc"] > 0.95
    assert report[SIGNS[0].name]["auc"] > report[SIGNS[1].name]["auc"] + 0.2
    told = {SIGNS[0].name, TOGETHER}  # who sees the tell: which of the two gets more is chance
    assert detector.weights[SIGNS[0].name] > 0
    assert all(weight == 0 for name, weight in detector.weights.items() if name not in told)
    detector.save(tmp_path)
    assert load_detector(tmp_path).sha256 == detector.sha256 == report["sha256"]


def test_without_a_tell_nobody_is_accused() -> None:
    rows = table(tell=0.0)
    odds, scored = out_of_fold(rows)
    assert scored.all()
    made = rows.machine_made
    weights, _ = join_signs(odds, machine_made=made, weights=np.ones(len(made)))
    assert max(weights.values()) < 0.35
    assert 0.35 < area_under_curve(odds["comb"][~made], odds["comb"][made]) < 0.65


def test_nested_weights_know_nothing_of_the_fold_they_judge() -> None:
    """A sign that tells in one fold alone has a weight there in hindsight only."""
    rows = table(tell=0.0)
    odds, scored = out_of_fold(rows)
    only = np.isin(rows.groups, sorted(FOLDS[1]))
    odds[SIGNS[0].name] = np.where(only & rows.machine_made, 4.0, -0.1).astype(np.float32)
    made = rows.machine_made
    hindsight, _ = join_signs(odds, machine_made=made, weights=np.ones(len(made)))
    kind = np.asarray(sum(weight * odds[name] for name, weight in hindsight.items()))
    assert area_under_curve(kind[only & ~made], kind[only & made]) > 0.95
    score, _ = nested(rows, odds, scored)
    assert area_under_curve(score[only & ~made], score[only & made]) < 0.7
    elsewhere = held_out(rows)[0] & ~only
    assert area_under_curve(score[elsewhere & ~made], score[elsewhere & made]) < 0.7


def test_area_and_hits() -> None:
    assert area_under_curve(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1.0
    assert area_under_curve(np.array([1.0]), np.array([1.0])) == 0.5
    assert np.isnan(area_under_curve(np.array([]), np.array([1.0])))
    assert hits_at(np.arange(1000.0), np.array([985.0, 995.0])) == 0.5


def test_unknown_generators_are_refused() -> None:
    assert family_of("Suno v5.5") == "suno"
    with pytest.raises(SettingsError, match="FAMILIES"):
        family_of("Something New")


def music(path: Path, *, length_s: int = 20) -> Source:
    noise = 0.1 * np.random.default_rng(0).standard_normal((length_s * 22_050, 2))
    soundfile.write(path, noise, 22_050)
    return Source(str(path), "human", "krank", "train")


def test_rendering_is_repeatable_and_the_panel_complete(tmp_path: Path) -> None:
    source = music(tmp_path / "music.wav")
    first, again = render(source), render(source)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.audio.samples, other.audio.samples)
    by_condition = {
        condition: sum(one.condition == condition for one in first)
        for condition in (CLEAN, *PANEL, "chain", "slowed")
    }
    places = len(PLACES["human"])
    assert by_condition == {
        **dict.fromkeys((CLEAN, *PANEL), places),
        "chain": CHAINS["human"],
        "slowed": 1,
    }
    assert sum(by_condition.values()) == len(first)


def test_machine_made_music_meets_vorbis_before_the_low_rates(tmp_path: Path) -> None:
    human = music(tmp_path / "music.wav")
    conditions = {one.condition for one in render(replace(human, kind="machine", group="suno"))}
    assert conditions == {CLEAN, *PANEL, "vorbis", "chain"}


def test_measurements_are_kept(tmp_path: Path) -> None:
    sources = [music(tmp_path / "music.wav"), *synthetic_sources(2)]
    first = measure_sources(sources, cache=tmp_path / "looks")
    (tmp_path / "music.wav").unlink()
    again = measure_sources(sources, cache=tmp_path / "looks")
    assert np.array_equal(first.codecs, again.codecs)
    for name, values in first.features.items():
        assert np.array_equal(values, again.features[name])
        assert len(values) == len(first.groups)


def test_a_human_recording_counts_with_its_worst_codec() -> None:
    rows = table(tell=3.0, tracks=10)
    odds, scored = out_of_fold(rows)
    plain = fit(rows, odds, scored).long
    worse = np.where((rows.kinds == "human") & (rows.conditions == PANEL[0]), 1.0, 0.0).astype(np.float32)
    moved = fit(rows, {name: values + worse for name, values in odds.items()}, scored).long
    assert moved.threshold > plain.threshold


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


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (None, "can't read the table"),
        (b"\xff\xfe\x00path", "can't read the table"),
        (b"path,package\na.ogg,krank\n", "line 2: no split"),
        (b"path,package,split\na.ogg,krank,tune\nb.ogg\n", "line 3: no package, split"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, written: bytes | None, why: str) -> None:
    if written is not None:
        (tmp_path / "tracks.csv").write_bytes(written)
    with pytest.raises(SettingsError, match=why):
        human_sources(tmp_path / "tracks.csv")


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


def test_strides_are_measured_once_through_every_codec(tmp_path: Path) -> None:
    path = tmp_path / "music.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((12 * 22_050, 2))
    soundfile.write(path, noise, 22_050)
    sources = [Source(str(path), "human", "krank", "train")]
    first = measure_panel(sources, stride_of, cache=tmp_path / "strides.json")
    path.unlink()
    assert measure_panel(sources, stride_of, cache=tmp_path / "strides.json") == first
    assert first == {(str(path), condition): 0.0 for condition in (CLEAN, *PANEL)}


def seconds_of(channels: np.ndarray, rate_hz: int) -> float:
    return float(channels.shape[1] / rate_hz)


def test_what_ten_seconds_show_is_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "music.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((70 * 22_050, 2))
    soundfile.write(path, noise, 22_050)
    sources = [Source(str(path), "human", "krank", "train")]
    for length_s in (SHORT_S, STRETCH_S):
        cache = tmp_path / f"{length_s}.json"
        (heard_s,) = measure_recordings(sources, seconds_of, cache=cache, length_s=length_s)
        assert heard_s == length_s
    first = measure_wholes(sources, cache=tmp_path / "wholes")
    path.unlink()
    assert measure_wholes(sources, cache=tmp_path / "wholes") == first
    assert first.repeats != first.short_repeats
    assert len(list((tmp_path / "wholes").iterdir())) == len(fields(Wholes))
    monkeypatch.setattr(whole, "STRIDES", "strides-next")  # another edition's numbers are not taken for these
    with pytest.raises(NotAudio):
        measure_wholes(sources, cache=tmp_path / "wholes")


def test_short_clips_are_calibrated_with_what_the_stride_adds() -> None:
    """Machines that show it get another curve; a human recording that shows it raises the rate up there."""
    rows = table(tell=0.5, tracks=10)
    odds, scored = out_of_fold(rows)
    machine = rows.machine_made
    decades = np.where(machine, 30.0, 0.0)
    keys = zip(rows.tracks[machine], rows.conditions[machine], strict=True)
    shown = rows.with_wholes(wholes(short_strides=dict.fromkeys(keys, 30.0)))
    assert np.isnan(shown.short_decades[~machine]).all()
    human = rows.tracks[rows.kinds == "human"][0]
    fooled = replace(shown, short_decades=np.where(rows.tracks == human, 30.0, shown.short_decades))
    without, heard, wrong = (
        fit(replace(one, decades=decades), odds, scored).short for one in (rows, shown, fooled)
    )
    assert not np.array_equal(heard.probability, without.probability)
    assert np.array_equal(heard.false_positive_rate, without.false_positive_rate)
    assert (wrong.false_positive_rate >= heard.false_positive_rate).all()
    assert (wrong.false_positive_rate > heard.false_positive_rate).any()


def test_the_stride_counts_and_never_for_more_than_leaning_allows() -> None:
    rows = table(tell=3.0, tracks=10)
    random = np.random.default_rng(1)
    decades = np.where(rows.machine_made & (random.random(len(rows.tracks)) < 0.5), 30.0, 0.0)
    odds, scored = out_of_fold(rows)
    without, heard = fit(rows, odds, scored), fit(replace(rows, decades=decades), odds, scored)
    assert without.decade == 0.0
    joined = without.join(odds)[~rows.machine_made & (rows.conditions == CLEAN)]
    highest = np.quantile(joined, 1 - LEANING)
    assert 0 < heard.decade * MOST_DECADES <= without.long.threshold - highest + 0.01


def test_repeats_count_for_people_and_where_unknown_for_nobody(tmp_path: Path) -> None:
    rows = table(tell=0.3, tracks=10)
    random = np.random.default_rng(2)
    values = dict.fromkeys(zip(rows.tracks, rows.conditions, strict=True), 0.0)
    human = set(rows.tracks[rows.kinds == "human"])
    for track, condition in values:
        if condition != "chain":
            values[track, condition] = random.normal(2.0 if track in human else 0.0)
    known = rows.with_wholes(
        wholes(repeats={key: value for key, value in values.items() if key[1] != "chain"})
    )
    assert np.isnan(known.repeats[rows.conditions == "chain"]).all()
    assert np.isnan(known.short_repeats).all()
    detector, report = train(known)
    assert detector.repeats is not None
    slope, middle = detector.repeats
    assert slope > 0
    assert 0.3 < middle < 1.7
    panel = report["panel"][CLEAN]
    assert panel["joined_repeats"]["auc"] > max(panel["joined"]["auc"], 0.85)
    assert panel["nested_repeats"]["auc"] > panel["nested"]["auc"]
    odds, scored = out_of_fold(known)
    score = detector.join(odds)
    heard = with_repeats(known, score, detector.repeats)
    assert np.allclose(heard[rows.conditions == "chain"], score[rows.conditions == "chain"])
    detector.save(tmp_path)
    assert load_detector(tmp_path).repeats == detector.repeats
    assert scored.all()


def test_short_clips_are_calibrated_with_what_their_repeats_add() -> None:
    """Where people's strokes return in ten seconds, fewer of them reach a score."""
    rows = table(tell=0.5, tracks=10)
    odds, scored = out_of_fold(rows)
    machine, panel = rows.machine_made, rows.conditions != "chain"
    keys = list(zip(rows.tracks, rows.conditions, strict=True))
    returning = {
        key: -0.3 if made else 2.0 for key, made, known in zip(keys, machine, panel, strict=True) if known
    }
    long = rows.with_wholes(wholes(repeats=returning))
    both = rows.with_wholes(wholes(repeats=returning, short_repeats=returning))
    without, heard = (fit(one, odds, scored).short for one in (long, both))
    assert heard.read(1.0).false_positive_rate < 0.5 * without.read(1.0).false_positive_rate


def test_without_repeats_nothing_is_added() -> None:
    rows = table(tell=0.8)
    assert train(rows)[0].repeats is None


def test_what_was_not_measured_counts_as_published_or_not_at_all() -> None:
    rows = table(tell=0.0)
    human, machine = rows.tracks[~rows.machine_made][0], rows.tracks[rows.machine_made][0]
    known = rows.with_wholes(wholes(strides={(human, CLEAN): 3.0, (machine, CLEAN): 20.0}))
    assert set(known.decades[rows.tracks == human]) == {3.0}
    of_machine = dict(
        zip(rows.conditions[rows.tracks == machine], known.decades[rows.tracks == machine], strict=True)
    )
    assert of_machine[CLEAN] == 20.0
    assert np.isnan(of_machine[PANEL[0]])


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
