"""The whole way without a broker, command by command: publish, run, flags, dead letters, replay."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from pipeline.events import dead_letter_event
from soundalike.errors import MalformedEvent

Run = Callable[..., "CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "soundalike" / "demo_audio"
ALLOWED = AUDIO.as_uri() + "/"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def lines(spool: Path, topic: str) -> list[dict[str, object]]:
    text = (spool / f"{topic}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_from_publish_to_flag_to_replay(
    soundalike: Run, cli: Run, data: Path, spool: Path, tmp_path: Path
) -> None:
    where = ("--spool", spool)
    outside = tmp_path / "outside.wav"
    outside.write_bytes((AUDIO / "boom-boom-boom.opus").read_bytes())

    published = cli("publish", *where, AUDIO / "secret-garden.opus", AUDIO / "boom-boom-boom.opus", outside)
    assert published.returncode == 0, published.stderr
    copy_id, clear_id, outside_id = published.stdout.split()
    with (spool / "uploads.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"specversion": "1.0", "broken\n')

    ran = soundalike("run", *where, "--once", "--data", data, "--allow-uri", ALLOWED)
    assert ran.returncode == 0, ran.stderr
    verdicts = {event["data"]["upload_id"]: event["data"] for event in lines(spool, "verdicts")}  # type: ignore[index,call-overload]
    assert {upload_id: v["verdict"] for upload_id, v in verdicts.items()} == {
        copy_id: "flagged",
        clear_id: "clear",
        outside_id: "undecodable",
    }
    assert "none of the allowed prefixes" in verdicts[outside_id]["reason"]
    logged = [json.loads(line) for line in ran.stderr.splitlines()]
    assert {entry["upload_id"] for entry in logged if entry["event"] == "judged"} == set(verdicts)

    flags = cli("flags", *where, "--once")
    (line,) = flags.stdout.splitlines()
    assert copy_id in line
    assert "Reuses “secret-garden”" in line

    listed = cli("dead-letters", "list", *where, "--json")
    (letter,) = [json.loads(line) for line in listed.stdout.splitlines()]
    assert (letter["stage"], letter["reason"]) == ("parse", "malformed_event")
    assert letter["id"][:12] in cli("dead-letters", "list", *where).stdout
    others = cli("dead-letters", "list", *where, "--reason", "fetch_failed")
    assert others.stdout == "no dead letters\n"

    replayed = cli("dead-letters", "replay", letter["id"][:12], *where)
    assert (replayed.returncode, replayed.stdout) == (0, "1 replayed\n")
    originals = (spool / "uploads.jsonl").read_text(encoding="utf-8").splitlines()
    assert originals[-1] == originals[3] == '{"specversion": "1.0", "broken'
    unknown = cli("dead-letters", "replay", "ffffff", *where)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)


def test_replay_all_goes_on_where_the_last_one_ended(cli: Run, spool: Path) -> None:
    where = ("--spool", spool)
    spool.mkdir(exist_ok=True)
    cli("flags", *where, "--once")  # makes the topics
    letters = [
        dead_letter_event(
            value=value, key=None, error=MalformedEvent("broken"), stage="parse", read_from=f"uploads/0@{n}"
        ).to_bytes()
        for n, value in enumerate((b"one", b"two", b"two"))
    ]
    # The second comes twice, as at-least-once delivery may have it.
    content = b"".join(letter + b"\n" for letter in (*letters, letters[1]))
    (spool / "uploads.dlq.jsonl").write_bytes(content)

    assert cli("dead-letters", "replay", "--all", *where).stdout == "3 replayed\n"
    assert cli("dead-letters", "replay", "--all", *where).stdout == "0 replayed\n"
    assert (spool / "uploads.jsonl").read_text(encoding="utf-8") == "one\ntwo\ntwo\n"


def test_without_a_catalog_the_job_does_not_start(soundalike: Run, spool: Path, tmp_path: Path) -> None:
    began_s = time.monotonic()

    done = soundalike("run", "--spool", spool, "--data", tmp_path / "none", "--allow-uri", ALLOWED)

    assert done.returncode == 2
    assert "`soundalike catalog add` makes one" in done.stderr.splitlines()[-1]
    assert time.monotonic() - began_s < 120.0  # at once, not after the supervisor's restarts (minutes)


def test_a_signal_drains_and_exits_with_zero(data: Path, spool: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "soundalike", "run", "--spool", spool, "--data", data]
    log = tmp_path / "log"
    with log.open("wb") as output:
        job = subprocess.Popen(
            [*map(str, command), "--allow-uri", ALLOWED, "--metrics-port", "0"], cwd=ROOT, stderr=output
        )
    try:
        marker = spool / ".progress"
        publish = [
            sys.executable,
            "-m",
            "soundalike",
            "publish",
            "--spool",
            spool,
            AUDIO / "boom-boom-boom.opus",
        ]
        subprocess.run([*map(str, publish)], cwd=ROOT, check=True, timeout=60, stdout=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 120
        while not marker.exists():
            assert job.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.2)
        job.send_signal(signal.SIGTERM)
        assert job.wait(30) == 0, log.read_text()
    finally:
        job.kill()
        job.wait()
    assert len(lines(spool, "verdicts")) == 1
