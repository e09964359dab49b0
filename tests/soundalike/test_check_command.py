"""`soundalike check` on real recordings: verdicts, exit codes and the contract of its JSON."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import mutagen
import pytest

from pipeline.evidence import Evidence

Run = Callable[..., "CompletedProcess[str]"]
AUDIO = Path(__file__).parents[2] / "soundalike" / "demo_audio"
COPY = AUDIO / "secret-garden.opus"
UNRELATED = AUDIO / "boom-boom-boom.opus"


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    file = tmp_path / "shopping list.mp3"
    file.write_text("lemons, strings\n" * 50)
    return file


def test_one_record_per_file_and_line(cli: Run, data: Path, text_file: Path) -> None:
    done = cli("check", "--json", "--data", data, COPY, UNRELATED, text_file)

    assert done.returncode == 2
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [d["upload_id"] for d in documents] == [
        "secret-garden.opus",
        "boom-boom-boom.opus",
        "shopping list.mp3",
    ]
    assert [d["verdict"] for d in documents] == ["flagged", "clear", "undecodable"]
    flagged, clear, undecodable = (Evidence.model_validate(d) for d in documents)
    assert flagged.rule == "unlicensed_use"
    (match,) = flagged.matches
    assert match.track_id == "secret-garden"
    assert (match.query_start_s, match.reference_start_s) == pytest.approx((0.0, 0.0), abs=0.5)
    assert match.query_end_s == pytest.approx(flagged.audio.duration_s, abs=0.5)
    assert match.shift_semitones == pytest.approx(0.0, abs=0.25)
    assert match.tempo_ratio == pytest.approx(1.0, abs=0.01)
    assert match.coverage > 0.95
    assert [(c.rightsholder, c.decision) for c in flagged.consent] == [("Firn Records", "deny")]
    assert clear.matches == ()
    assert (clear.index.tracks, flagged.index.generation) == (2, clear.index.generation)
    assert undecodable.audio.sha256 is not None
    assert undecodable.audio.codec is None
    assert "shopping%20list.mp3" in undecodable.reason or "shopping list.mp3" in undecodable.reason


def test_the_json_has_the_names_of_the_contract(cli: Run, data: Path) -> None:
    done = cli("check", "--json", "--data", data, COPY)

    document = json.loads(done.stdout)
    assert {
        "upload_id", "verdict", "rule", "reason", "audio", "matches", "ai", "consent", "policy", "index",
        "models",
    } <= set(document)  # fmt: skip
    assert {
        "uri", "sha256", "codec", "container", "sample_rate_hz", "channels", "duration_s", "loudness_lufs",
    } <= set(document["audio"])  # fmt: skip
    assert {
        "track_id", "title", "kind", "query_start_s", "query_end_s", "reference_start_s", "reference_end_s",
        "shift_semitones", "tempo_ratio", "coverage", "score", "false_positive_rate",
    } <= set(document["matches"][0])  # fmt: skip
    assert {"probability", "low", "high", "known", "segments", "signs", "provenance"} <= set(document["ai"])
    assert {"rightsholder", "use", "decision", "term_id", "version"} <= set(document["consent"][0])


def test_the_second_ear_listens_and_the_marks_are_read(cli: Run, data: Path, tmp_path: Path) -> None:
    tagged = tmp_path / "tagged.opus"
    shutil.copy(UNRELATED, tagged)
    file = mutagen.File(tagged)
    file["comment"] = "made with suno; created=2026-03-13T05:04:16Z; id=4262"
    file.save()

    plain, marked = (
        Evidence.model_validate_json(cli("check", "--json", "--data", data, path).stdout)
        for path in (UNRELATED, tagged)
    )

    assert plain.ai.known
    assert plain.ai.probability is not None
    assert plain.ai.segments
    assert plain.ai.signs
    assert plain.ai.grounds == ()
    assert (plain.rule, marked.rule) == ("no_match", "ai_undisclosed")
    assert marked.ai.grounds == ("mark",)
    assert marked.ai.probability == plain.ai.probability
    assert [model.name for model in plain.models][1:] == ["soundalike-second-ear"]
    assert len(plain.models[1].sha256) == 64


def test_a_denial_against_a_tag_is_flagged_and_ai_only_where_asked(
    cli: Run, data: Path, tmp_path: Path
) -> None:
    tagged = tmp_path / "tagged.opus"
    shutil.copy(UNRELATED, tagged)
    file = mutagen.File(tagged)
    file["artist"] = "Udio v1.5"
    file.save()

    denied = cli("check", "--data", data, "--no-ai-vocals", "--no-ai-instruments", tagged)
    assert denied.returncode == 1
    assert denied.stdout.startswith("tagged.opus  flagged  ai_contradicted\n")
    assert "disclosure contradictory: no AI: vocals, instruments" in " ".join(denied.stdout.split())
    assert "machine-made by its sound: 0." in denied.stdout
    assert cli("check", "--data", data, "--flag-ai", "undisclosed", tagged).returncode == 1
    assert cli("check", "--data", data, "--flag-ai", "undisclosed", "--ai-vocals", tagged).returncode == 0
    assert cli("check", "--data", data, "--flag-ai", "always", "--ai-vocals", tagged).returncode == 1
    assert "--flag-ai" in cli("check", "--data", data, "--flag-ai", "sometimes", tagged).stderr


def test_exit_codes(cli: Run, data: Path) -> None:
    assert cli("check", "--data", data, UNRELATED).returncode == 0
    assert cli("check", "--data", data, COPY, UNRELATED).returncode == 1


def test_for_people(cli: Run, data: Path) -> None:
    done = cli("check", "--data", data, "--ai-vocals", COPY)

    assert done.stdout.startswith("secret-garden.opus  flagged  unlicensed_ai_derivative\n")
    assert "Firn Records has no term that allows the AI derivative." in " ".join(done.stdout.split())
    assert "ogg/opus, 48000 Hz, 2 channels" in done.stdout


def test_a_file_that_is_not_there_is_not_judged(cli: Run, data: Path) -> None:
    done = cli("check", "--json", "--data", data, "no-such-song.wav")

    assert done.returncode == 2
    document = json.loads(done.stdout)
    assert document["verdict"] == "undecodable"
    assert "no-such-song.wav" in document["reason"]


def test_a_file_with_an_odd_name_is_judged_like_any_other(cli: Run, data: Path, tmp_path: Path) -> None:
    names = ["line\nbreak.opus", "x" * 245 + ".opus", os.fsdecode(b"caf\xe9.opus"), "100% # ?.opus"]
    for name in names:
        (tmp_path / name).write_text("no audio")

    done = cli("check", "--json", "--data", data, *(tmp_path / name for name in names))

    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert [d["upload_id"] for d in documents] == ["line�break.opus", "x" * 200, "caf�.opus", "100% # ?.opus"]
    assert {d["verdict"] for d in documents} == {"undecodable"}
    assert all("no audio format that is accepted" in d["reason"] for d in documents)


def test_a_territory_that_is_none_is_refused(cli: Run, data: Path) -> None:
    done = cli("check", "--data", data, "--territory", "UK", COPY)

    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "soundalike: --territory: 'UK' is no territory of ISO 3166-1; write two capitals as DE or US\n"
    )


def test_without_a_catalog_it_says_what_to_do(cli: Run, tmp_path: Path) -> None:
    done = cli("check", "--data", tmp_path / "nothing", COPY)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "`soundalike catalog add` makes one" in done.stderr


def test_a_catalog_that_another_model_heard_is_refused(cli: Run, data: Path, tmp_path: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(data, other)
    with sqlite3.connect(other / "catalog.sqlite") as connection:
        connection.execute("UPDATE prints SET model_sha256 = ?", ("f" * 64,))
    connection.close()

    done = cli("check", "--json", "--data", other, COPY)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "has heard none of the catalog's 2 tracks" in done.stderr
