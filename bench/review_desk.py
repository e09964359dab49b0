"""How quick the review desk is: opening a case among many, page weights, many reviewers on one queue.

    python -m bench.review_desk --cases 10000 --reviewers 20 --minutes 1

Runs against the application in this process (no network), on SQLite in a temporary folder, and prints one
JSON document. A double decision or a lost one is an error, not a number.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import func, select

from pipeline.events import flag_event
from pipeline.evidence import Evidence
from review.accounts import add_user
from review.app import STATIC, create_app
from review.database import Database, sqlite_url
from review.desk import Desk
from review.intake import read_flag, take_flag
from review.media_store import MediaStore
from review.policy import DeskPolicy
from review.ports import Reference
from review.rate_limit import RateLimit
from review.roles import Role
from review.sessions import Signer
from review.tables import opinions, outbox

PASSWORD = "only for measuring"  # noqa: S105 -- of accounts in a temporary database
BATCH = 500
OPENED = 50


class _NoReferences:
    def find(self, track_id: str) -> Reference | None:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--reviewers", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=1.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(
            Path(folder), cases=chosen.cases, reviewers=chosen.reviewers, seconds=chosen.minutes * 60
        )
    print(json.dumps(report, indent=2))


def measure(folder: Path, *, cases: int, reviewers: int, seconds: float) -> dict[str, Any]:
    database = Database(sqlite_url(folder / "desk.sqlite"))
    database.upgrade()
    policy = DeskPolicy(second_opinion_share=0.0, second_opinion_harm=2.0, golden_share=0.0)
    desk = Desk(
        database=database, store=MediaStore(folder / "media"), references=_NoReferences(),
        signer=Signer(b"b" * 32), policy=policy, login_limit=RateLimit(attempts=10_000, window_s=1.0),
    )  # fmt: skip
    with database.write() as connection:
        for number in range(reviewers):
            add_user(connection, user_id=f"r{number}", role=Role.REVIEWER, now=_now(), actor="bench",
                     password=PASSWORD)  # fmt: skip
    began_s = time.monotonic()
    _fill(database, cases, policy)
    filled_s = time.monotonic() - began_s
    report = {"cases": cases, "intake_cases_per_s": round(cases / filled_s)}
    report |= _pages(desk)
    report |= _crowd(desk, reviewers, seconds)
    database.close()
    return report


def _fill(database: Database, cases: int, policy: DeskPolicy) -> None:
    for first in range(0, cases, BATCH):
        with database.write() as connection:
            for number in range(first, min(first + BATCH, cases)):
                flag = read_flag(flag_event(_evidence(number), time=_now()).to_bytes(), now=_now())
                take_flag(connection, flag, known={}, now=_now(), policy=policy)


def _evidence(number: int) -> Evidence:
    return Evidence.model_validate({
        "upload_id": f"upload-{number}", "verdict": "flagged", "rule": "unlicensed-match",
        "reason": "20 s of it are a licensed recording, and nobody allowed that.",
        "audio": {"uri": f"file:///nowhere/{number}.mp3", "sha256": f"{number:064x}", "duration_s": 180.0},
        "matches": [{
            "track_id": f"track-{number % 300}", "title": f"Track {number % 300}", "query_start_s": 5.0,
            "query_end_s": 25.0, "reference_start_s": 8.0, "reference_end_s": 33.0, "shift_semitones": 0.0,
            "tempo_ratio": 1.25, "coverage": 0.11, "score": 40.0,
            "false_positive_rate": 10 ** -(1 + number % 4),
        }],
        "policy": {"version": "1", "hash": "0" * 16}, "index": {"generation": 1, "tracks": 300},
    })  # fmt: skip


def _pages(desk: Desk) -> dict[str, Any]:
    client = _signed_in(desk, "r0")
    listed = client.get("/api/v1/cases", params={"limit": OPENED}).json()["cases"]
    took_ms: dict[str, list[float]] = {"open_case_ms": [], "queue_ms": [], "next_ms": []}
    page = client.get("/queue")
    for line in listed:
        took_ms["open_case_ms"].append(_timed(lambda line=line: client.get(f"/cases/{line['case_id']}")))
        took_ms["queue_ms"].append(_timed(lambda: client.get("/queue")))
        took_ms["next_ms"].append(_timed(lambda: client.post("/api/v1/cases/next", json={})))
    case_page = client.get(f"/cases/{listed[0]['case_id']}")
    scripts = sum(file.stat().st_size for file in (STATIC / "js").glob("*.js"))
    vendor = sum(file.stat().st_size for file in (STATIC / "vendor").glob("*.js"))
    return {
        **{name: {"median": round(statistics.median(times)), "worst": round(max(times))}
           for name, times in took_ms.items()},
        "bytes": {"queue_html": len(page.content), "case_html": len(case_page.content), "own_js": scripts,
                  "vendor_js": vendor, "css": (STATIC / "desk.css").stat().st_size},
    }  # fmt: skip


def _crowd(desk: Desk, reviewers: int, seconds: float) -> dict[str, Any]:
    """Everybody takes the next case and decides it, as fast as they can, until the time is over."""
    accepted: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    lock = threading.Lock()
    clients = [_signed_in(desk, f"r{number}") for number in range(reviewers)]
    ends_s = time.monotonic() + seconds

    def work(client: TestClient) -> None:
        while time.monotonic() < ends_s:
            lease = client.post("/api/v1/cases/next", json={})
            if lease.status_code != 200 or lease.json() is None:
                continue
            body = {"token": lease.json()["token"], "action": "confirm", "reason_code": "clone"}
            answer = client.post(f"/api/v1/cases/{lease.json()['case_id']}/decide", json=body)
            with lock:
                statuses[answer.status_code] += 1
                accepted[lease.json()["case_id"]] += answer.status_code == 200

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 120)
    decided = sum(accepted.values())
    with desk.database.read() as connection:
        kept = connection.execute(select(func.count()).select_from(opinions)).scalar_one()
        queued = connection.execute(select(func.count()).select_from(outbox)).scalar_one()
    twice = [case_id for case_id, count in accepted.items() if count > 1]
    if twice or not decided == kept == queued:
        raise SystemExit(
            f"decided twice: {twice[:5]}; accepted {decided}, kept {kept}, in the outbox {queued}"
        )
    return {
        "reviewers": reviewers, "seconds": seconds, "decisions": decided, "decided_twice": 0, "lost": 0,
        "statuses": {str(status): count for status, count in statuses.items()},
    }  # fmt: skip


def _signed_in(desk: Desk, name: str) -> TestClient:
    client = TestClient(create_app(desk), base_url="http://desk.bench")
    answer = client.post("/api/v1/session", json={"user_id": name, "password": PASSWORD})
    client.headers["x-csrf-token"] = answer.json()["csrf"]
    return client


def _timed(act: Any) -> float:
    began_s = time.perf_counter()
    answer = act()
    assert answer.status_code == 200, answer.text
    return (time.perf_counter() - began_s) * 1000


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
