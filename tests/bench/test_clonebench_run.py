"""CloneBench end to end with a small system of known ability, and the peers' searches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.signal import fftconvolve

from bench.clonebench.__main__ import main
from bench.clonebench.chromaprint import ITEM_S, best_run, write_wav
from bench.clonebench.journal import NAME
from bench.clonebench.plan import draw, jobs, render
from bench.clonebench.recordings import RATE_HZ, find, probe_all, read
from bench.clonebench.run import Settings, run
from bench.clonebench.systems import BUILDERS, Hit, build, known
from bench.conditions import chosen
from bench.effects import Samples
from bench.effects.warp import resample
from soundalike.errors import AudioEmpty, SettingsError

QUIET = Console(quiet=True)


class Correlator:
    """Finds exact copies by normalised cross-correlation at 2 kHz; deaf to transposition."""

    name = "correlator"
    version = "test"

    def __init__(self) -> None:
        self.known: dict[str, Samples] = {}

    def add(self, track_id: str, samples: Samples, rate_hz: int) -> None:
        self.known[track_id] = resample(samples, rate_hz=rate_hz, to_hz=2000)

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        asked = resample(samples, rate_hz=rate_hz, to_hz=2000)[0]
        hits = []
        for track_id, reference in self.known.items():
            products = np.abs(fftconvolve(reference[0], asked[::-1], mode="valid"))
            energy = np.convolve(reference[0] ** 2, np.ones(asked.size), mode="valid")
            fit = products / np.sqrt(np.maximum(energy, 1e-6) * max(float((asked**2).sum()), 1e-6))
            at = int(fit.argmax())
            hits.append(Hit(track_id, float(fit[at]), 0.0, at / 2000, 0.0, 1.0))
        return hits


def write_song(path: Path, *, seed: int, seconds: float = 9.0) -> None:
    random = np.random.default_rng(seed)
    times = np.arange(round(0.2 * RATE_HZ)) / RATE_HZ
    song = np.zeros(round(seconds * RATE_HZ))
    for start in range(0, song.size - times.size, times.size):
        pitch_hz = 150.0 * 2 ** (random.uniform(0, 24) / 12)
        song[start : start + times.size] = 0.4 * np.sin(2 * np.pi * pitch_hz * times) * np.exp(-4 * times)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, np.stack([song, song]).astype(np.float32), RATE_HZ)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("songs")
    for number in range(3):
        write_song(root / "catalog" / "album" / f"song {number}.wav", seed=number)
    for number in range(3):
        write_song(root / "others" / f"other{number}.wav", seed=100 + number)
    (root / "others" / "broken.mp3").write_bytes(b"not music" * 100)
    (root / "others" / "notes.txt").write_text("ignored")
    return root / "catalog", root / "others"


def settings(folders: tuple[Path, Path], conditions: str = "clean,pitch+3", **changes: object) -> Settings:
    values = {
        "catalog": folders[0],
        "distractors": folders[1],
        "conditions": chosen(conditions.split(",")),
        "queries": 4,
        "negatives": 3,
        "seed": 5,
        "query_s": 3.0,
        "systems": ["correlator"],
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def test_a_run_measures_what_the_system_can_and_cannot(folders: tuple[Path, Path], tmp_path: Path) -> None:
    results = run(settings(folders), console=QUIET, out=tmp_path, ready={"correlator": Correlator()})
    numbers = results["systems"]["correlator"]
    clean, transposed = numbers["conditions"]["clean"], numbers["conditions"]["pitch+3"]
    assert (clean["n"], clean["top1"]) == (4, 1.0)
    assert clean["median_start_error_s"] < 0.01
    assert clean["recall"]["1% FP"]["recall"] == 1.0
    assert transposed["recall"]["1% FP"]["recall"] < 0.5
    assert numbers["false_positives"]["1% FP"]["n"] == 6
    assert results["run"]["catalog_tracks"] == 3
    assert list(results["run"]["left_out"]) == ["broken.mp3"]
    again = run(settings(folders), console=QUIET, out=tmp_path / "again", ready={"correlator": Correlator()})
    assert again["systems"]["correlator"]["conditions"] == numbers["conditions"]


class Interrupted(Correlator):
    """Gives up after so many questions, as a killed run does; counts them."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience
        self.asked = 0

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        if self.asked == self.patience:
            raise KeyboardInterrupt
        self.asked += 1
        return super().query(samples, rate_hz)


def test_an_interrupted_run_goes_on_where_it_stopped(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """14 questions: 4 queries and 3 negatives under 2 conditions."""
    whole = run(settings(folders), console=QUIET, out=tmp_path / "whole", ready={"correlator": Correlator()})
    with pytest.raises(KeyboardInterrupt):
        run(settings(folders), console=QUIET, out=tmp_path / "parts", ready={"correlator": Interrupted(5)})
    with (tmp_path / "parts" / NAME).open("a") as file:
        file.write('{"by": "torn')
    second, third = Interrupted(100), Interrupted(0)
    resumed = run(settings(folders), console=QUIET, out=tmp_path / "parts", ready={"correlator": second})
    assert second.asked == 9
    for key in ("conditions", "thresholds", "false_positives"):
        assert resumed["systems"]["correlator"][key] == whole["systems"]["correlator"][key]
    run(settings(folders), console=QUIET, out=tmp_path / "parts", ready={"correlator": third})
    assert third.known == {}, "the catalog was added though nothing was left to ask"


def test_answers_of_another_version_or_catalog_do_not_count(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    run(settings(folders, "clean"), console=QUIET, out=tmp_path / "out", ready={"correlator": Correlator()})
    newer = Interrupted(100)
    newer.version = "newer"
    run(settings(folders, "clean"), console=QUIET, out=tmp_path / "out", ready={"correlator": newer})
    assert newer.asked == 7
    shutil.copytree(folders[0], tmp_path / "catalog")
    write_song(tmp_path / "catalog" / "one more.wav", seed=9)
    larger = Interrupted(100)
    more = (tmp_path / "catalog", folders[1])
    run(settings(more, "clean"), console=QUIET, out=tmp_path / "out", ready={"correlator": larger})
    assert larger.asked == 7


def test_plans_and_renderings_follow_the_seed_alone(folders: tuple[Path, Path]) -> None:
    catalog, _ = probe_all(find(folders[0]), folder=folders[0])
    others, left_out = probe_all(find(folders[1]), folder=folders[1])
    assert list(left_out) == ["broken.mp3"]
    conditions = chosen(["noise+reverb-10db", "music-over-0db", "dj-quote-5s"])

    def plan(seed: int) -> list[object]:
        return list(
            draw(
                catalog,
                others=others,
                count=7,
                conditions=conditions,
                query_s=3.0,
                seed=seed,
                in_catalog=True,
            )
        )

    assert plan(1) == plan(1)
    assert plan(1) != plan(2)
    queries = draw(
        catalog, others=others, count=7, conditions=conditions, query_s=3.0, seed=1, in_catalog=True
    )
    assert sorted(query.recording.track_id for query in queries[:3]) == sorted(
        row.track_id for row in catalog
    )
    job = next(jobs({query: [row.name for row in conditions] for query in queries}, query_s=3.0))
    first, second = render(job), render(job)
    assert [one.condition_name for one in first] == [condition.name for condition in conditions]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
    # The bed of 25 s is made from a 9 s recording by repeating it.
    assert first[2].samples.shape[1] == 25 * RATE_HZ


def test_an_excerpt_is_cut_to_the_sample(folders: tuple[Path, Path]) -> None:
    path = find(folders[0])[0]
    whole = read(path)
    np.testing.assert_array_equal(read(path, start_s=2.5, duration_s=1.0), whole[:, 110_250:154_350])
    with pytest.raises(AudioEmpty, match=r"ends before 12\.0 s"):
        read(path, start_s=8.0, duration_s=4.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"catalog": Path("/nonexistent")}, "is not a folder"),
        ({"query_s": 60.0}, r"the catalog holds 0 recordings of 60\.0 s or more"),
    ],
)
def test_unusable_input_is_said_in_one_line(
    folders: tuple[Path, Path], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        run(settings(folders, **changes), console=QUIET, out=tmp_path, ready={"correlator": Correlator()})


def test_a_recording_on_both_sides_is_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[1], tmp_path / "others")
    shutil.copy(find(folders[0])[0], tmp_path / "others" / "copy.wav")
    with pytest.raises(SettingsError, match=r"1 recordings are in the catalog and among the distractors"):
        run(
            settings((folders[0], tmp_path / "others")),
            console=QUIET,
            out=tmp_path / "out",
            ready={"correlator": Correlator()},
        )


def test_a_missing_peer_is_reported_and_not_left_out(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("FPCALC", raising=False)
    both = settings(folders, "clean", systems=["correlator", "chromaprint"], queries=1, negatives=1)
    results = run(both, console=QUIET, out=tmp_path, ready={"correlator": Correlator()})
    assert "apt-get install libchromaprint-tools" in results["systems"]["chromaprint"]["missing"]
    assert "conditions" in results["systems"]["correlator"]


def test_the_command_line(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(BUILDERS, "soundalike", lambda _model: Correlator())
    arguments = ["--catalog", str(folders[0]), "--distractors", str(folders[1]), "--out", str(tmp_path)]
    asked = ["--conditions", "clean", "polarity", "--queries", "2", "--query-seconds", "3"]
    assert main([*arguments, *asked]) == 0
    assert json.loads((tmp_path / "results.json").read_text())["run"]["conditions"] == ["clean", "polarity"]
    assert json.loads((tmp_path / "results.json").read_text())["run"]["queries"] == 2
    assert (tmp_path / "table.md").read_text().startswith("# CloneBench")
    assert main([*arguments, "--conditions", "telepathy"]) == 2
    assert "no condition is called telepathy" in capsys.readouterr().err
    assert main([*arguments, "--peers", "shazam"]) == 2
    assert "no system is called shazam" in capsys.readouterr().err
    for wrong in (["--queries", "0"], ["--negatives", "-2"], ["--query-seconds", "-1"]):
        with pytest.raises(SystemExit, match="2"):
            main([*arguments, *wrong])
        assert wrong[1] in capsys.readouterr().err


def test_known_systems() -> None:
    assert known(["soundalike", "audfprint", "soundalike"]) == ["soundalike", "audfprint"]


def test_chromaprint_search_finds_the_run_and_its_place() -> None:
    random = np.random.default_rng(0)
    reference = random.integers(0, 2**32, 900, dtype=np.uint32)
    noise = (1 << random.integers(0, 32, 60)).astype(np.uint32)
    asked = np.concatenate([random.integers(0, 2**32, 20, dtype=np.uint32), reference[300:360] ^ noise])
    score, query_item, reference_item = best_run(asked, reference)
    assert score >= 60 * 8
    assert reference_item - query_item == 280
    assert abs(query_item - 20) <= 2
    assert best_run(random.integers(0, 2**32, 60, dtype=np.uint32), reference)[0] < 60
    assert best_run(np.zeros(0, dtype=np.uint32), reference) == (0, 0, 0)


def test_chromaprint_search_sees_a_query_that_hangs_over_the_end() -> None:
    reference = np.random.default_rng(1).integers(0, 2**32, 100, dtype=np.uint32)
    asked = np.concatenate([reference[70:], np.random.default_rng(2).integers(0, 2**32, 40, dtype=np.uint32)])
    score, query_item, reference_item = best_run(asked, reference)
    assert score >= 300
    assert (query_item, reference_item) == (0, 70)
    assert abs(ITEM_S - 0.1238) < 0.0001


def test_audfprint_recognises_a_copy_and_states_its_place(folders: tuple[Path, Path]) -> None:
    """The peer is in the development group, so it is here; a missing one would fail, not skip."""
    peer = build("audfprint")
    songs = [read(path) for path in find(folders[0])]
    for number, song in enumerate(songs):
        peer.add(f"song {number}", song, RATE_HZ)
    hits = peer.query(songs[1][:, 3 * RATE_HZ : 7 * RATE_HZ], RATE_HZ)
    assert hits[0].track_id == "song 1"
    assert hits[0].reference_start_s == pytest.approx(3.0, abs=0.05)
    assert hits[0].shift_semitones is None
    assert peer.query(np.zeros((2, RATE_HZ), dtype=np.float32), RATE_HZ) == []
