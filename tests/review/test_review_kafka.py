"""`soundalike review serve` on a real Kafka: from the `flags` topic to the `decisions` topic, once each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from pipeline.events import parse_event
from pipeline.log import TopicPlan
from review.database import Database, sqlite_url
from soundalike.commands.review_wiring import LogEventSource


@contextmanager
def serving(folder: Path, brokers: str, prefix: str) -> Iterator[httpx2.Client]:
    """The command as an operator starts it; yields a client for its address, signed in as ann."""
    command = [
        sys.executable, "-u", "-m", "soundalike", "review", "serve", "--brokers", brokers,
        "--topic-prefix", prefix, "--data", str(folder / "data"), "--desk", str(folder), "--port", "0",
        "--undo-s", "0.5", "--second-opinion-share", "0", "--second-opinion-harm", "2", "--golden-share", "0",
    ]  # fmt: skip
    log_file = folder / "server.log"
    with (
        log_file.open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ)) as it,
    ):
        assert it.stdout is not None
        try:
            line = it.stdout.readline()
            assert "http://" in line, line + log_file.read_text()
            url = line.split()[5].rstrip("/")
            with httpx2.Client(base_url=f"{url}/api/v1", timeout=60) as client:
                who = {"user_id": "ann", "password": "correct horse battery"}
                client.headers["x-csrf-token"] = client.post("/session", json=who).json()["csrf"]
                yield client
        finally:
            it.terminate()
            it.wait(60)


def wait_for(what: Callable[[], Any], *, limit_s: float = 120.0) -> Any:
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        if answer := what():
            return answer
        time.sleep(0.2)
    pytest.fail(f"did not come true within {limit_s} s")


def test_flags_become_cases_and_decisions_come_back(
    bench: Any, kafka_log: Any, unique: Any, assets: None, tmp_path: Path, people_database: Path
) -> None:
    prefix = unique("desk") + "."
    names = [prefix + name for name in ("uploads", "flags", "decisions")]
    kafka_log.create_topics([TopicPlan(name, partitions=2) for name in names])
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "desk.sqlite").write_bytes(people_database.read_bytes())
    writer = kafka_log.open_writer()
    writer.send(names[0], b"up-1", bench.upload_bytes("up-1", title="Over Kafka"))
    flag = bench.flag_bytes("up-1")
    for value in (flag, b"not an event", flag):  # delivered twice, with rubbish in between
        writer.send(names[1], b"up-1", value)
    writer.flush()
    decisions = LogEventSource(kafka_log, names[2], "check")
    with serving(folder, kafka_log.brokers, prefix) as client:
        wait_for(lambda: client.get("/cases").json()["total"] == 1)
        lease = client.post("/cases/next", json={}).json()
        assert client.get(f"/cases/{lease['case_id']}").json()["case"]["line"]["title"] == "Over Kafka"
        body = {"token": lease["token"], "action": "confirm", "reason_code": "verbatim"}
        assert client.post(f"/cases/{lease['case_id']}/decide", json=body).status_code == 200
        (event,) = wait_for(lambda: decisions.poll(max_wait_s=0.5))
    _, decision = parse_event(event)
    assert (decision.upload_id, decision.decision, decision.reason) == ("up-1", "confirm", "verbatim")
    # A second start goes on where the first one ended: nothing is taken in or sent again.
    with serving(folder, kafka_log.brokers, prefix) as client:
        writer.send(names[1], b"up-2", bench.flag_bytes("up-2"))
        writer.flush()
        wait_for(lambda: client.get("/cases").json()["total"] == 1)
        assert client.get("/cases", params={"show": "all"}).json()["total"] == 2
    assert decisions.poll(max_wait_s=2.0) == []
    decisions.close()
    writer.close()
    database = Database(sqlite_url(folder / "desk.sqlite"))
    with database.read() as connection:
        rejected = connection.exec_driver_sql("SELECT stream, reason FROM review_rejects").all()
    database.close()
    assert [tuple(row) for row in rejected] == [("flags", "malformed_event")]
