"""`soundalike catalog`, as its user meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import unicodedata
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from index.catalog import Catalog
from soundalike.commands import catalog as command
from soundalike.commands.catalog_ingest import hash_file
from soundalike.commands.catalog_terms import parse_instant
from soundalike.errors import AudioNotFound, CatalogError, FetchFailed, NotAudio, SettingsError, UnknownTrack

MODEL = "a" * 64
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Heard:
    duration_s: float
    vectors: NDArray[np.int8]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"duration_s": np.array([self.duration_s]), "vectors": self.vectors}


@dataclass
class Ear:
    """In place of decoder and network: hears any file but those that say `noise` or `silence`."""

    heard: list[str]
    model_sha256: str = MODEL

    def __call__(self, file: Path) -> Heard:
        self.heard.append(file.name)
        content = file.read_bytes()
        if content.startswith(b"noise"):
            raise NotAudio(f"{file.name} holds no audio")
        windows = 0 if content.startswith(b"silence") else 4
        return Heard(duration_s=61.5, vectors=np.ones((windows, 8), np.int8))


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch) -> Ear:
    ear = Ear([])
    monkeypatch.setattr(command, "_ear", lambda _embedder: (ear, ear.model_sha256))
    return ear


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str
    error: BaseException | None

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `soundalike catalog …` on the test's own data folder."""
    monkeypatch.setenv("SOUNDALIKE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "120")

    def run_it(*arguments: str | Path) -> Ran:
        result = CliRunner().invoke(command.app, [str(argument) for argument in arguments])
        error = None if isinstance(result.exception, SystemExit) else result.exception
        return Ran(result.exit_code, result.stdout, result.stderr, error)

    return run_it


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    (folder / "one.flac").write_bytes(b"one")
    (folder / "album" / "two.MP3").write_bytes(b"two")
    (folder / "cover.jpg").write_bytes(b"picture")
    return folder


def listed(run: Callable[..., Ran]) -> dict[str, dict[str, Any]]:
    return {track["track_id"]: track for track in run("list", "--json").documents}


def test_a_folder_is_loaded_and_listed(run: Any, ear: Ear, music: Path) -> None:
    ran = run("add", music, "--rightsholder", "Firn Records")
    assert (ran.exit_code, ran.error) == (0, None)
    assert "2 added" in ran.stdout
    tracks = listed(run)
    assert list(tracks) == ["two", "one"]
    assert tracks["one"]["title"] == "one"
    assert tracks["one"]["duration_s"] == 61.5
    assert tracks["one"]["rightsholders"] == [{"name": "Firn Records", "role": "rightsholder", "share": "1"}]
    shown = run("list").stdout
    assert re.search(r"one +one +1:02 +Firn Records 1 ", shown)
    assert "2 tracks, generation 2" in shown


def test_what_is_named_like_audio_and_is_no_file_is_listed(run: Any, ear: Ear, music: Path) -> None:
    (music / "gone.wav").symlink_to(music / "nowhere.wav")
    os.mkfifo(music / "album" / "pipe.ogg")  # opening it would wait for ever
    (music / "folder.mp3").mkdir()
    ran = run("add", music)
    assert ran.exit_code == 2
    assert "2 added, 2 failed" in ran.stdout
    assert ran.stderr.split("could not be added:\n")[1].splitlines() == [
        f"  {music / 'album' / 'pipe.ogg'}: not_found: is no file, or a link to one that is gone",
        f"  {music / 'gone.wav'}: not_found: is no file, or a link to one that is gone",
    ]


def test_a_second_run_skips_what_is_there_without_hearing_it(run: Any, ear: Ear, music: Path) -> None:
    run("add", music)
    ear.heard.clear()
    (music / "three.wav").write_bytes(b"three")
    ran = run("add", music)
    assert ran.exit_code == 0
    assert "1 added" in ran.stdout
    assert "2 skipped" in ran.stdout
    assert "skipped   one" in ran.stderr
    assert ear.heard == ["three.wav"]


def test_one_bad_file_in_a_batch_holds_up_nobody(run: Any, ear: Ear, music: Path) -> None:
    (music / "bad.mp3").write_bytes(b"noise")
    (music / "mute.ogg").write_bytes(b"silence")
    ran = run("add", music, music / "absent.wav")
    assert ran.exit_code == 2
    assert "2 added, 3 failed" in ran.stdout
    failures = ran.stderr.split("could not be added:\n")[1].splitlines()
    assert failures[0] == f"  {music / 'absent.wav'}: not_found: there is no such file or folder"
    assert failures[1] == f"  {music / 'bad.mp3'}: not_audio: bad.mp3 holds no audio"
    assert failures[2].startswith(f"  {music / 'mute.ogg'}: empty: ")
    assert listed(run).keys() == {"one", "two"}
    (music / "bad.mp3").write_bytes(b"mended")
    assert "1 added, 2 skipped, 1 failed" in run("add", music).stdout


def test_a_taken_id_and_the_same_audio_twice_are_said(
    run: Any, ear: Ear, tmp_path: Path, music: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "one.wav").write_bytes(b"another recording")
    (other / "copy.wav").write_bytes(b"two")
    run("add", music)
    ran = run("add", other)
    assert ran.exit_code == 2
    assert "added     copy, the same audio as two" in ran.stderr
    assert "duplicate_track: the track id 'one' is taken by another recording" in ran.stderr
    assert ear.heard.count("one.wav") == 0
    before = listed(run)["one"]["audio_sha256"]
    replaced = run("add", other, "--replace")
    assert (replaced.exit_code, "2 replaced" in replaced.stdout) == (0, True)
    assert listed(run)["one"]["audio_sha256"] != before


def test_a_table_gives_ids_codes_and_shares(run: Any, ear: Ear, music: Path) -> None:
    table = music / "tracks.csv"
    table.write_text(
        "track_id,file,title,artists,isrc,release_date,rightsholders\n"
        "alp-1,one.flac,Alpenglow,Anna|Bo,GB-AYE-06-01498,2024-05-17,Firn:1/3:label|Verlag:2/3:publisher\n"
        "alp-2,two.MP3,,,,,\n"
        "alp-3,three.wav,,,nonsense,,\n"
        "alp-4,four.wav,,,,,\n"
    )
    ran = run("add", "--metadata", table, "--rightsholder", "Fallback", music / "album")
    assert ran.exit_code == 2
    assert f"  {table}: catalog: line 4, column isrc: 'nonsense' is no ISRC" in ran.stderr
    assert f"  {music / 'four.wav'}: not_found: " in ran.stderr
    tracks = listed(run)
    assert tracks.keys() == {"alp-1", "alp-2"}
    first, second = tracks["alp-1"], tracks["alp-2"]
    assert (first["title"], first["artists"], first["isrc"]) == ("Alpenglow", ["Anna", "Bo"], "GBAYE0601498")
    assert first["release_date"] == "2024-05-17"
    assert [(r["name"], r["role"], r["share"]) for r in first["rightsholders"]] == [
        ("Firn", "label", "0.333333333333"),
        ("Verlag", "publisher", "0.666666666667"),
    ]
    assert second["rightsholders"] == [{"name": "Fallback", "role": "rightsholder", "share": "1"}]


def test_another_model_or_a_damaged_print_is_heard_anew(
    run: Any, ear: Ear, tmp_path: Path, music: Path
) -> None:
    run("add", music)
    ear.model_sha256 = "b" * 64
    assert "2 refreshed" in run("add", music).stdout
    assert "2 skipped" in run("add", music).stdout
    for file in (tmp_path / "data" / "prints").iterdir():
        file.write_bytes(b"damage")
    assert "2 refreshed" in run("add", music).stdout
    with Catalog.open(tmp_path / "data") as catalog:
        for model in (MODEL, "b" * 64):
            assert catalog.manifest(model_sha256=model).files.keys() == {"one", "two"}
        catalog.load_manifest_as(
            catalog.manifest(model_sha256="b" * 64), decode=lambda arrays: arrays["vectors"]
        )


def test_names_are_compared_as_people_read_them(run: Any, ear: Ear, tmp_path: Path) -> None:
    """macOS writes file names decomposed, people type composed."""
    composed, decomposed = "Flöte", unicodedata.normalize("NFD", "Flöte")
    (tmp_path / f"{decomposed}.wav").write_bytes(b"x")
    run("add", tmp_path / f"{decomposed}.wav", "--rightsholder", f"{decomposed} Verlag")
    assert list(listed(run)) == [composed]
    ran = run("terms", "add", "--rightsholder", f"{composed} Verlag", "--use", "ai_training", "--allow")
    assert (ran.exit_code, "note" in ran.stderr) == (0, False)


def test_an_interruption_keeps_what_was_added_and_tells_how_to_go_on(
    run: Any, ear: Ear, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(file: Path) -> Heard:
        if file.name == "one.flac":
            raise KeyboardInterrupt
        return ear(file)

    monkeypatch.setattr(command, "_ear", lambda _embedder: (interrupted, MODEL))
    ran = run("add", music)
    assert ran.exit_code == 130
    assert "Run the same command again" in ran.stderr
    assert listed(run).keys() == {"two"}


def test_tracks_are_removed_and_unknown_ones_named(run: Any, ear: Ear, music: Path) -> None:
    run("add", music)
    ran = run("remove", "one", "nowhere", "two")
    assert ran.exit_code == 2
    assert "removed one (generation 3)" in ran.stdout
    assert "no track 'nowhere'" in ran.stderr
    assert "The catalog is empty" in run("list").stdout
    assert run("list", "--json").stdout == ""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["Firn:0.5"], r"sum to 0\.5, not to 1"),
        (["Firn:0.5", "Verlag:0.4:publisher"], "not to 1"),
        (["Firn", "Verlag"], "'Firn' has no share"),
        (["Firn:1:king"], "not NAME:SHARE:ROLE"),
    ],
)
def test_shares_are_checked_before_anything_is_loaded(
    run: Any, ear: Ear, music: Path, given: list[str], message: str
) -> None:
    options = [argument for holder in given for argument in ("--rightsholder", holder)]
    ran = run("add", music, *options)
    assert isinstance(ran.error, CatalogError)
    assert re.search(message, str(ran.error))
    assert ear.heard == []


def test_nothing_to_add_is_a_mistake_of_usage(run: Any, ear: Ear, tmp_path: Path) -> None:
    ran = run("add")
    assert (ran.exit_code, "name audio files or folders" in ran.stderr) == (2, True)
    (tmp_path / "empty").mkdir()
    ran = run("add", tmp_path / "empty")
    assert (ran.exit_code, "the folder holds no audio file" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments", [["list"], ["remove", "x"], ["terms", "list"], ["terms", "withdraw", "x"]]
)
def test_an_absent_catalog_is_not_made_by_reading(run: Any, tmp_path: Path, arguments: list[str]) -> None:
    ran = run(*arguments)
    assert isinstance(ran.error, CatalogError)
    assert "`soundalike catalog add` makes one" in str(ran.error)
    assert not (tmp_path / "data").exists()


def test_terms_are_recorded_superseded_withdrawn_and_listed(run: Any, ear: Ear, music: Path) -> None:
    run("add", music, "--rightsholder", "Firn")
    ran = run(
        "terms", "add", "--rightsholder", "Firn", "--use", "ai_derivative", "--allow", "--term-id", "t1",
        "--track", "one", "--licensee", "studio-x", "--territory", "DE", "--territory", "FR",
        "--from", "2026-01-01", "--until", "2026-12-31", "--reference", "contract 17",
        "--revenue-share", "1/4", "--share-terms", "paid quarterly",
    )  # fmt: skip
    assert (ran.exit_code, ran.stderr) == (0, "")
    (term,) = run("terms", "list", "--json").documents
    recorded_at = term.pop("recorded_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", recorded_at)
    assert term == {
        "term_id": "t1", "version": 1, "rightsholder": "Firn", "track_id": "one", "use": "ai_derivative",
        "decision": "allow", "valid_from": "2026-01-01T00:00:00+00:00",
        "valid_until": "2027-01-01T00:00:00+00:00", "territories": ["DE", "FR"],
        "licensee": "studio-x", "reference": "contract 17",
        "revenue_share": "0.25", "share_terms": "paid quarterly",
    }  # fmt: skip
    again = ("terms", "add", "--rightsholder", "Firn", "--use", "ai_derivative", "--deny", "--term-id", "t1")
    assert "there is a term t1 already" in str(run(*again).error)
    assert "must keep its rightsholder" in str(run(*again, "--new-version").error)
    assert run(*again, "--new-version", "--track", "one").exit_code == 0
    assert run("terms", "withdraw", "t1").exit_code == 0
    assert [found["version"] for found in run("terms", "list", "--json", "--history").documents] == [1, 2, 3]
    assert [found["version"] for found in run("terms", "list", "--json").documents] == [3]
    assert run("terms", "list", "--as-of", "2020-01-01", "--json").stdout == ""
    assert "t1 version 3: Firn denies ai_derivative of track one to anybody" in run("terms", "list").stdout
    assert (
        "No terms of Nobody: every use is denied" in run("terms", "list", "--rightsholder", "Nobody").stdout
    )
    before = run("terms", "list", "--as-of", "2001-01-01").stdout
    assert "No terms on record by 2001-01-01: every use is denied" in before


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--territory", "XX"], CatalogError, "'XX' is no territory"),
        (["--territory", "uk"], CatalogError, "'uk' is no territory"),
        (["--from", "2026-02-01", "--until", "2026-01-01"], CatalogError, "before it begins"),
        (["--from", "yesterday"], SettingsError, "--from: 'yesterday' is no date"),
        (["--until", "2026-01-01T10:00"], SettingsError, "--until: 2026-01-01T10:00 has no time zone"),
        (["--until", "9999-12-31"], SettingsError, "too far away"),
        (["--licensee", ""], CatalogError, "the licensee of term"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(
    run: Any, options: list[str], error: type[Exception], message: str
) -> None:
    ran = run("terms", "add", "--rightsholder", "Firn", "--use", "ai_training", "--allow", *options)
    assert isinstance(ran.error, error)
    assert message in str(ran.error)


@pytest.mark.parametrize(
    "options",
    [
        ["--rightsholder", "Firn", "--use", "ai_training"],
        ["--rightsholder", "Firn", "--allow"],
        ["--rightsholder", "Firn", "--use", "piracy", "--allow"],
        ["--rightsholder", "Firn", "--use", "ai_training", "--allow", "--new-version"],
    ],
)
def test_a_term_that_says_too_little_is_a_mistake_of_usage(run: Any, options: list[str]) -> None:
    ran = run("terms", "add", *options)
    assert (ran.exit_code, ran.error) == (2, None)


def test_a_term_that_speaks_of_nothing_yet_is_noted(run: Any, ear: Ear, music: Path) -> None:
    run("add", music, "--rightsholder", "Firn")
    add = ("terms", "add", "--use", "ai_training", "--allow", "--rightsholder")
    assert "no track names the rightsholder 'Firm' yet" in run(*add, "Firm").stderr
    assert "holds no track 'three' yet" in run(*add, "Firn", "--track", "three").stderr
    assert "Firm holds no share of track one" in run(*add, "Firm", "--track", "one").stderr
    assert run(*add, "Firn", "--track", "one").stderr == ""


def test_accounts_are_linked_listed_and_unlinked(run: Any, ear: Ear, music: Path, tmp_path: Path) -> None:
    run("add", music, "--rightsholder", "Firn")
    assert run("account", "add", "firn-uploads", "Firn").exit_code == 0
    assert "already speaks" in str(run("account", "add", "firn-uploads", "Firn").error)
    assert "no track names" in run("account", "add", "x", "Firm").stderr
    accounts = run("account", "list", "--json").documents
    assert [(one["account"], one["rightsholder"]) for one in accounts] == [
        ("firn-uploads", "Firn"),
        ("x", "Firm"),
    ]
    with Catalog.open(tmp_path / "data") as catalog:
        assert catalog.is_own_upload("one", "firn-uploads")
    assert run("account", "remove", "firn-uploads", "Firn").exit_code == 0
    assert "firn-uploads" not in run("account", "list").stdout


def test_upgrade_makes_an_empty_catalog(run: Any, tmp_path: Path) -> None:
    assert "up to date (0 tracks, generation 0)" in run("upgrade").stdout
    with Catalog.open(tmp_path / "data") as catalog, pytest.raises(UnknownTrack):
        catalog.track("any")


@pytest.mark.parametrize(
    ("text", "end_of_day", "expected"),
    [
        ("2026-03-31", False, "2026-03-31T00:00:00+00:00"),
        ("2026-03-31", True, "2026-04-01T00:00:00+00:00"),
        ("2026-03-31T12:00+02:00", True, "2026-03-31T12:00:00+02:00"),
        ("2026-03-31T12:00Z", False, "2026-03-31T12:00:00+00:00"),
    ],
)
def test_instants(text: str, end_of_day: bool, expected: str) -> None:
    assert parse_instant(text, option="--at", end_of_day=end_of_day).isoformat() == expected


@pytest.mark.parametrize("of", ["", "add", "remove", "list", "upgrade", "terms", "terms add", "account add"])
def test_every_command_has_help_with_examples(run: Any, of: str) -> None:
    ran = run(*of.split(), "--help")
    assert ran.exit_code == 0
    if of in {"add", "remove", "list", "terms add", "account add"}:
        assert "soundalike catalog " in ran.stdout


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, soundalike.commands.catalog\n"
        "heavy = ('torch', 'faiss', 'apache_beam', 'sqlalchemy', 'numpy', 'librosa', 'alembic')\n"
        "print([module for module in heavy if module in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert loaded.stdout.strip() == "[]"


def sing(file: Path, *, frequency_hz: float, seconds: float = 6.0) -> None:
    time_s = np.arange(int(seconds * 22_050)) / 22_050
    tone = sum(np.sin(2 * np.pi * frequency_hz * k * time_s) / k for k in (1, 2, 3, 4, 5))
    samples = (8000 * tone * (0.5 + 0.5 * np.sin(2 * np.pi * 2.0 * time_s))).astype("<i2")
    with wave.open(str(file), "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(22_050)
        opened.writeframes(samples.tobytes())


def test_real_recordings_through_the_real_decoder_and_network(tmp_path: Path) -> None:
    """In a process of its own, stopped by an interrupt and taken up again."""
    music = tmp_path / "music"
    music.mkdir()
    for number in range(3):
        sing(music / f"tone{number}.wav", frequency_hz=220.0 * 1.3**number)
    (music / "text.mp3").write_text("This is no audio.\n" * 100)
    environment = os.environ | {"SOUNDALIKE_DATA": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}
    add = [sys.executable, "-m", "soundalike", "catalog", "add", str(music), "--rightsholder", "Firn"]
    started = subprocess.Popen(add, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith("added"):
            break
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=200)  # a loaded machine is slow
    assert started.returncode in (130, 2), errors  # 2: it had finished before the signal came
    ran = subprocess.run(
        add, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 2
    assert "text.mp3: not_audio: " in ran.stderr
    assert "Traceback" not in ran.stderr
    with Catalog.open(tmp_path / "data") as catalog:
        prints = catalog.load_prints()
        assert prints.keys() == {"tone0", "tone1", "tone2"}
        for track_id, heard in prints.items():
            assert heard.duration_s == pytest.approx(6.0)
            assert len(heard.vectors) > 5
            assert catalog.track(track_id).duration_s == heard.duration_s


def test_a_file_that_is_there_but_closed_to_us_is_not_called_missing(tmp_path: Path) -> None:
    """A folder can't be read as a file by anybody, not even by root in a container."""
    with pytest.raises(FetchFailed, match="let this program read it"):
        hash_file(tmp_path)
    with pytest.raises(AudioNotFound, match="check the path"):
        hash_file(tmp_path / "song.wav")
