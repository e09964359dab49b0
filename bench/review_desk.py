"""How quick and how sure the review desk is, on a real server with a real browser and many reviewers.

    python -m bench.review_desk --cases 10000 --reviewers 20 --minutes 10

Fills a SQLite database, starts `soundalike review serve` on it as a process of its own, opens cases in
headless Chromium and listens, then lets reviewers decide over HTTP (bench.review_crowd). Prints one JSON
document. A double decision or a lost one is an error, not a number. Needs Chromium, or SOUNDALIKE_CHROMIUM.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import soundfile
from sqlalchemy import func, select, update

from bench.arguments import at_least
from bench.review_browser import measure_browser
from bench.review_crowd import crowd
from pipeline.events import flag_event
from pipeline.evidence import Evidence
from review.accounts import add_user
from review.app import STATIC
from review.database import Database, sqlite_url
from review.intake import UPLOAD_AUDIO, read_flag, take_flag
from review.policy import DeskPolicy
from review.ports import Reference
from review.roles import Role
from review.tables import case_audio, cases
from soundalike.demo_uploads import DEMO_AUDIO

PASSWORD = "only for measuring"  # noqa: S105 -- of accounts in a temporary database
BATCH = 500
OPENED = 12
WITH_AUDIO = 8
"""The most urgent cases have recordings of a minute and a half; these are opened and listened to."""
START_S = 120.0
UNDO_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=at_least(1), default=10_000)
    parser.add_argument("--reviewers", type=at_least(1), default=20)
    parser.add_argument("--minutes", type=float, default=1.0, help="of the reviewers; 0 leaves them out")
    parser.add_argument("--no-browser", action="store_true", help="leave out Chromium and the recordings")
    parser.add_argument(
        "--filled",
        type=Path,
        metavar="FILE",
        help="keep the filled database here, and start from it if it is there",
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(
            Path(folder),
            cases_=chosen.cases,
            reviewers=chosen.reviewers,
            seconds=chosen.minutes * 60,
            filled=chosen.filled,
            listen=not chosen.no_browser,
        )
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def measure(
    folder: Path, *, cases_: int, reviewers: int, seconds: float, filled: Path | None, listen: bool
) -> dict[str, Any]:
    (folder / "desk").mkdir()
    (folder / "spool").mkdir()
    file = folder / "desk" / "desk.sqlite"
    report: dict[str, Any] = {"load_at_start": round(os.getloadavg()[0], 1), "cases": cases_}
    if filled is not None and filled.exists():
        shutil.copyfile(filled, file)
        database = Database(sqlite_url(file))
        database.upgrade()
    else:
        database = Database(sqlite_url(file))
        database.upgrade()
        began_s = time.monotonic()
        _fill(database, cases_)
        report["intake_cases_per_s"] = round(cases_ / (time.monotonic() - began_s))
        if filled is not None:
            shutil.copyfile(file, filled)
    _say("cases filled")
    with database.write() as connection:
        for number in range(reviewers):
            add_user(connection, user_id=f"r{number}", role=Role.REVIEWER, now=now(), actor="bench",
                     password=PASSWORD)  # fmt: skip
    if listen:
        _give_audio(database, folder)
    else:
        _without_audio(database)
    with _server(folder) as url:
        _wait_for_audio(database)
        _say("audio prepared")
        if listen:
            report["browser"] = measure_browser(url, "r0", PASSWORD, cases=WITH_AUDIO)
            _say(json.dumps(report["browser"]))
        report |= _pages(url)
        _say("crowd begins")
        if seconds > 0:
            report |= crowd(url, database, folder / "spool", reviewers=reviewers, seconds=seconds,
                            password=PASSWORD, undo_s=UNDO_S)  # fmt: skip
    report["load_at_end"] = round(os.getloadavg()[0], 1)
    database.close()
    return report


def _fill(database: Database, count: int) -> None:
    policy = DeskPolicy(second_opinion_share=0.0, second_opinion_harm=2.0)
    known = {f"track-{number}": Reference(f"track-{number}", f"Track {number}") for number in range(300)}
    for first in range(0, count, BATCH):
        with database.write() as connection:
            for number in range(first, min(first + BATCH, count)):
                flag = read_flag(flag_event(evidence(number), time=now()).to_bytes(), now=now())
                tracks = {match.track_id: known[match.track_id] for match in flag.evidence.matches}
                take_flag(connection, flag, known=tracks, now=now(), policy=policy)


def evidence(number: int) -> Evidence:
    return Evidence.model_validate({
        "upload_id": f"upload-{number}", "verdict": "flagged", "rule": "unlicensed-match",
        "reason": "20 s of it are a licensed recording, and nobody allowed that.",
        "audio": {"uri": f"file:///nowhere/{number}.mp3", "duration_s": 90.0},
        "matches": [{
            "track_id": f"track-{number % 300}", "title": f"Track {number % 300}", "query_start_s": 65.0,
            "query_end_s": 85.0, "reference_start_s": 68.0, "reference_end_s": 93.0, "shift_semitones": 0.0,
            "tempo_ratio": 1.25, "coverage": 0.11, "score": 40.0,
            "false_positive_rate": 10 ** -(1 + number % 4),
        }],
        "policy": {"version": "1", "hash": "0" * 16}, "index": {"generation": 1, "tracks": 300},
    })  # fmt: skip


def _give_audio(database: Database, folder: Path) -> None:
    """A minute and a half of music for the most urgent cases; the recordings of all others are missing."""
    samples, rate_hz = soundfile.read(DEMO_AUDIO / "egypt.opus", dtype="float32", always_2d=True)
    long = np.resize(samples, (90 * rate_hz, samples.shape[1]))
    reference = folder / "spool" / "reference.wav"
    soundfile.write(reference, long, rate_hz, subtype="PCM_16")
    _without_audio(database)
    files = []
    for number in range(WITH_AUDIO):
        long[0] = number / WITH_AUDIO  # another recording each time: nothing comes out of a cache
        files.append(folder / "spool" / f"upload-{number}.wav")
        soundfile.write(files[-1], long * np.float32(0.5), rate_hz, subtype="PCM_16")
    with database.write() as connection:
        urgent = select(cases.c.case_id).order_by(cases.c.rank.desc(), cases.c.case_id).limit(WITH_AUDIO)
        chosen = connection.execute(urgent).scalars().all()
        for file, case_id in zip(files, chosen, strict=True):
            for own, uri in ((True, file.as_uri()), (False, reference.as_uri())):
                which = (case_audio.c.track_id == UPLOAD_AUDIO) == own
                connection.execute(
                    update(case_audio)
                    .where(case_audio.c.case_id == case_id, which)
                    .values(state="pending", uri=uri)
                )
    _say("recordings rendered")


def _without_audio(database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(case_audio).values(state="missing", detail="not part of this measurement"))


def _say(what: str) -> None:
    sys.stderr.write(f"{now():%H:%M:%S} {what}\n")
    sys.stderr.flush()


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    for topic in ("uploads", "flags", "decisions"):
        (folder / "spool" / f"{topic}.jsonl").touch()
    command = [
        sys.executable, "-m", "soundalike", "review", "serve", "--source", "local",
        "--spool", str(folder / "spool"), "--data", str(folder / "data"), "--desk", str(folder / "desk"),
        "--port", "0", "--undo-s", str(UNDO_S), "--second-opinion-share", "0", "--second-opinion-harm", "2",
        "--golden-share", "0",
    ]  # fmt: skip
    environment = {**os.environ, "SOUNDALIKE_ALLOW_URI": (folder / "spool").as_uri() + "/"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if "http://" not in line:
            raise SystemExit(f"the server did not start: {line}{(folder / 'server.log').read_text()}")
        url = line.split()[5].rstrip("/")
        yield url
    finally:
        process.terminate()
        process.wait(60)
        troubles = (folder / "server.log").read_text().splitlines()
        sys.stderr.write("\n".join(troubles[-20:]) + "\n")


def _wait_for_audio(database: Database) -> None:
    deadline_s = time.monotonic() + 600
    while time.monotonic() < deadline_s:
        with database.read() as connection:
            pending = select(func.count()).where(case_audio.c.state == "pending")
            if connection.execute(pending.select_from(case_audio)).scalar_one() == 0:
                return
        time.sleep(1)
    raise SystemExit("the audio worker did not prepare the recordings in time")


def _pages(url: str) -> dict[str, Any]:
    """Times of the server alone, without a browser."""
    took_ms: dict[str, list[float]] = {"case_page_ms": [], "queue_page_ms": [], "claim_next_ms": []}
    with sign_in(url, "r1") as client:
        for line in client.get("/api/v1/cases", params={"limit": OPENED}).json()["cases"]:
            took_ms["case_page_ms"].append(_timed(client, "GET", f"/cases/{line['case_id']}"))
            took_ms["queue_page_ms"].append(_timed(client, "GET", "/queue"))
            took_ms["claim_next_ms"].append(_timed(client, "POST", "/api/v1/cases/next"))
        queue, case = (len(client.get(path).content) for path in ("/queue", f"/cases/{line['case_id']}"))
        for line in client.get("/api/v1/cases", params={"show": "mine"}).json()["cases"]:
            token = client.post(f"/api/v1/cases/{line['case_id']}/claim").json()["token"]
            client.post(f"/api/v1/cases/{line['case_id']}/release", json={"token": token})
    own, vendor = (
        sum(file.stat().st_size for file in (STATIC / part).glob("*.js")) for part in ("js", "vendor")
    )
    spread = {
        name: {"median": round(statistics.median(times)), "worst": round(max(times))}
        for name, times in took_ms.items()
    }
    weights = {"queue_html": queue, "case_html": case, "own_js": own, "vendor_js": vendor,
               "css": (STATIC / "desk.css").stat().st_size}  # fmt: skip
    return {**spread, "bytes": weights}


@contextmanager
def sign_in(url: str, name: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=url, timeout=120) as client:
        answer = client.post("/api/v1/session", json={"user_id": name, "password": PASSWORD})
        answer.raise_for_status()
        client.headers["x-csrf-token"] = answer.json()["csrf"]
        yield client


def _timed(client: httpx2.Client, method: str, path: str) -> float:
    began_s = time.perf_counter()
    answer = client.request(method, path, json={} if method == "POST" else None)
    answer.raise_for_status()
    return (time.perf_counter() - began_s) * 1000


def now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
