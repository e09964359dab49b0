"""Many reviewers on one queue: everybody takes the next case and decides it, as fast as the server answers.

Some change their mind within the time for it, some let a case go, and new flags come in all the while. At the
end the desk's tables and the `decisions` topic have to say the same as what the server answered: no case
decided twice, no decision lost, none sent that was taken back, none under two ids.
"""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, select

from pipeline.events import flag_event
from review.database import Database
from review.tables import opinions, outbox

FEED_EACH_S = 5.0
FEED = 40
LEFT_SHARE, UNDONE_SHARE, LOOKED_SHARE = 0.05, 0.05, 0.2
DRAIN_S = 180.0
PATIENCE_S = 600.0
"""Of a client: a slow answer is a figure; only one that never comes is an error."""


@dataclass
class _Tally:
    lock: threading.Lock = field(default_factory=threading.Lock)
    standing: Counter[str] = field(default_factory=Counter)
    """Accepted decisions that were not taken back, by case."""
    undone: set[int] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    took_ms: dict[str, list[float]] = field(default_factory=lambda: {"next": [], "decide": []})


def crowd(
    url: str, database: Database, spool: Path, *, reviewers: int, seconds: float, password: str, undo_s: float
) -> dict[str, Any]:
    tally = _Tally()
    # One after the other, before the clock starts: a password takes its time on purpose.
    clients = {f"r{number}": _signed_in(url, f"r{number}", password) for number in range(reviewers)}
    ends_s = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_review, args=(client, name, ends_s, tally))
        for name, client in clients.items()
    ]
    threads.append(threading.Thread(target=_feed, args=(spool, ends_s)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + PATIENCE_S)
    if any(thread.is_alive() for thread in threads):
        raise SystemExit("a reviewer still waits for an answer, ten minutes after the end")
    time.sleep(undo_s)
    _drain(database)
    return _verified(database, spool, tally) | {
        "reviewers": reviewers, "seconds": seconds, "statuses": dict(tally.statuses),
        **{f"{name}_ms": {"median": round(statistics.median(times)), "p99": round(_p99(times)),
                          "worst": round(max(times))} for name, times in tally.took_ms.items()},
    }  # fmt: skip


def _signed_in(url: str, name: str, password: str) -> httpx2.Client:
    client = httpx2.Client(base_url=url, timeout=PATIENCE_S)
    answer = client.post("/api/v1/session", json={"user_id": name, "password": password})
    answer.raise_for_status()
    client.headers["x-csrf-token"] = answer.json()["csrf"]
    return client


def _review(client: httpx2.Client, name: str, ends_s: float, tally: _Tally) -> None:
    chance = random.Random(name)  # noqa: S311 -- repeatable chance, nothing secret
    with contextlib.closing(client):
        while time.monotonic() < ends_s:
            lease = _ask(client, tally, "next", "/api/v1/cases/next", {})
            if lease is None:
                time.sleep(0.2)
                continue
            case = f"/api/v1/cases/{lease['case_id']}"
            if chance.random() < LOOKED_SHARE:
                client.get(f"/cases/{lease['case_id']}")
            if chance.random() < LEFT_SHARE:
                client.post(f"{case}/release", json={"token": lease["token"]})
                continue
            action, code = ("confirm", "clone") if chance.random() < 0.7 else ("dismiss", "false_match")
            body = {"token": lease["token"], "action": action, "reason_code": code}
            decided = _ask(client, tally, "decide", f"{case}/decide", body)
            if decided is None:
                continue
            with tally.lock:
                tally.standing[lease["case_id"]] += 1
            if chance.random() < UNDONE_SHARE:
                _change_mind(client, decided["opinion_id"], lease["case_id"], tally)


def _change_mind(client: httpx2.Client, opinion_id: int, case_id: str, tally: _Tally) -> None:
    answer = client.post(f"/api/v1/opinions/{opinion_id}/undo")
    with tally.lock:
        tally.statuses[f"undo {answer.status_code}"] += 1
        if answer.status_code == 200:
            tally.standing[case_id] -= 1
            tally.undone.add(opinion_id)
    if answer.status_code == 200:
        client.post(f"/api/v1/cases/{case_id}/release", json={"token": answer.json()["token"]})


def _ask(client: httpx2.Client, tally: _Tally, name: str, path: str, body: dict[str, Any]) -> Any:
    began_s = time.perf_counter()
    answer = client.post(path, json=body)
    with tally.lock:
        tally.took_ms[name].append((time.perf_counter() - began_s) * 1000)
        tally.statuses[f"{name} {answer.status_code}"] += 1
    return answer.json() if answer.status_code == 200 else None


def _feed(spool: Path, ends_s: float) -> None:
    """New flags while everybody works, through the topic as in production."""
    from bench.review_desk import evidence, now  # noqa: PLC0415 -- it imports this module

    number = 1_000_000
    while time.monotonic() < ends_s:
        lines = [flag_event(evidence(number + n), time=now()).to_bytes() + b"\n" for n in range(FEED)]
        with (spool / "flags.jsonl").open("ab") as file:
            file.write(b"".join(lines))
        number += FEED
        time.sleep(FEED_EACH_S)


def _drain(database: Database) -> None:
    waiting = select(func.count()).select_from(outbox)
    waiting = waiting.where(outbox.c.sent_at.is_(None), outbox.c.cancelled_at.is_(None))
    deadline_s = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline_s:
        with database.read() as connection:
            if connection.execute(waiting).scalar_one() == 0:
                return
        time.sleep(0.5)
    raise SystemExit("the outbox was not emptied in time")


def _verified(database: Database, spool: Path, tally: _Tally) -> dict[str, Any]:
    """Raises SystemExit when the answers, the tables and the topic disagree."""
    standing = {case_id: count for case_id, count in tally.standing.items() if count}
    with database.read() as connection:
        rows = connection.execute(
            select(opinions.c.case_id, opinions.c.opinion_id, outbox.c.event_id)
            .join(outbox, outbox.c.opinion_id == opinions.c.opinion_id)
            .where(opinions.c.undone_at.is_(None))
        ).all()
    kept = Counter(row.case_id for row in rows)
    sent = Counter(json.loads(line)["id"] for line in (spool / "decisions.jsonl").open(encoding="utf-8"))
    valid = {row.event_id for row in rows}
    problems = {
        "decided twice": [case_id for case_id, count in standing.items() if count > 1],
        "lost": [case_id for case_id in standing if kept[case_id] != standing[case_id]],
        "kept but never answered": [case_id for case_id in kept if case_id not in standing],
        "never sent": [row.event_id for row in rows if row.event_id not in sent],
        "sent though taken back": [event_id for event_id in sent if event_id not in valid],
        "sent twice": [event_id for event_id, count in sent.items() if count > 1],
    }
    if any(problems.values()):
        raise SystemExit(json.dumps({name: found[:5] for name, found in problems.items() if found}))
    return {"decisions": len(rows), "taken_back": len(tally.undone), "decided_twice": 0, "lost": 0,
            "sent": len(sent)}  # fmt: skip


def _p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * (len(times) - 1))]
