"""Judging again in a past generation, as a user does it: `check --generation` and `replay`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from structlog.testing import capture_logs

from pipeline import equipment
from pipeline.events import verdict_event
from pipeline.evidence import Evidence
from soundalike.commands.replay import differences

Run = Callable[..., "CompletedProcess[str]"]
AUDIO = Path(__file__).parents[2] / "soundalike" / "demo_audio"
COPY = AUDIO / "secret-garden.opus"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """In one process, equipment of earlier commands follows the catalog and would tell so on stdout."""
    with capture_logs():
        yield


@pytest.fixture
def changing(data: Path, tmp_path: Path) -> Path:
    """A copy of the catalog of two tracks, which a test may change."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


def judged(run: Run, data: Path, *more: str | Path) -> Evidence:
    """By a catalog opened anew, as each process does: one that is kept may lag a second behind its tables."""
    equipment._opened.clear()
    return Evidence.model_validate_json(run("check", "--json", "--data", data, *more, COPY).stdout)


def test_a_decision_is_replayed_after_the_catalog_went_on(cli: Run, changing: Path, tmp_path: Path) -> None:
    flagged = judged(cli, changing)
    record = tmp_path / "evidence.json"
    record.write_text(flagged.model_dump_json())
    cli("catalog", "terms", "add", "--rightsholder", "Firn Records", "--use", "verbatim_use", "--allow",
        "--data", changing)  # fmt: skip
    licensed = judged(cli, changing)
    cli("catalog", "suppress", "add", "secret-garden", "--reason", "a loop", "--data", changing)
    suppressed = judged(cli, changing)
    cli("catalog", "remove", "secret-garden", "--data", changing)
    clear = judged(cli, changing)

    verdicts = [(one.verdict.value, one.rule) for one in (flagged, licensed, suppressed, clear)]
    assert [verdict for verdict, _ in verdicts] == ["flagged", "licensed", "clear", "clear"]
    again = [
        judged(cli, changing, "--generation", str(one.index.generation))
        for one in (flagged, licensed, suppressed, clear)
    ]
    assert [(one.verdict.value, one.rule) for one in again] == verdicts
    assert [one.index for one in again] == [one.index for one in (flagged, licensed, suppressed, clear)]
    assert again[0] == flagged
    assert again[2].suppressed[0].suppression_reason == "a loop"

    same = cli("replay", record, "--data", changing)
    assert (same.returncode, same.stderr) == (0, "")
    assert same.stdout.startswith("secret-garden.opus: the same: flagged, unlicensed_use (generation 2,")
    document = cli("replay", record, COPY, "--json", "--data", changing)
    assert json.loads(document.stdout) == json.loads(flagged.model_dump_json())


def test_an_event_is_replayed_by_the_terms_of_its_time(cli: Run, changing: Path, tmp_path: Path) -> None:
    cli("catalog", "terms", "add", "--rightsholder", "Firn Records", "--use", "verbatim_use", "--allow",
        "--from", "2026-01-01", "--data", changing)  # fmt: skip
    licensed = judged(cli, changing)
    cli("catalog", "terms", "add", "--rightsholder", "Firn Records", "--use", "verbatim_use", "--deny",
        "--track", "secret-garden", "--data", changing)  # fmt: skip
    event = tmp_path / "event.json"
    event.write_bytes(verdict_event(licensed, time=datetime.now(UTC)).to_bytes())

    late = cli("replay", event, "--data", changing)

    assert late.returncode == 1
    assert late.stdout.splitlines()[0].startswith("secret-garden.opus: another answer: flagged")
    assert "  verdict: licensed then, flagged now" in late.stdout.splitlines()
    assert "consent: Firn Records allow verbatim_use of secret-garden by " in late.stdout


def test_a_changed_statement_is_another_answer(cli: Run, changing: Path, tmp_path: Path) -> None:
    record = tmp_path / "evidence.json"
    record.write_text(judged(cli, changing, "--ai-vocals").model_dump_json())

    assert cli("replay", record, "--data", changing, "--ai-vocals").returncode == 0
    without = cli("replay", record, "--data", changing)
    assert without.returncode == 1
    assert "  rule: unlicensed_ai_derivative then, unlicensed_use now" in without.stdout.splitlines()
    assert "  counts as machine-made by: disclosure then, none now" in without.stdout.splitlines()


def test_what_can_not_be_judged_again_is_said_in_one_line(cli: Run, changing: Path, tmp_path: Path) -> None:
    evidence = judged(cli, changing)
    cli("catalog", "remove", "alien-signal", "--data", changing)
    record, text, two = tmp_path / "evidence.json", tmp_path / "text.json", tmp_path / "two.jsonl"
    record.write_text(evidence.model_dump_json())
    text.write_text("[1, 2]")
    two.write_text(evidence.model_dump_json() + "\n" + evidence.model_dump_json() + "\n")
    stored = evidence.model_copy(update={"audio": evidence.audio.model_copy(update={"uri": "s3://up/1.wav"})})
    remote = tmp_path / "remote.json"
    remote.write_text(stored.model_dump_json())
    later = tmp_path / "later.json"
    later.write_text(
        evidence.model_copy(update={"index": evidence.index.model_copy(update={"generation": 99})})
        .model_dump_json()
    )  # fmt: skip
    check = ("check", "--data", changing, COPY)
    complaints = {
        (*check, "--generation", "99"): "never at generation 99 (it is at 3)",
        (*check, "--generation", "0"): "it holds nothing",
        (*check, "--generation", "x"): "--generation",
        (*check, "--at", "2026-01-01"): "--at belongs to --generation",
        (*check, "--generation", "2", "--at", "2020-01-01"): "name a later instant",
        (*check, "--generation", "2", "--at", "soon"): "'soon' is no date",
        ("replay", record, AUDIO / "alien-signal.opus", "--data", changing): "is not what was judged",
        ("replay", text, "--data", changing): "holds no evidence record",
        ("replay", two, "--data", changing): "holds 2 records",
        ("replay", remote, "--data", changing): "lay at s3://up/1.wav; name a local copy",
        ("replay", later, "--data", changing): "never at generation 99",
        ("replay", tmp_path / "nowhere.json", "--data", changing): "No such file or directory",
        ("replay", record, tmp_path / "nowhere.wav", "--data", changing): "check the path",
    }
    for asked, words in complaints.items():
        done = cli(*asked)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), asked
        assert words in done.stderr, asked

    for file in (changing / "prints").iterdir():
        file.unlink()
    shutil.rmtree(changing / "shards")
    swept = cli("replay", record, "--data", changing)
    assert (swept.returncode, swept.stderr.count("\n")) == (2, 1)
    assert "generation 2 can't be searched again, for want of its track" in swept.stderr


def test_differences_name_what_a_verdict_rests_on(cli: Run, data: Path) -> None:
    then = judged(cli, data)
    moved = then.matches[0].model_copy(update={"score": then.matches[0].score + 0.01})
    assert differences(then, then.model_copy(update={"matches": (moved,)})) == []
    assert differences(then, then.model_copy(update={"matches": ()})) == [
        "matched: secret-garden then, none now"
    ]
