"""The running job inside this process: restarts, refusals, draining."""

from __future__ import annotations

import collections
import gc
import logging
import threading
import time
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import apache_beam as beam
import pytest

from pipeline.log import LogReader, LogWriter, Record, TopicPlan
from pipeline.memory_log import MemoryLog
from pipeline.runner import RestartPolicy, run_streaming
from pipeline.sink import Outgoing, WriteLog
from pipeline.source import ReadSettings, draining
from soundalike.errors import BrokerError, JobFailed, SettingsError

QUICK = RestartPolicy(first_backoff_s=0.05, max_backoff_s=0.2, max_failures=4)


@pytest.fixture
def log(unique: Callable[[str], str]) -> MemoryLog:
    log = MemoryLog(unique("log"))
    log.create_topics([TopicPlan("in"), TopicPlan("out")])
    writer = log.open_writer()
    for number in range(10):
        writer.send("in", b"key", b"%d" % number)
    writer.flush()
    return log


def settings(log: MemoryLog, *, stop_when_idle_s: float | None = 0.3) -> ReadSettings:
    return ReadSettings(log, "in", "job", max_records=4, max_wait_s=0.1, stop_when_idle_s=stop_when_idle_s)


def to_out(record: Record) -> Outgoing:
    return Outgoing("out", record.key or b"", record.value)


failures_left: dict[str, int] = {}


def fail_at(record: Record, *, value: bytes, counter: str) -> Record:
    if record.value == value and failures_left.get(counter, 0) > 0:
        failures_left[counter] -= 1
        raise RuntimeError("the stage broke")
    return record


def failing_graph(log: MemoryLog) -> Callable[[Any], Any]:
    return lambda records: (
        records | beam.Map(fail_at, value=b"6", counter=log.name) | beam.Map(to_out) | WriteLog(log)
    )


def test_a_broken_stage_is_run_again_from_what_was_committed(
    log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    failures_left[log.name] = 3
    causes: list[Exception] = []
    assert run_streaming(failing_graph(log), settings(log), restart=QUICK, on_failure=causes.append) == 0
    written = [record.value for record in log.records("out")]
    assert sorted(set(written)) == [b"%d" % number for number in range(10)], "nothing is lost"
    assert written[:4] == [b"0", b"1", b"2", b"3"], "a committed bundle is not read again"
    assert written.count(b"0") == 1
    assert len(causes) == 3
    assert "the stage broke" in str(causes[0])
    logged = [record for record in caplog.records if record.name == "pipeline.runner"]
    assert len(logged) == 3
    assert all(record.levelno == logging.ERROR and record.exc_info for record in logged)


def test_a_job_that_keeps_failing_is_given_up_with_its_cause(log: MemoryLog) -> None:
    failures_left[log.name] = 1000
    with pytest.raises(JobFailed, match=r"failed 4 times in a row, lastly with: .*the stage broke") as caught:
        run_streaming(failing_graph(log), settings(log), restart=QUICK)
    assert "\n" not in str(caught.value), "an error is one line"
    assert failures_left[log.name] == 996


def test_back_off_doubles_up_to_its_maximum() -> None:
    policy = RestartPolicy(first_backoff_s=1, max_backoff_s=30)
    assert [policy.backoff_s(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_drain_ends_the_wait_between_restarts(log: MemoryLog) -> None:
    failures_left[log.name] = 1
    slow = RestartPolicy(first_backoff_s=60, max_backoff_s=60)
    threading.Timer(1.5, draining.set).start()
    began_s = time.monotonic()
    assert run_streaming(failing_graph(log), settings(log), restart=slow) == 0
    assert time.monotonic() - began_s < 20


def test_a_graph_that_would_commit_too_early_is_refused(log: MemoryLog) -> None:
    def flattened(records: Any) -> Any:
        both = (records | "one" >> beam.Map(to_out), records | "two" >> beam.Map(to_out))
        return both | beam.Flatten() | WriteLog(log)

    def shuffled(records: Any) -> Any:
        return records | beam.Map(to_out) | beam.Reshuffle() | WriteLog(log)

    for graph in (flattened, shuffled):
        with pytest.raises(ValueError, match=r"the graph is cut at .*(Flatten|Reshuffle)"):
            run_streaming(graph, settings(log))
    assert log.records("out") == []


def test_several_sinks_are_still_one_stage(log: MemoryLog) -> None:
    def graph(records: Any) -> None:
        records | "one" >> beam.Map(to_out) | "write one" >> WriteLog(log)
        records | "two" >> beam.Map(to_out) | "write two" >> WriteLog(log)

    assert run_streaming(graph, settings(log)) == 0
    assert len(log.records("out")) == 20


@pytest.mark.parametrize("runner", ["DirectRunner", "BundleBasedDirectRunner"])
def test_runners_that_never_commit_are_refused(log: MemoryLog, runner: str) -> None:
    with pytest.raises(SettingsError, match="never commits"):
        run_streaming(lambda records: records, settings(log), beam_args=[f"--runner={runner}"])


def test_a_missing_topic_is_said_at_once(unique: Callable[[str], str]) -> None:
    with pytest.raises(BrokerError, match="topic 'in' does not exist"):
        run_streaming(lambda records: records, settings(MemoryLog(unique("empty"))))


generators: list[int] = []


def count_generators(record: Record) -> Record:
    if record.value in (b"50", b"350"):
        # Not isinstance: that asks lazy modules of other tests for their class, and they warn.
        generators.append(sum(type(each) is types.GeneratorType for each in gc.get_objects()))
    return record


def test_memory_does_not_grow_with_the_number_of_bundles(log: MemoryLog) -> None:
    """Left alone, Beam's local runner keeps two generators and the metrics of every bundle for ever."""
    log.create_topics([TopicPlan("many")])
    writer = log.open_writer()
    for number in range(400):
        writer.send("many", b"key", b"%d" % number)
    writer.flush()
    one_record_a_bundle = replace(settings(log), topic="many", max_records=1)
    generators.clear()

    def graph(records: Any) -> Any:
        return records | beam.Map(count_generators) | beam.Map(to_out) | WriteLog(log)

    assert run_streaming(graph, one_record_a_bundle) == 0
    early, late = generators
    assert late - early < 30, "300 bundles lie between the two"


@dataclass(frozen=True)
class CountingLog:
    """A log that counts the readers and writers which are open, by its name."""

    inner: MemoryLog
    opened: ClassVar[collections.Counter[str]] = collections.Counter()
    closed: ClassVar[collections.Counter[str]] = collections.Counter()

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        self.inner.create_topics(plans)

    def open_reader(self, topic: str, group: str) -> LogReader:
        return self._counted(self.inner.open_reader(topic, group))

    def open_writer(self) -> LogWriter:
        return self._counted(self.inner.open_writer())

    def _counted(self, handle: Any) -> Any:
        close = handle.close
        self.opened[self.inner.name] += 1

        def counting_close() -> None:
            self.closed[self.inner.name] += 1
            close()

        handle.close = counting_close
        return handle


def test_restarts_leave_no_connection_behind(log: MemoryLog) -> None:
    failures_left[log.name] = 3
    counting = CountingLog(log)

    def graph(records: Any) -> Any:
        broken = records | beam.Map(fail_at, value=b"6", counter=log.name)
        return broken | beam.Map(to_out) | WriteLog(counting)

    assert run_streaming(graph, replace(settings(log), log=counting), restart=QUICK) == 0
    assert CountingLog.opened[log.name] >= 4 * 2
    assert CountingLog.closed[log.name] == CountingLog.opened[log.name]
