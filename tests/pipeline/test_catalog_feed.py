"""The topic `catalog`, consumed: in order per track, each once, nothing lost, nothing blocked."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from index.catalog import Catalog
from index.terms import Decision
from pipeline import topics
from pipeline.catalog_feed import CatalogFeed, HeardRecording
from pipeline.events import CatalogChange, catalog_event, event_key, parse_event
from pipeline.kafka_log import KafkaLog
from pipeline.log import Log
from pipeline.memory_log import MemoryLog
from pipeline.metrics import Metrics
from pipeline.payloads import DeadLetter
from soundalike.errors import BrokerError, CatalogUnavailable, FetchFailed, NotAudio


@dataclass(frozen=True)
class TinyPrint:
    vectors: NDArray[np.int8]

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": self.vectors}


@dataclass
class Ears:
    """Hears every URI but those of `faults`; tells in which order."""

    faults: dict[str, list[Exception]] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    model_sha256: str = "a" * 64
    while_listening: Callable[[str], None] = lambda _uri: None

    def __call__(self, uri: str) -> HeardRecording:
        self.while_listening(uri)
        if self.faults.get(uri):
            raise self.faults[uri].pop(0)
        self.heard.append(uri)
        return HeardRecording(
            hashlib.sha256(uri.encode()).hexdigest(), 30.0, TinyPrint(np.ones((4, 8), np.int8))
        )


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "data", create=True) as catalog:
        yield catalog


@pytest.fixture
def log(unique: Callable[[str], str]) -> MemoryLog:
    log = MemoryLog(unique("feed"))
    topics.ensure(log, partitions=3)
    return log


@pytest.fixture
def ears(monkeypatch: pytest.MonkeyPatch) -> Ears:
    monkeypatch.setattr("pipeline.catalog_feed.FIRST_PAUSE_S", 0.01)
    return Ears()


@pytest.fixture
def feed(catalog: Catalog, log: MemoryLog, ears: Ears) -> CatalogFeed:
    return CatalogFeed(catalog=catalog, listen=ears, log=log, metrics=Metrics())


def change(track_id: str, revision: int, kind: str, **more: Any) -> CatalogChange:
    if kind == "added":
        more = {"uri": f"file:///{track_id}-{revision}.wav"} | more
    return CatalogChange(track_id=track_id, revision=revision, change=kind, **more)


def allow(version: int = 1, decision: str = "allow") -> dict[str, Any]:
    return {
        "term_id": "t",
        "version": version,
        "rightsholder": "Firn",
        "use": "ai_derivative",
        "decision": decision,
        "valid_from": datetime(2026, 1, 1, tzinfo=UTC),
    }


HELD = ({"rightsholder": "Firn", "share": "1", "role": "label"},)


def publish(log: Log, *changes: CatalogChange | bytes, topic: str = topics.CATALOG) -> None:
    writer = log.open_writer()
    for one in changes:
        if isinstance(one, bytes):
            writer.send(topic, b"key", one)
        else:
            event = catalog_event(one)
            writer.send(topic, event_key(event), event.to_bytes())
    writer.flush()
    writer.close()


def letters(log: MemoryLog) -> list[DeadLetter]:
    found = [parse_event(record.value)[1] for record in log.records(topics.CATALOG_DEAD_LETTERS)]
    assert all(isinstance(letter, DeadLetter) for letter in found)
    return found  # type: ignore[return-value]


def test_a_track_is_added_replaced_given_terms_and_removed(
    feed: CatalogFeed, catalog: Catalog, log: MemoryLog
) -> None:
    publish(
        log,
        change(
            "alp",
            1,
            "added",
            title="Alpenglow",
            artists=("Ada", " "),
            isrc="GB-AYE-06-01498",
            release_date="2024-05-17",
            rightsholders=HELD,
            terms=(allow(),),
        ),
        change("alp", 2, "added"),
        change("egypt", 1, "added"),
        change("egypt", 2, "removed"),
    )
    feed.run(once=True)
    (track,) = catalog.tracks()
    assert track.audio_sha256 == hashlib.sha256(b"file:///alp-2.wav").hexdigest()
    (finding,) = catalog.findings("alp", "ai_derivative", uploader="x")
    assert finding.decision is Decision.DENY  # the replacement named no terms: none hold
    assert [right.rightsholder for right in catalog.rights_of("alp")] == ["Firn"]
    assert letters(log) == []


def test_what_can_not_be_applied_is_kept_and_blocks_nobody(
    feed: CatalogFeed, catalog: Catalog, log: MemoryLog, ears: Ears
) -> None:
    ears.faults["file:///noise-1.wav"] = [NotAudio("no audio in it")]
    ears.faults["file:///away-1.wav"] = [FetchFailed("the store is silent")] * 4
    ears.faults["file:///slow-1.wav"] = [FetchFailed("the store is silent")] * 3
    ears.faults["file:///bug-1.wav"] = [ZeroDivisionError("oops")]
    publish(
        log,
        b"no event",
        change("noise", 1, "added"),
        change("away", 1, "added"),
        change("slow", 1, "added"),
        change("bug", 1, "added"),
        change("role", 1, "added", rightsholders=({"rightsholder": "F", "share": "1", "role": "boss"},)),
        change("wrong", 1, "added", audio_sha256="0" * 64),
        change("isrc", 1, "added", isrc="nonsense"),
        change("alp", 1, "added"),
    )
    feed.run(once=True)
    assert sorted(track.track_id for track in catalog.tracks()) == ["alp", "slow"]
    reasons = sorted(letter.reason for letter in letters(log))
    assert reasons == [
        "catalog", "catalog", "catalog", "fetch_failed", "malformed_event", "not_audio", "unexpected",
    ]  # fmt: skip
    broken = next(letter for letter in letters(log) if letter.reason == "malformed_event")
    assert broken.original()[:2] == (b"key", b"no event")
    feed.run(once=True)
    assert len(letters(log)) == 7  # the offsets were committed: nothing is read again


def test_an_event_of_another_topic_is_a_dead_letter(feed: CatalogFeed, log: MemoryLog) -> None:
    publish(log, (Path(__file__).parents[2] / "deploy/schemas/examples/upload.v1.minimal.json").read_bytes())
    feed.run(once=True)
    (letter,) = letters(log)
    assert "does not belong on this topic" in letter.message


def test_consent_does_not_wait_behind_other_tracks_recordings(
    feed: CatalogFeed, catalog: Catalog, log: MemoryLog, ears: Ears
) -> None:
    denied_when: list[int] = []
    publish(log, change("alp", 1, "added", rightsholders=HELD, terms=(allow(),)))
    feed.run(once=True)
    ears.heard.clear()

    def look(_uri: str) -> None:
        (finding,) = catalog.findings("alp", "ai_derivative", uploader="x")
        if finding.decision is Decision.DENY:
            denied_when.append(len(ears.heard))

    ears.while_listening = look
    publish(log, *(change(f"new-{n}", 1, "added") for n in range(30)))
    publish(log, change("alp", 2, "consent_changed", terms=(allow(2, "deny"),)))
    feed.run(once=True)
    assert denied_when[0] == 0  # before the first of the thirty was heard
    assert len(catalog.tracks()) == 31


def test_a_removal_waits_for_the_recording_of_its_own_track(
    feed: CatalogFeed, catalog: Catalog, log: MemoryLog, ears: Ears
) -> None:
    publish(log, *(change(f"new-{n}", 1, "added") for n in range(3)), change("new-1", 2, "removed"))
    feed.run(once=True)
    assert sorted(track.track_id for track in catalog.tracks()) == ["new-0", "new-2"]
    assert len(ears.heard) == 3


def test_trouble_of_the_catalog_commits_nothing_and_is_no_dead_letter(
    feed: CatalogFeed, catalog: Catalog, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(log, change("alp", 1, "added", rightsholders=HELD), change("alp", 2, "removed"))

    def fail(*_: Any, **__: Any) -> None:
        raise CatalogUnavailable("the database is away")

    with monkeypatch.context() as broken:
        broken.setattr("index.feed.Feed.put", fail)
        with pytest.raises(CatalogUnavailable):
            feed.run(once=True)
    assert letters(log) == []
    assert catalog.generation() == 0
    feed.run(once=True)
    assert catalog.generation() == 2


def test_a_dead_letter_that_can_not_be_written_commits_nothing(
    feed: CatalogFeed, log: MemoryLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(log, b"no event")

    def fail(_writer: object) -> None:
        raise BrokerError("the broker is away")

    with monkeypatch.context() as broken:
        broken.setattr("pipeline.memory_log.MemoryWriter.flush", fail)
        with pytest.raises(BrokerError):
            feed.run(once=True)
    feed.run(once=True)
    assert len(letters(log)) == 1


steps = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["added", "removed", "allow", "deny"])),
    max_size=8,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps, data=st.data())
def test_deliveries_that_repeat_end_where_each_once_would(
    steps: list[tuple[str, str]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At least once, in order per track: whatever prefix is delivered again, the state is the same."""
    revisions = {"a": 0, "b": 0}
    changes = []
    for track_id, what in steps:
        revisions[track_id] += 1
        revision = revisions[track_id]
        if what in ("added", "removed"):
            more = {"rightsholders": HELD} if what == "added" else {}
            changes.append(change(track_id, revision, what, **more))
        else:
            term = allow(revision, what) | {"term_id": f"term-{track_id}"}
            changes.append(change(track_id, revision, "consent_changed", terms=(term,)))
    repeated: list[CatalogChange] = []
    for number, one in enumerate(changes):
        repeated.append(one)
        back = data.draw(st.integers(0, number + 1))
        repeated += changes[number + 1 - back : number + 1]

    def outcome(delivered: list[CatalogChange]) -> object:
        folder = tmp_path_factory.mktemp("catalog")
        log = MemoryLog(str(folder))
        topics.ensure(log, partitions=2)
        publish(log, *delivered)
        with Catalog.open(folder, create=True) as catalog:
            CatalogFeed(catalog=catalog, listen=Ears(), log=log, metrics=Metrics()).run(once=True)
            tracks = sorted((track.track_id, track.audio_sha256) for track in catalog.tracks())
            terms = [(one.term_id, one.version, one.decision) for one in catalog.terms(history=True)]
            return tracks, sorted(terms), len(log.records(topics.CATALOG_DEAD_LETTERS))

    assert outcome(repeated) == outcome(changes)


def test_on_a_real_broker_changes_are_in_effect_within_seconds(
    kafka_log: KafkaLog, unique: Callable[[str], str], catalog: Catalog
) -> None:
    prefix = unique("live") + "."
    topics.ensure(kafka_log, [topics.CATALOG, topics.CATALOG_DEAD_LETTERS], prefix=prefix, partitions=3)
    feed = CatalogFeed(
        catalog=catalog, listen=Ears(), log=kafka_log, metrics=Metrics(), topic_prefix=prefix
    )  # fmt: skip
    thread = threading.Thread(target=feed.run)
    thread.start()
    try:
        topic = prefix + topics.CATALOG
        publish(kafka_log, change("alp", 1, "added", rightsholders=HELD, terms=(allow(),)), topic=topic)
        assert _within(30.0, lambda: len(catalog.tracks()) == 1)
        publish(kafka_log, change("alp", 2, "consent_changed"), b"no event", topic=topic)
        began_s = time.monotonic()
        assert _within(
            30.0,
            lambda: catalog.findings("alp", "ai_derivative", uploader="x")[0].decision is Decision.DENY,
        )
        assert time.monotonic() - began_s < 10.0  # the promise is 60 s; usually it is one
    finally:
        feed.stop.set()
        thread.join(timeout=30.0)
    assert not thread.is_alive()


def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        if holds():
            return True
        time.sleep(0.05)
    return False
