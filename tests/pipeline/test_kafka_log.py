"""What is special about Kafka: lost offsets, brokers that are away, transactions, tombstones, headers."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from pipeline import kafka_log as module
from pipeline.kafka_log import KafkaLog
from pipeline.log import LogReader, Record, TopicPlan
from soundalike.errors import BrokerError

if TYPE_CHECKING:
    from conftest import Broker


@pytest.fixture
def topic(kafka_log: KafkaLog, unique: Callable[[str], str]) -> str:
    name = unique("events")
    kafka_log.create_topics([TopicPlan(name)])
    return name


def write(log: KafkaLog, topic: str, *values: bytes) -> None:
    writer = log.open_writer()
    for value in values:
        writer.send(topic, b"key", value)
    writer.flush()
    writer.close()


def read(reader: LogReader, start: int, *, count: int) -> list[Record]:
    records: list[Record] = []
    deadline_s = time.monotonic() + 10
    while len(records) < count and time.monotonic() < deadline_s:
        position = records[-1].next_offset if records else start
        records += reader.read({0: position}, max_records=count, max_wait_s=0.5)
    return records


def test_keys_headers_and_times_come_through(kafka_log: KafkaLog, topic: str) -> None:
    writer = kafka_log.open_writer()
    writer.send(topic, b"\x00key\xff", b"value", (("reason", b"\x01\x02"), ("empty", b"")))
    writer.send(topic, None, b"no key")
    writer.flush()
    writer.close()
    reader = kafka_log.open_reader(topic, "group")
    first, second = read(reader, 0, count=2)
    assert (first.key, first.headers) == (b"\x00key\xff", (("reason", b"\x01\x02"), ("empty", b"")))
    assert (second.key, second.headers) == (None, ())
    assert first.place == f"{topic}/0@0"
    assert abs(first.timestamp_ms / 1000 - time.time()) < 60
    reader.close()


def test_a_tombstone_reads_as_empty(kafka_log: KafkaLog, topic: str) -> None:
    from kafka import KafkaProducer  # noqa: PLC0415

    producer = KafkaProducer(bootstrap_servers=kafka_log.brokers)
    producer.send(topic, key=b"upload", value=None).get(timeout=10)
    producer.close()
    reader = kafka_log.open_reader(topic, "group")
    assert [record.value for record in read(reader, 0, count=1)] == [b""]
    reader.close()


def test_an_aborted_transaction_is_not_read(
    kafka_log: KafkaLog, topic: str, unique: Callable[[str], str]
) -> None:
    from kafka import KafkaProducer  # noqa: PLC0415

    producer = KafkaProducer(bootstrap_servers=kafka_log.brokers, transactional_id=unique("uploader"))
    producer.init_transactions()
    for value, end in ((b"aborted", producer.abort_transaction), (b"kept", producer.commit_transaction)):
        producer.begin_transaction()
        producer.send(topic, value)
        end()
    producer.close()
    reader = kafka_log.open_reader(topic, "group")
    assert [record.value for record in read(reader, 0, count=1)] == [b"kept"]
    reader.close()


def test_records_that_expired_before_they_were_read_are_warned_of(
    kafka_log: KafkaLog, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    from kafka import KafkaAdminClient, TopicPartition  # noqa: PLC0415

    write(kafka_log, topic, *[b"x"] * 10)
    reader = kafka_log.open_reader(topic, "group")
    reader.commit({0: 2})
    admin = KafkaAdminClient(bootstrap_servers=kafka_log.brokers)
    admin.delete_records({TopicPartition(topic, 0): 6})
    admin.close()
    with caplog.at_level(logging.WARNING, logger=module.__name__):
        assert reader.start_offset(0) == 6
    assert f"stood at offset 2 of {topic}/0, which now holds 6 to 10" in caplog.text
    assert len(read(reader, 6, count=4)) == 4
    reader.close()


def test_a_topic_that_was_made_anew_is_read_from_its_start(
    kafka_log: KafkaLog, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(kafka_log, topic, b"new")
    reader = kafka_log.open_reader(topic, "group")
    reader.commit({0: 1_000})  # where the group stood in the topic that is gone
    with caplog.at_level(logging.WARNING, logger=module.__name__):
        assert reader.start_offset(0) == 0
    assert "was made anew" in caplog.text
    reader.close()


def test_a_record_that_is_too_large_is_an_error_of_flush_or_send(kafka_log: KafkaLog, topic: str) -> None:
    for size in (2_000_000, module.MAX_MESSAGE_BYTES + 1):  # more than the topic takes; more than we send
        writer = kafka_log.open_writer()
        with pytest.raises(BrokerError, match=f"{topic}.*failed: .*[Ll]arge"):
            send_and_flush(writer.send, writer.flush, topic, size)
        writer.close()


def send_and_flush(send: Callable[..., None], flush: Callable[[], None], topic: str, size: int) -> None:
    send(topic, b"key", b"x" * size)
    flush()


def test_flush_raises_when_the_broker_is_gone(
    new_broker: Callable[[], Broker], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = new_broker()
    log = KafkaLog(broker.address)
    log.create_topics([TopicPlan("out")])
    monkeypatch.setattr(module, "DELIVERY_TIMEOUT_S", 6.0)
    monkeypatch.setitem(module._COMMON_OPTIONS, "request_timeout_ms", 3_000)
    writer = log.open_writer()
    writer.send("out", b"key", b"acknowledged")
    writer.flush()
    broker.stop(signal.SIGKILL)
    writer.send("out", b"key", b"lost")
    began_s = time.monotonic()
    with pytest.raises(BrokerError, match=r"acknowledge|writing to 'out'"):
        writer.flush()
    assert time.monotonic() - began_s < 20
    writer.close()


def test_a_call_without_an_answer_is_given_up() -> None:
    release = threading.Event()
    with pytest.raises(BrokerError, match=r"asking nobody failed: no answer within 0\.1 s"):
        module._within(0.1, "asking nobody", release.wait)
    release.set()
    assert module._within(5.0, "asking", lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        module._within(5.0, "asking", lambda: 1 // 0)


@pytest.mark.parametrize("operation", ["create", "read", "write"])
def test_nobody_listening_is_said_at_once_and_in_one_line(operation: str) -> None:
    log = KafkaLog("127.0.0.1:1, 127.0.0.1:2")
    act = {
        "create": lambda: log.create_topics([]),
        "read": lambda: log.open_reader("uploads", "group"),
        "write": log.open_writer,
    }[operation]
    threads = threading.active_count()
    began_s = time.monotonic()
    with pytest.raises(BrokerError, match=r"127.0.0.1:1 \(Connection refused\), 127.0.0.1:2 \(") as caught:
        act()
    assert time.monotonic() - began_s < 2
    assert "\n" not in str(caught.value)
    assert threading.active_count() == threads, "nothing is left running"


def test_something_else_that_listens_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module._COMMON_OPTIONS, "bootstrap_timeout_ms", 1_500)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began_s = time.monotonic()
        with pytest.raises(BrokerError, match=r"creating topics on 127\.0\.0\.1"):
            KafkaLog(f"127.0.0.1:{deaf.getsockname()[1]}").create_topics([])
        assert time.monotonic() - began_s < 10


def test_one_living_broker_of_several_is_enough(kafka_log: KafkaLog, topic: str) -> None:
    log = KafkaLog(f"127.0.0.1:1, {kafka_log.brokers}")
    write(log, topic, b"value")
    reader = log.open_reader(topic, "group")
    assert len(read(reader, 0, count=1)) == 1
    reader.close()


@pytest.mark.parametrize("brokers", ["host:port", "127.0.0.1:", "", " , "])
def test_addresses_that_are_none_are_refused(brokers: str) -> None:
    with pytest.raises(BrokerError, match=r"form host:port|no address given"):
        KafkaLog(brokers).create_topics([])


def test_the_port_may_be_left_out_and_ipv6_be_bracketed() -> None:
    assert module._host_and_port("kafka") == ("kafka", 9092)
    assert module._host_and_port("[::1]:9093") == ("::1", 9093)
    assert module._host_and_port("[::1]") == ("::1", 9092)


def test_a_password_does_not_show() -> None:
    assert "secret" not in repr(KafkaLog("kafka:9092", (("sasl_plain_password", "secret"),)))
