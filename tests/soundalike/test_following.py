"""Reading a topic for people: all of it, on from where a group left off, and an end that comes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.log import TopicPlan
from pipeline.memory_log import MemoryLog
from soundalike.following import follow

TOPIC = "uploads.dlq"


@pytest.fixture
def log(unique: Callable[[str], str]) -> MemoryLog:
    made = MemoryLog(unique("following"))
    made.create_topics([TopicPlan(TOPIC, partitions=3)])
    return made


def write(log: MemoryLog, *values: bytes) -> None:
    writer = log.open_writer()
    for value in values:
        writer.send(TOPIC, value, value)
    writer.flush()


def test_once_reads_what_is_there_and_ends(log: MemoryLog) -> None:
    values = [f"letter-{n}".encode() for n in range(450)]  # more than two batches
    write(log, *values)

    assert sorted(record.value for record in follow(log, TOPIC, once=True)) == sorted(values)
    assert list(follow(MemoryLog(log.name), "absent", once=True)) == []


def test_once_ends_although_every_record_brings_another(log: MemoryLog) -> None:
    """What `replay --all` does to a letter that fails again at once."""
    write(log, b"one", b"two")
    read = []

    for record in follow(log, TOPIC, once=True, group="replay"):
        assert len(read) < 10, "it follows its own tail"
        read.append(record.value)
        write(log, record.value + b" again")

    assert sorted(read) == [b"one", b"two"]
    later = [record.value for record in follow(log, TOPIC, once=True, group="replay")]
    assert sorted(later) == [b"one again", b"two again"]


def test_a_group_goes_on_where_it_stood(log: MemoryLog) -> None:
    write(log, b"one")
    assert [record.value for record in follow(log, TOPIC, once=True, group="g")] == [b"one"]
    write(log, b"two")

    assert [record.value for record in follow(log, TOPIC, once=True, group="g")] == [b"two"]
    assert len(list(follow(log, TOPIC, once=True))) == 2


def test_without_once_it_waits_for_what_comes(log: MemoryLog) -> None:
    write(log, b"one")
    following = follow(log, TOPIC, once=False)
    assert next(following).value == b"one"

    write(log, b"two")
    assert next(following).value == b"two"
    following.close()
