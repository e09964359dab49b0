"""The log: partitioned, ordered, durable records. One small seam in front of Kafka and its twins.

A `Log` is a small picklable value that says where the records are; it opens readers and writers where the
work is done. Three implementations keep the same promises, and the same contract tests hold for all of them:

- `pipeline.kafka_log.KafkaLog`: Apache Kafka;
- `pipeline.spool_log.SpoolLog`: one JSON Lines file per topic in a folder, for a laptop and the demo;
- `pipeline.memory_log.MemoryLog`: inside one process, for tests.

What is promised:

- Within a partition, records come in the order of their offsets, and the same offset always names the same
  record.
- `LogWriter.flush` returns only when every record sent before it is stored durably.
- `LogReader.commit` is the only thing that moves a group's progress, and it never moves it backwards within
  one reader. Whoever reads on after a crash starts at the committed offset: every record is seen at least
  once.
- Failures of the store are raised as `BrokerError`; nothing is retried for longer than the stated time-outs.

Readers and writers belong to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read. An absent value (a Kafka tombstone) reads as empty bytes."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers = ()
    timestamp_ms: int = 0
    """When the log took the record, in ms since 1970; a spool knows only when its file was last written."""
    span: int = 1
    """Distance to the next offset: 1 in Kafka, the bytes of the line in a spool."""

    @property
    def next_offset(self) -> int:
        """Where a reader that is done with this record goes on."""
        return self.offset + self.span

    @property
    def place(self) -> str:
        """Where the record lies, for people: `topic/partition@offset`."""
        return f"{self.topic}/{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How a topic is created if it is absent. An existing topic is left as it is."""

    name: str
    partitions: int = 1
    replication: int = 1
    settings: tuple[tuple[str, str], ...] = ()
    """Further settings of the broker for this topic, such as `("max.message.bytes", "4194304")`."""


class LogReader(Protocol):
    """Reads one topic on behalf of one consumer group."""

    def partitions(self) -> tuple[int, ...]:
        """The partitions of the topic, ascending. Empty while it is absent; grows when some are added."""
        ...

    def start_offset(self, partition: int) -> int:
        """Where the group goes on: the committed offset, else the oldest record that is still kept.

        A committed offset outside of what the log holds (expired, or the topic was made anew) is logged as a
        warning, and the oldest record is taken: reading twice is allowed, skipping is not.
        """
        ...

    def committed(self, partition: int) -> int | None:
        """The offset that the group committed, or None."""
        ...

    def read(self, positions: Mapping[int, int], *, max_records: int, max_wait_s: float) -> list[Record]:
        """At most `max_records` records from `positions` ({partition: next offset}) on.

        Waits up to `max_wait_s` for the first one and returns an empty list if none came. Per partition the
        records are in order and none is left out; among partitions the order is free.
        """
        ...

    def lag_records(self, positions: Mapping[int, int]) -> dict[int, int]:
        """{partition: number of records at or after the given position}, asked from the store itself."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Store {partition: next offset} as the group's progress, durably."""
        ...

    def close(self) -> None:
        """Let go of connections and files. Commits nothing."""
        ...


class LogWriter(Protocol):
    """Appends records to any topic."""

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        """Hand over one record. Records of the same key go to the same partition, in order."""
        ...

    def flush(self) -> None:
        """Return when everything sent so far is stored; raise BrokerError if any of it was not."""
        ...

    def close(self) -> None:
        """Let go of connections and files. What was not flushed may be lost."""
        ...


class Log(Protocol):
    """Where records are kept. Implementations are frozen, picklable values that hold no connection."""

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        """Create the topics that are absent. Raises BrokerError if the store does not answer."""
        ...

    def open_reader(self, topic: str, group: str) -> LogReader: ...

    def open_writer(self) -> LogWriter: ...
