"""The job as an operator meets it: a process that is killed, told to stop, and left without its broker.

`JOBS` names the commands that are put through it; each reads `<prefix>uploads` and writes its verdicts and
dead letters.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import topics
from pipeline.kafka_log import KafkaLog
from pipeline.log import Log, Record
from pipeline.spool_log import SpoolLog

if TYPE_CHECKING:
    from conftest import Broker

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 90.0

UPLOADS = 200
POISON_EVERY = 20
"""Every 20th upload is no JSON and has to become a dead letter."""


def echo_job(prefix: str, *arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).with_name("echo_job.py")), "--prefix", prefix, *arguments]


@contextmanager
def running(command: list[str], log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with log_file.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def publish(log: Log, topic: str, upload_ids: list[str]) -> None:
    writer = log.open_writer()
    for number, upload_id in enumerate(upload_ids):
        poison = number % POISON_EVERY == POISON_EVERY - 1
        value = f"no JSON: {upload_id}" if poison else json.dumps({"upload_id": upload_id})
        writer.send(topic, upload_id.encode(), value.encode())
    writer.flush()
    writer.close()


class Tail:
    """Everything that a topic holds, read from its beginning and then on."""

    def __init__(self, log: Log, topic: str) -> None:
        self._reader = log.open_reader(topic, "tail")
        self._positions = {p: self._reader.start_offset(p) for p in self._reader.partitions()}
        self.records: list[Record] = []

    def read(self) -> list[Record]:
        """All records up to the end of the topic at this moment; more may come while it reads."""
        missing = sum(self._reader.lag_records(self._positions).values())
        while missing > 0:
            batch = self._reader.read(self._positions, max_records=500, max_wait_s=5.0)
            assert batch, f"{missing} records that the broker counts did not come"
            missing -= len(batch)
            self.records += batch
            self._positions |= {record.partition: record.next_offset for record in batch}
        return self.records

    def close(self) -> None:
        self._reader.close()


def wait_for(reached: Callable[[], bool], *, what: str, timeout_s: float = START_TIMEOUT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)


@pytest.fixture
def prefix(unique: Callable[[str], str]) -> str:
    return unique("job") + "."


JOBS: dict[str, Callable[..., list[str]]] = {"echo": echo_job}


@pytest.mark.timeout(600)  # four starts of the job, each of them bounded by itself
@pytest.mark.parametrize("job", JOBS)
def test_no_upload_is_lost_when_the_job_is_killed_three_times(
    job: str, kafka_log: KafkaLog, prefix: str, tmp_path: Path
) -> None:
    topics.ensure(kafka_log, prefix=prefix, partitions=3)
    upload_ids = [f"upload-{number:03}" for number in range(UPLOADS)]
    publish(kafka_log, prefix + topics.UPLOADS, upload_ids)
    command = JOBS[job](prefix, "--brokers", kafka_log.brokers, "--work-s", "0.05")
    verdicts = Tail(kafka_log, prefix + topics.VERDICTS)
    dead_letters = Tail(kafka_log, prefix + topics.DEAD_LETTERS)

    def outputs() -> int:
        return len(verdicts.read()) + len(dead_letters.read())

    def finished() -> bool:
        return len({r.value for r in verdicts.read()} | {r.value for r in dead_letters.read()}) >= UPLOADS

    moment = random.Random(7)  # kills at different points of a bundle, the same ones in every run
    for kill in range(1, 4):
        with running(command, tmp_path / "job.log") as process:
            wait_for(lambda kill=kill: outputs() >= kill * 40, what=f"{kill * 40} outputs")  # type: ignore[misc]
            time.sleep(moment.uniform(0.0, 0.3))
            assert process.poll() is None, (tmp_path / "job.log").read_text()[-2000:]
            assert not finished(), "it was too quick to be killed in the middle"
            process.send_signal(signal.SIGKILL)
    with running(command, tmp_path / "job.log") as process:
        wait_for(finished, what="an output for every upload")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0

    ids = collections.Counter(json.loads(record.value)["id"] for record in verdicts.read())
    dead = collections.Counter(record.value.decode() for record in dead_letters.read())
    poison = [u for n, u in enumerate(upload_ids) if n % POISON_EVERY == POISON_EVERY - 1]
    assert set(ids) == {f"verdict-{upload_id}" for upload_id in upload_ids if upload_id not in poison}
    assert set(dead) == {f"no JSON: {upload_id}" for upload_id in poison}
    duplicates = ids.total() + dead.total() - UPLOADS
    logging.getLogger(__name__).info(
        "%d uploads, 3 kills: %d duplicates by event id (shown by --log-cli-level=INFO)", UPLOADS, duplicates
    )
    # Each kill repeats at most the bundle in hand (16 records).
    assert duplicates <= 3 * 16
    verdicts.close()
    dead_letters.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: signal.Signals, kafka_log: KafkaLog, prefix: str, tmp_path: Path) -> None:
    topics.ensure(kafka_log, prefix=prefix, partitions=3)
    publish(kafka_log, prefix + topics.UPLOADS, [f"u{n}" for n in range(UPLOADS)])
    verdicts = Tail(kafka_log, prefix + topics.VERDICTS)
    with running(
        echo_job(prefix, "--brokers", kafka_log.brokers, "--work-s", "0.1"), tmp_path / "job.log"
    ) as process:
        wait_for(lambda: len(verdicts.read()) > 5, what="the first verdicts")
        process.send_signal(number)
        began_s = time.monotonic()
        assert process.wait(30) == 0
        assert time.monotonic() - began_s < 10
    written = len(verdicts.read()) + len(Tail(kafka_log, prefix + topics.DEAD_LETTERS).read())
    assert written < UPLOADS, "else it was not stopped in the middle"
    assert written == sum(progress(kafka_log, prefix + topics.UPLOADS).values()), (
        "a drain leaves nothing undone"
    )
    verdicts.close()


def progress(log: Log, topic: str) -> dict[int, int]:
    reader = log.open_reader(topic, "echo")
    try:
        return {partition: reader.committed(partition) or 0 for partition in reader.partitions()}
    finally:
        reader.close()


def test_a_second_signal_ends_the_job_at_once(tmp_path: Path) -> None:
    spool = SpoolLog(tmp_path / "spool")
    topics.ensure(spool)
    publish(spool, topics.UPLOADS, ["a", "b"])
    command = echo_job("", "--spool", str(spool.folder), "--work-s", "60")
    log_file = tmp_path / "job.log"
    with running(command, log_file) as process:
        wait_for(lambda: "working on" in log_file.read_text(), what="the job at work")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)  # the record in hand takes a minute
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 128 + signal.SIGTERM
    assert progress(spool, topics.UPLOADS) == {0: 0}, "what was in hand will be read again"


def test_a_broker_that_is_down_at_the_start_is_one_line(tmp_path: Path) -> None:
    log_file = tmp_path / "job.log"
    with running(echo_job("", "--brokers", "127.0.0.1:1"), log_file) as process:
        assert process.wait(30) == 1
    lines = [line for line in log_file.read_text().splitlines() if "apitools" not in line]
    assert lines == [
        "BrokerError: no Kafka broker answers at 127.0.0.1:1 (Connection refused); "
        "is it running, and is --brokers right?"
    ]


@pytest.mark.timeout(600)  # it waits for two starts of a broker, and each of its waits is bounded by itself
def test_the_job_outlives_a_restart_of_its_broker(
    new_broker: Callable[[], Broker], prefix: str, tmp_path: Path
) -> None:
    broker = new_broker()
    log = KafkaLog(broker.address)
    topics.ensure(log, (topics.UPLOADS, topics.VERDICTS, topics.DEAD_LETTERS), prefix=prefix, partitions=3)
    publish(log, prefix + topics.UPLOADS, [f"before-{n}" for n in range(10)])
    with running(echo_job(prefix, "--brokers", broker.address), tmp_path / "job.log") as process:
        before = Tail(log, prefix + topics.VERDICTS)
        wait_for(lambda: len(before.read()) >= 10, what="the first verdicts")
        before.close()
        broker.stop(signal.SIGKILL)
        time.sleep(3.0)
        broker.start()
        publish(log, prefix + topics.UPLOADS, [f"after-{n}" for n in range(10)])
        after = Tail(log, prefix + topics.VERDICTS)
        wait_for(lambda: len({record.value for record in after.read()}) == 20, what="all verdicts")
        after.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert sum(progress(log, prefix + topics.UPLOADS).values()) == 20


def test_a_spool_is_worked_off_and_the_job_ends(tmp_path: Path) -> None:
    spool = SpoolLog(tmp_path / "spool")
    topics.ensure(spool)
    publish(spool, topics.UPLOADS, [f"u{n}" for n in range(40)])
    for _ in range(2):  # the second run finds nothing left to do
        command = echo_job("", "--spool", str(spool.folder), "--stop-when-idle-s", "0.5")
        with running(command, tmp_path / "job.log") as process:
            assert process.wait(60) == 0, (tmp_path / "job.log").read_text()[-2000:]
    assert len(spool.path(topics.VERDICTS).read_text().splitlines()) == 38
    assert spool.path(topics.DEAD_LETTERS).read_text().splitlines() == ["no JSON: u19", "no JSON: u39"]
