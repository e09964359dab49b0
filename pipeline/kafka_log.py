"""The log on Apache Kafka, through kafka-python: no JVM in the process, no cross-language service beside it.

Readers are assigned their partitions by hand and only store their progress under the group's name: the runner
decides who reads what, not a rebalance. Readers see committed transactions only; writers are idempotent and
wait for all in-sync replicas.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.net import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from pipeline.log import Headers, Record, TopicPlan
from pipeline.topics import MAX_MESSAGE_BYTES
from soundalike.errors import BrokerError

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

DEFAULT_PORT = 9092

CONNECT_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 15.0
DELIVERY_TIMEOUT_S = 30.0
"""How long a record may wait for its acknowledgement: long enough for a partition to change its leader."""

ADMIN_TIMEOUT_S = 60.0
"""For all topics together: a single node on a busy machine was seen to take seconds for each."""

_METADATA_MAX_AGE_MS = 2_000
"""Added partitions are seen within this time; measured cost: one small request per client."""

_COMMON_OPTIONS: dict[str, Any] = {
    "bootstrap_timeout_ms": int(CONNECT_TIMEOUT_S * 1000),
    "request_timeout_ms": int(REQUEST_TIMEOUT_S * 1000),
    # kafka-python waits up to 30 s between attempts by default: too long for a broker that was only
    # restarted.
    "reconnect_backoff_max_ms": 2_000,
}


@dataclass(frozen=True)
class KafkaLog:
    """The Kafka cluster behind `brokers`, a comma-separated list of `host:port`.

    `options` are passed on to every kafka-python client: `(("security_protocol", "SASL_SSL"), …)`.
    """

    brokers: str
    options: tuple[tuple[str, str | int | bool], ...] = field(default=(), repr=False)  # may hold a password
    client_id: str = "soundalike"

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        plans = list(plans)
        self._require_broker()
        what = f"creating topics on {self.brokers}"
        with _as_broker_error(what):
            admin = _connected(KafkaAdminClient, **self._client_options())
            try:
                _within(ADMIN_TIMEOUT_S, what, lambda: self._create_absent(admin, plans))
            finally:
                admin.close()

    def open_reader(self, topic: str, group: str) -> KafkaReader:
        self._require_broker()
        with _as_broker_error(f"connecting to {self.brokers} to read {topic!r}"):
            consumer = _connected(
                KafkaConsumer,
                **self._client_options(),
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                allow_auto_create_topics=False,
                metadata_max_age_ms=_METADATA_MAX_AGE_MS,
                fetch_max_wait_ms=200,
            )
        return KafkaReader(consumer, topic, group)

    def open_writer(self) -> KafkaWriter:
        self._require_broker()
        with _as_broker_error(f"connecting to {self.brokers} to write"):
            producer = _connected(
                KafkaProducer,
                **self._client_options(),
                acks="all",
                enable_idempotence=True,
                allow_auto_create_topics=False,
                delivery_timeout_ms=int(DELIVERY_TIMEOUT_S * 1000),
                max_block_ms=int(CONNECT_TIMEOUT_S * 1000),
                max_request_size=MAX_MESSAGE_BYTES,
                linger_ms=5,
            )
        return KafkaWriter(producer, self.brokers)

    def _client_options(self) -> dict[str, Any]:
        brokers = [address.strip() for address in self.brokers.split(",") if address.strip()]
        return {
            **_COMMON_OPTIONS,
            "bootstrap_servers": brokers,
            "client_id": self.client_id,
            **dict(self.options),
        }

    def _create_absent(self, admin: KafkaAdminClient, plans: Iterable[TopicPlan]) -> None:
        present = set(admin.list_topics())
        for plan in plans:
            if plan.name in present:
                continue
            options = {
                "num_partitions": plan.partitions,
                "replication_factor": plan.replication,
                "configs": dict(plan.settings),
            }
            try:
                admin.create_topics({plan.name: options}, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                continue  # another process was quicker; that topic is as good as ours
            _log.info("created topic %s with %d partitions", plan.name, plan.partitions)

    def _require_broker(self) -> None:
        """Raise BrokerError at once, and in one line, if nobody listens.

        A kafka-python client tries for the whole time-out, and logs every attempt as an error of its own.
        """
        if any(name in ("proxy_url", "socks5_proxy") for name, _ in self.options):
            return  # the brokers are reached by way of the proxy only
        failures = []
        for address in self._client_options()["bootstrap_servers"]:
            host, port = _host_and_port(address)
            try:
                socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
            except OSError as error:
                failures.append(f"{address} ({error.strerror or error})")
            else:
                return
        tried = ", ".join(failures) or "no address given"
        raise BrokerError(f"no Kafka broker answers at {tried}; is it running, and is --brokers right?")


class KafkaReader:
    """`LogReader` over one KafkaConsumer."""

    def __init__(self, consumer: KafkaConsumer, topic: str, group: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._group = group
        self._positions: dict[int, int] = {}  # where the consumer stands, per assigned partition
        self._committed: dict[int, int] = {}  # highest offset that this reader committed

    def partitions(self) -> tuple[int, ...]:
        what = f"listing the partitions of {self._topic!r}"
        with _as_broker_error(what):
            found = _within(REQUEST_TIMEOUT_S, what, lambda: self._consumer.partitions_for_topic(self._topic))
        return tuple(sorted(found))

    def start_offset(self, partition: int) -> int:
        committed = self.committed(partition)
        key = TopicPartition(self._topic, partition)
        with _as_broker_error(f"asking for the offsets of {self._topic}/{partition}"):
            beginning: int = self._consumer.beginning_offsets([key])[key]
            end: int = self._consumer.end_offsets([key])[key]
        if committed is None:
            return beginning
        if beginning <= committed <= end:
            return committed
        _log.warning(
            "group %s stood at offset %d of %s/%d, which now holds %d to %d; going on at %d. "
            "Records were deleted before they were read, or the topic was made anew.",
            *(self._group, committed, self._topic, partition, beginning, end, beginning),
        )
        return beginning

    def committed(self, partition: int) -> int | None:
        with _as_broker_error(f"asking where group {self._group!r} stands on {self._topic}/{partition}"):
            offset: int | None = self._consumer.committed(
                TopicPartition(self._topic, partition), timeout_ms=int(REQUEST_TIMEOUT_S * 1000)
            )
        # Kafka answers -1 for a partition that the group never committed.
        return None if offset is None or offset < 0 else offset

    def read(self, positions: Mapping[int, int], *, max_records: int, max_wait_s: float) -> list[Record]:
        with _as_broker_error(f"reading {self._topic!r}"):
            self._move_to(positions)
            fetched = self._consumer.poll(timeout_ms=int(max_wait_s * 1000), max_records=max_records)
        records = [_to_record(raw) for batch in fetched.values() for raw in batch]
        for record in records:
            if record.offset < positions[record.partition]:
                raise BrokerError(
                    f"{record.place} came although the reader stands at {positions[record.partition]}: "
                    f"topic {self._topic!r} was made anew while it was read"
                )
            self._positions[record.partition] = record.next_offset
        return records

    def lag_records(self, positions: Mapping[int, int]) -> dict[int, int]:
        if not positions:
            return {}
        keys = [TopicPartition(self._topic, partition) for partition in positions]
        with _as_broker_error(f"asking for the end of {self._topic!r}"):
            ends = self._consumer.end_offsets(keys)
        return {key.partition: max(0, ends[key] - positions[key.partition]) for key in keys}

    def commit(self, offsets: Mapping[int, int]) -> None:
        ahead = {p: offset for p, offset in offsets.items() if offset > self._committed.get(p, -1)}
        if not ahead:
            return
        with _as_broker_error(f"committing the progress of group {self._group!r} on {self._topic!r}"):
            self._consumer.commit(
                {TopicPartition(self._topic, p): OffsetAndMetadata(offset) for p, offset in ahead.items()},
                timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            )
        self._committed.update(ahead)

    def close(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=2_000)

    def _move_to(self, positions: Mapping[int, int]) -> None:
        """Make the consumer read exactly `positions`.

        It is told every position explicitly, after `assign` too: a freshly assigned consumer looks its
        offsets up in the background, and short polls were measured to return nothing for ever.
        """
        if positions.keys() != self._positions.keys():
            self._consumer.assign([TopicPartition(self._topic, partition) for partition in positions])
            self._positions = {}
        for partition, offset in positions.items():
            if self._positions.get(partition) != offset:
                self._consumer.seek(TopicPartition(self._topic, partition), offset)
                self._positions[partition] = offset


class KafkaWriter:
    """`LogWriter` over one KafkaProducer. `send` only queues; the network thread sends while the caller
    works."""

    def __init__(self, producer: KafkaProducer, brokers: str) -> None:
        self._producer = producer
        self._brokers = brokers
        self._unacknowledged: list[tuple[str, Any]] = []  # topic, future of the record's metadata

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        with _as_broker_error(f"sending {len(value)} bytes to {topic!r} on {self._brokers}"):
            future = self._producer.send(topic, value=value, key=key, headers=list(headers))
        self._unacknowledged.append((topic, future))

    def flush(self) -> None:
        unacknowledged, self._unacknowledged = self._unacknowledged, []
        with _as_broker_error(f"waiting for {self._brokers} to acknowledge {len(unacknowledged)} records"):
            self._producer.flush(timeout=DELIVERY_TIMEOUT_S)
        for topic, future in unacknowledged:
            # flush() returns when each record was acknowledged or given up; only the future tells which.
            with _as_broker_error(f"writing to {topic!r} on {self._brokers}"):
                future.get(timeout=0)

    def close(self) -> None:
        self._producer.close(timeout=2.0)


def _connected(client_class: Callable[..., Any], **options: Any) -> Any:
    """A client of kafka-python. One that can't be made leaves nothing behind.

    Its constructor connects, and a constructor that raises hands out nothing that could be closed: its
    thread and sockets would stay, and a job that is restarted during an outage would gather them.
    """
    made = []

    def make(**config: Any) -> Any:
        made.append(KafkaNetClient(**config))
        return made[-1]

    try:
        return client_class(kafka_client=make, **options)
    except BaseException:
        for client in made:
            client.close()
        raise


def _within(timeout_s: float, what: str, call: Callable[[], _Result]) -> _Result:
    """What `call` returns. Raises BrokerError after `timeout_s`; the call stays behind in a daemon thread.

    For those calls of kafka-python that take no time-out and wait for an answer for ever.
    """
    answer: Future[_Result] = Future()

    def work() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # noqa: BLE001  # handed to the caller
            answer.set_exception(error)

    threading.Thread(target=work, name="kafka-call", daemon=True).start()
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        raise BrokerError(f"{what} failed: no answer within {timeout_s:g} s") from None


def _to_record(raw: Any) -> Record:
    return Record(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        key=raw.key,
        value=raw.value or b"",
        headers=tuple((name, value or b"") for name, value in raw.headers or ()),
        timestamp_ms=raw.timestamp or 0,
    )


def _host_and_port(address: str) -> tuple[str, int]:
    if address.endswith("]") or ":" not in address:
        return address.strip("[]"), DEFAULT_PORT
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        raise BrokerError(f"broker address {address!r} is not of the form host:port")
    return host.strip("[]"), int(port)


@contextmanager
def _as_broker_error(what: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, OSError) as error:
        raise BrokerError(f"{what} failed: {error}") from error
