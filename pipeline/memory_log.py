"""The log inside one process: the twin that tests use where a broker would only be slow.

A `MemoryLog` is only a name; the records live in a table of this process. That keeps it picklable, as a real
log's address is, and lets a test look at the same records that the copies of it inside a Beam graph write.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.log import Headers, Record, TopicPlan
from soundalike.errors import BrokerError


@dataclass
class _Store:
    """All records and all progress of one named log. Guarded by `changed`."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    topics: dict[str, list[list[Record]]] = field(default_factory=dict)
    progress: dict[tuple[str, str, int], int] = field(
        default_factory=dict
    )  # (group, topic, partition) -> offset


_stores: dict[str, _Store] = {}
_stores_lock = threading.Lock()


@dataclass(frozen=True)
class MemoryLog:
    """The log called `name` in this process. Two values of the same name are the same log."""

    name: str

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        store = self._store()
        with store.changed:
            for plan in plans:
                store.topics.setdefault(plan.name, [[] for _ in range(plan.partitions)])

    def add_partitions(self, topic: str, total: int) -> None:
        """Grow `topic` to `total` partitions, as an operator does on a running broker."""
        store = self._store()
        with store.changed:
            partitions = store.topics[topic]
            partitions.extend([] for _ in range(total - len(partitions)))

    def records(self, topic: str) -> list[Record]:
        """Everything in `topic`, partition by partition."""
        store = self._store()
        with store.changed:
            return [record for partition in store.topics.get(topic, []) for record in partition]

    def open_reader(self, topic: str, group: str) -> MemoryReader:
        return MemoryReader(self._store(), topic, group)

    def open_writer(self) -> MemoryWriter:
        return MemoryWriter(self._store())

    def _store(self) -> _Store:
        with _stores_lock:
            return _stores.setdefault(self.name, _Store())


class MemoryReader:
    """`LogReader` over a table in memory."""

    def __init__(self, store: _Store, topic: str, group: str) -> None:
        self._store = store
        self._topic = topic
        self._group = group
        self._committed: dict[int, int] = {}  # highest offset that this reader committed

    def partitions(self) -> tuple[int, ...]:
        with self._store.changed:
            return tuple(range(len(self._store.topics.get(self._topic, []))))

    def start_offset(self, partition: int) -> int:
        return self.committed(partition) or 0

    def committed(self, partition: int) -> int | None:
        with self._store.changed:
            return self._store.progress.get((self._group, self._topic, partition))

    def read(self, positions: Mapping[int, int], *, max_records: int, max_wait_s: float) -> list[Record]:
        deadline_s = time.monotonic() + max_wait_s
        with self._store.changed:
            while True:
                partitions = self._store.topics.get(self._topic, [])
                found = [record for p, offset in positions.items() for record in partitions[p][offset:]]
                wait_s = deadline_s - time.monotonic()
                if found or wait_s <= 0:
                    return found[:max_records]
                self._store.changed.wait(wait_s)

    def lag_records(self, positions: Mapping[int, int]) -> dict[int, int]:
        with self._store.changed:
            partitions = self._store.topics.get(self._topic, [])
            return {p: len(partitions[p]) - offset for p, offset in positions.items()}

    def commit(self, offsets: Mapping[int, int]) -> None:
        with self._store.changed:
            for partition, offset in offsets.items():
                if offset > self._committed.get(partition, -1):
                    self._committed[partition] = offset
                    self._store.progress[self._group, self._topic, partition] = offset

    def close(self) -> None:
        pass


class MemoryWriter:
    """`LogWriter` over a table in memory. What was sent can be read only once it is flushed."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._pending: list[tuple[str, bytes | None, bytes, Headers]] = []

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        self._pending.append((topic, key, value, headers))

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        with self._store.changed:
            for topic, key, value, headers in pending:
                partitions = self._store.topics.get(topic)
                if partitions is None:
                    raise BrokerError(f"topic {topic!r} does not exist; create it before writing to it")
                # crc32 rather than hash(): the same key must find the same partition in every process.
                number = zlib.crc32(key or b"") % len(partitions)
                partition = partitions[number]
                now_ms = time.time_ns() // 1_000_000
                partition.append(Record(topic, number, len(partition), key, value, headers, now_ms))
            self._store.changed.notify_all()

    def close(self) -> None:
        self._pending = []
