"""Source and sink in a running graph: what is read, what is committed, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import apache_beam as beam
import pytest

from pipeline import source
from pipeline.kafka_log import KafkaLog
from pipeline.log import Headers, Log, LogReader, LogWriter, Record, TopicPlan
from pipeline.memory_log import MemoryLog
from pipeline.runner import RestartPolicy, run_streaming
from pipeline.sink import Outgoing, WriteLog
from pipeline.source import ReadSettings, SlotPlan, draining
from soundalike.errors import BrokerError, JobFailed

IDLE_S = 0.5
NO_RESTART = RestartPolicy(max_failures=1)


@pytest.fixture
def log(unique: Callable[[str], str]) -> MemoryLog:
    log = MemoryLog(unique("log"))
    log.create_topics([TopicPlan("in", partitions=3), TopicPlan("out")])
    return log


def write(log: Log, topic: str, values: Iterable[str]) -> None:
    writer = log.open_writer()
    for value in values:
        writer.send(topic, value.encode(), value.encode())
    writer.flush()
    writer.close()


def copy_to(log: Log, topic: str = "out") -> Callable[[Any], Any]:
    """A graph that writes every record to `topic`."""
    return lambda records: records | beam.Map(_renamed, topic=topic) | WriteLog(log)


def _renamed(record: Record, *, topic: str) -> Outgoing:
    return Outgoing(topic, record.key or b"", record.value)


def settings(log: Log, topic: str = "in", **changes: Any) -> ReadSettings:
    return replace(ReadSettings(log, topic, "job", max_wait_s=0.1, stop_when_idle_s=IDLE_S), **changes)


def committed(log: Log, topic: str = "in") -> dict[int, int | None]:
    reader = log.open_reader(topic, "job")
    try:
        return {partition: reader.committed(partition) for partition in reader.partitions()}
    finally:
        reader.close()


def ends(log: Log, topic: str = "in") -> dict[int, int]:
    """{partition: offset after the last record}."""
    reader = log.open_reader(topic, "nobody")
    try:
        starts = {partition: reader.start_offset(partition) for partition in reader.partitions()}
        return {p: starts[p] + lag for p, lag in reader.lag_records(starts).items()}
    finally:
        reader.close()


def is_caught_up(log: Log, topic: str = "in") -> bool:
    """Whether the job has committed every partition that holds something to its end."""
    progress = committed(log, topic)
    return all(progress[partition] == end for partition, end in ends(log, topic).items() if end > 0)


def test_copies_everything_once_and_commits_all_of_it(log: MemoryLog) -> None:
    values = [str(number) for number in range(100)]
    write(log, "in", values)
    assert run_streaming(copy_to(log), settings(log)) == 0
    assert sorted(r.value.decode() for r in log.records("out")) == sorted(values)
    assert is_caught_up(log)


def test_a_second_run_goes_on_where_the_first_one_stood(log: MemoryLog) -> None:
    write(log, "in", ["a", "b"])
    run_streaming(copy_to(log), settings(log))
    write(log, "in", ["c"])
    run_streaming(copy_to(log), settings(log))
    assert sorted(r.value for r in log.records("out")) == [b"a", b"b", b"c"]


def test_slots_share_the_partitions(log: MemoryLog) -> None:
    write(log, "in", [str(number) for number in range(60)])
    run_streaming(copy_to(log), settings(log, slots=SlotPlan(total=2, indices=(1,))))
    assert {r.value for r in log.records("out")} == {r.value for r in log.records("in") if r.partition == 1}
    run_streaming(copy_to(log), settings(log, slots=SlotPlan(total=2, indices=(0,))))
    assert len(log.records("out")) == 60


def test_several_slots_in_one_job_read_each_record_once(log: MemoryLog) -> None:
    write(log, "in", [str(number) for number in range(60)])
    run_streaming(copy_to(log), settings(log, slots=SlotPlan(total=5, indices=(0, 1, 2, 3, 4))))
    assert len(log.records("out")) == 60
    assert is_caught_up(log)


lags: list[tuple[str, int, int]] = []


def note_lag(topic: str, partition: int, records: int) -> None:
    lags.append((topic, partition, records))


def test_reports_lag_per_partition(log: MemoryLog) -> None:
    lags.clear()
    write(log, "in", [str(number) for number in range(30)])
    run_streaming(copy_to(log), settings(log, on_lag=note_lag))
    first = lags[:3]
    assert [(topic, partition) for topic, partition, _ in first] == [("in", 0), ("in", 1), ("in", 2)]
    assert sum(records for _, _, records in first) == 30


@dataclass(frozen=True)
class FaultyLog:
    """A log whose writers or commits fail while `failing` says so, by the log's name."""

    inner: MemoryLog
    failing: ClassVar[dict[str, str]] = {}

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        self.inner.create_topics(plans)

    def open_reader(self, topic: str, group: str) -> LogReader:
        return FaultyReader(self.inner.open_reader(topic, group), self)

    def open_writer(self) -> LogWriter:
        return FaultyWriter(self.inner.open_writer(), self)

    def fails(self, what: str) -> bool:
        return self.failing.get(self.inner.name) == what


@dataclass
class FaultyReader:
    inner: LogReader
    log: FaultyLog

    def partitions(self) -> tuple[int, ...]:
        return self.inner.partitions()

    def start_offset(self, partition: int) -> int:
        return self.inner.start_offset(partition)

    def committed(self, partition: int) -> int | None:
        return self.inner.committed(partition)

    def read(self, positions: Mapping[int, int], *, max_records: int, max_wait_s: float) -> list[Record]:
        if self.log.fails("read"):
            time.sleep(max_wait_s)
            return []  # as a Kafka consumer whose broker is gone
        return self.inner.read(positions, max_records=max_records, max_wait_s=max_wait_s)

    def lag_records(self, positions: Mapping[int, int]) -> dict[int, int]:
        if self.log.fails("read"):
            raise BrokerError("nobody answers")
        return self.inner.lag_records(positions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        if self.log.fails("commit"):
            raise BrokerError("not authorised to commit")
        self.inner.commit(offsets)

    def close(self) -> None:
        self.inner.close()


@dataclass
class FaultyWriter:
    inner: LogWriter
    log: FaultyLog

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        self.inner.send(topic, key, value, headers)

    def flush(self) -> None:
        if self.log.fails("flush"):
            raise BrokerError("not acknowledged")
        self.inner.flush()

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
def faulty(log: MemoryLog) -> Iterator[FaultyLog]:
    yield FaultyLog(log)
    FaultyLog.failing.pop(log.name, None)


def test_nothing_is_committed_while_outputs_are_not_acknowledged(faulty: FaultyLog) -> None:
    write(faulty.inner, "in", ["a", "b", "c"])
    FaultyLog.failing[faulty.inner.name] = "flush"
    with pytest.raises(JobFailed, match="not acknowledged"):
        run_streaming(copy_to(faulty), settings(faulty), restart=NO_RESTART)
    assert set(committed(faulty.inner).values()) == {None}
    assert faulty.inner.records("out") == []

    del FaultyLog.failing[faulty.inner.name]
    run_streaming(copy_to(faulty), settings(faulty))
    assert sorted(r.value for r in faulty.inner.records("out")) == [b"a", b"b", b"c"]


def test_commits_follow_the_outputs(log: MemoryLog) -> None:
    """At every moment of a run, what is committed has been written before."""
    write(log, "in", [str(number) for number in range(200)])
    behind = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            progress = sum(offset or 0 for offset in committed(log).values())  # first the progress,
            behind.append(len(log.records("out")) - progress)  # then the outputs: these may only be ahead

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run_streaming(copy_to(log), settings(log, max_records=5))
    finally:
        done.set()
        watcher.join()
    assert len(behind) > 20
    assert min(behind) >= 0


def test_a_commit_that_failed_is_tried_again_although_nothing_more_comes(faulty: FaultyLog) -> None:
    FaultyLog.failing[faulty.inner.name] = "commit"
    write(faulty.inner, "in", ["a"])
    endless = settings(faulty, stop_when_idle_s=None)
    job = threading.Thread(target=run_streaming, args=(copy_to(faulty), endless))
    job.start()
    try:
        wait_until(lambda: len(faulty.inner.records("out")) == 1)
        assert not is_caught_up(faulty.inner)
        del FaultyLog.failing[faulty.inner.name]
        wait_until(lambda: is_caught_up(faulty.inner))
    finally:
        draining.set()
        job.join(10)
    assert len(faulty.inner.records("out")) == 1


def test_a_group_that_may_not_commit_is_found_out(faulty: FaultyLog) -> None:
    FaultyLog.failing[faulty.inner.name] = "commit"
    write(faulty.inner, "in", [str(number) for number in range(100)])
    with pytest.raises(JobFailed, match="not authorised to commit"):
        run_streaming(copy_to(faulty), settings(faulty, max_records=5), restart=NO_RESTART)


def test_a_silent_broker_is_not_taken_for_an_idle_topic(faulty: FaultyLog) -> None:
    write(faulty.inner, "in", ["a"])
    FaultyLog.failing[faulty.inner.name] = "read"
    with pytest.raises(JobFailed, match="nobody answers"):
        run_streaming(copy_to(faulty), settings(faulty), restart=NO_RESTART)


def test_a_drain_stops_between_two_records_and_keeps_the_rest(log: MemoryLog) -> None:
    write(log, "in", ["a"] * 20)  # one key, one partition

    def build(records: Any) -> Any:
        return records | beam.Map(drain_at, offset=6) | beam.Map(_renamed, topic="out") | WriteLog(log)

    assert run_streaming(build, settings(log, stop_when_idle_s=None)) == 0
    assert len(log.records("out")) == 7
    assert sum(offset or 0 for offset in committed(log).values()) == 7


def drain_at(record: Record, *, offset: int) -> Record:
    if record.offset == offset:
        source.draining.set()
    return record


@pytest.mark.parametrize("slots", [1, 3])
def test_kafka_partitions_that_are_added_while_running_are_read(
    kafka_log: KafkaLog, unique: Callable[[str], str], slots: int
) -> None:
    from kafka import KafkaAdminClient  # noqa: PLC0415

    topic, out = unique("in"), unique("out")
    kafka_log.create_topics([TopicPlan(topic, partitions=3), TopicPlan(out)])
    plan = SlotPlan(slots, tuple(range(slots)))
    job = threading.Thread(
        target=run_streaming,
        args=(copy_to(kafka_log, out), settings(kafka_log, topic, slots=plan, stop_when_idle_s=None)),
    )
    job.start()
    try:
        write(kafka_log, topic, [f"early-{number}" for number in range(50)])
        wait_until(lambda: sum(ends(kafka_log, out).values()) == 50)
        admin = KafkaAdminClient(bootstrap_servers=kafka_log.brokers)
        admin.create_partitions({topic: 6})
        admin.close()
        wait_until(lambda: len(ends(kafka_log, topic)) == 6)
        write(kafka_log, topic, [f"late-{number}" for number in range(50)])
        spread = ends(kafka_log, topic)
        assert all(spread[partition] > 0 for partition in (3, 4, 5)), "else this test shows nothing"
        wait_until(lambda: sum(ends(kafka_log, out).values()) == 100)
        wait_until(lambda: is_caught_up(kafka_log, topic))
    finally:
        draining.set()
        job.join(30)
    assert not job.is_alive()


def wait_until(reached: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not reached():
        assert time.monotonic() < deadline_s, "did not happen in time"
        time.sleep(0.05)
