"""What `pipeline.log` promises, held by all three logs: real Kafka, the spool, and memory."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pipeline import topics
from pipeline.log import Log, LogReader, Record, TopicPlan
from pipeline.memory_log import MemoryLog
from pipeline.spool_log import SpoolLog
from soundalike.errors import BrokerError

WAIT_S = 10.0


@pytest.fixture(params=["memory", "spool", "kafka"])
def log(request: pytest.FixtureRequest, tmp_path: Path, unique: Callable[[str], str]) -> Log:
    if request.param == "memory":
        return MemoryLog(unique("log"))
    if request.param == "spool":
        return SpoolLog(tmp_path / "spool")
    kafka_log: Log = request.getfixturevalue("kafka_log")
    return kafka_log


@pytest.fixture
def topic(log: Log, unique: Callable[[str], str]) -> str:
    """A topic of three partitions, where the log can have several."""
    name = unique("events")
    log.create_topics([TopicPlan(name, partitions=3)])
    return name


def write(log: Log, topic: str, values: Iterable[str]) -> None:
    writer = log.open_writer()
    for value in values:
        writer.send(topic, value.encode(), value.encode())
    writer.flush()
    writer.close()


def starts(reader: LogReader) -> dict[int, int]:
    return {partition: reader.start_offset(partition) for partition in reader.partitions()}


def read_all(reader: LogReader, *, count: int) -> list[Record]:
    """Read on from where the group stands until `count` records came; fails by time-out."""
    positions, found, deadline_s = starts(reader), [], time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline_s:
        for record in reader.read(positions, max_records=7, max_wait_s=0.5):
            assert record.offset >= positions[record.partition]
            positions[record.partition] = record.next_offset
            found.append(record)
    assert len(found) == count
    return found


def test_reads_back_every_record_once_and_in_order(log: Log, topic: str) -> None:
    values = [f'{{"n":{n}}}' for n in range(40)]
    write(log, topic, values)
    reader = log.open_reader(topic, "group")
    records = read_all(reader, count=40)
    assert sorted(record.value.decode() for record in records) == sorted(values)
    for partition in reader.partitions():
        numbers = [int(r.value[5:-1]) for r in records if r.partition == partition]
        assert numbers == sorted(numbers), "sent in this order, so each partition holds them in this order"
    assert all(record.topic == topic for record in records)
    assert all(abs(record.timestamp_ms / 1000 - time.time()) < 60 for record in records)
    reader.close()


def test_same_key_stays_in_order_in_one_partition(log: Log, topic: str) -> None:
    writer = log.open_writer()
    for number in range(30):
        writer.send(topic, b"one-upload", b"%d" % number)
    writer.flush()
    writer.close()
    reader = log.open_reader(topic, "group")
    records = read_all(reader, count=30)
    assert len({record.partition for record in records}) == 1
    assert [record.value for record in records] == [b"%d" % number for number in range(30)]
    reader.close()


def test_a_committed_group_goes_on_and_another_group_begins_anew(log: Log, topic: str) -> None:
    write(log, topic, ["a", "b", "c", "d"])
    reader = log.open_reader(topic, "first")
    assert all(reader.committed(partition) is None for partition in reader.partitions())
    records = read_all(reader, count=4)
    ends = {record.partition: record.next_offset for record in records}  # the last of a partition wins
    reader.commit(ends)
    assert {partition: reader.committed(partition) for partition in ends} == ends
    reader.close()

    write(log, topic, ["e"])
    again = log.open_reader(topic, "first")
    assert [record.value for record in read_all(again, count=1)] == [b"e"]
    again.close()
    other = log.open_reader(topic, "second")
    assert len(read_all(other, count=5)) == 5
    other.close()


def test_what_was_read_but_not_committed_is_read_again(log: Log, topic: str) -> None:
    write(log, topic, ["a", "b", "c"])
    for _ in range(2):
        reader = log.open_reader(topic, "group")
        assert sorted(record.value for record in read_all(reader, count=3)) == [b"a", b"b", b"c"]
        reader.close()


def test_a_late_commit_does_not_take_progress_back(log: Log, topic: str) -> None:
    write(log, topic, ["a"] * 6)  # one key, one partition
    reader = log.open_reader(topic, "group")
    records = read_all(reader, count=6)
    partition = records[0].partition
    reader.commit({partition: records[-1].next_offset})
    reader.commit({partition: records[0].next_offset})
    assert reader.committed(partition) == records[-1].next_offset
    reader.close()


def test_can_go_back_to_any_earlier_position(log: Log, topic: str) -> None:
    write(log, topic, ["a"] * 3)
    reader = log.open_reader(topic, "group")
    first, second, third = read_all(reader, count=3)
    again = read_from(reader, {first.partition: second.offset}, count=2)
    assert again == [second, third]
    reader.close()


def read_from(reader: LogReader, positions: dict[int, int], *, count: int) -> list[Record]:
    found: list[Record] = []
    deadline_s = time.monotonic() + WAIT_S
    while len(found) < count and time.monotonic() < deadline_s:
        found += reader.read(positions, max_records=count - len(found), max_wait_s=0.5)
        positions = positions | {record.partition: record.next_offset for record in found}
    return found


def test_a_batch_is_bounded(log: Log, topic: str) -> None:
    write(log, topic, [str(number) for number in range(20)])
    reader = log.open_reader(topic, "group")
    sizes = [len(reader.read(starts(reader), max_records=5, max_wait_s=2.0)) for _ in range(3)]
    assert max(sizes) == 5
    reader.close()


def test_waiting_for_nothing_is_bounded(log: Log, topic: str) -> None:
    reader = log.open_reader(topic, "group")
    positions = starts(reader)
    began_s = time.monotonic()
    assert reader.read(positions, max_records=5, max_wait_s=0.4) == []
    assert 0.3 <= time.monotonic() - began_s < 2.0
    assert reader.read({}, max_records=5, max_wait_s=0.1) == [], "a slot may have no partition yet"
    reader.close()


def test_a_record_that_comes_while_waiting_is_read_at_once(log: Log, topic: str) -> None:
    reader = log.open_reader(topic, "group")
    positions = starts(reader)
    reader.read(positions, max_records=1, max_wait_s=0.1)
    write(log, topic, ["late"])
    began_s = time.monotonic()
    assert [record.value for record in reader.read(positions, max_records=1, max_wait_s=WAIT_S)] == [b"late"]
    assert time.monotonic() - began_s < 2.0
    reader.close()


def test_lag_counts_the_records_that_are_left(log: Log, topic: str) -> None:
    write(log, topic, [str(number) for number in range(12)])
    reader = log.open_reader(topic, "group")
    assert sum(reader.lag_records(starts(reader)).values()) == 12
    records = read_all(reader, count=12)
    ends = starts(reader) | {record.partition: record.next_offset for record in records}
    assert set(reader.lag_records(ends).values()) == {0}
    assert reader.lag_records({}) == {}
    reader.close()


def test_creating_topics_twice_keeps_what_is_in_them(log: Log, topic: str) -> None:
    write(log, topic, ["kept"])
    log.create_topics([TopicPlan(topic, partitions=3)])
    reader = log.open_reader(topic, "group")
    assert [record.value for record in read_all(reader, count=1)] == [b"kept"]
    reader.close()


def test_an_absent_topic_has_no_partitions_and_takes_no_records(
    log: Log, unique: Callable[[str], str]
) -> None:
    log.create_topics([])
    name = unique("absent")
    reader = log.open_reader(name, "group")
    assert reader.partitions() == ()
    reader.close()
    writer = log.open_writer()
    with pytest.raises(BrokerError, match="absent"):
        write_one(writer.send, writer.flush, name)
    writer.close()


def write_one(send: Callable[..., None], flush: Callable[[], None], topic: str) -> None:
    send(topic, b"key", b"value")
    flush()


def test_travels_by_pickle(log: Log, topic: str) -> None:
    write(log, topic, ["a"])
    reader = pickle.loads(pickle.dumps(log)).open_reader(topic, "group")
    assert len(read_all(reader, count=1)) == 1
    reader.close()


def test_a_dead_letter_of_the_largest_upload_event_fits(log: Log, unique: Callable[[str], str]) -> None:
    name = unique("dlq")
    log.create_topics([TopicPlan(name, settings=topics.plan(topics.DEAD_LETTERS).settings)])
    largest = 1_048_576 * 4 // 3 + 10_000  # Kafka's default message limit in base64, with headers and reason
    write(log, name, ["x" * 10])
    writer = log.open_writer()
    writer.send(name, b"key", b"x" * largest)
    writer.flush()
    writer.close()
    reader = log.open_reader(name, "group")
    assert max(len(record.value) for record in read_all(reader, count=2)) == largest
    reader.close()


def test_ensure_makes_every_topic_of_the_pipeline(log: Log, unique: Callable[[str], str]) -> None:
    prefix = unique("stage") + "."
    topics.ensure(log, prefix=prefix, partitions=2)
    for name in topics.ALL:
        reader = log.open_reader(prefix + name, "group")
        assert reader.partitions() != ()
        reader.close()
