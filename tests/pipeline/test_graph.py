"""The whole graph on the local runner, over the log in memory: what goes in comes out once, somewhere.

The audio and the network are scripted by the URI (`case:flagged`); the catalog is a real one in a temporary
folder; Beam, source and sink are those of production.
"""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifiers.ai.detector import Assessment
from classifiers.audio import Audio
from classifiers.provenance import Claim
from index.catalog import Catalog
from index.matcher import SegmentMatch
from index.terms import Decision, Term, Use
from index.tracks import Right, Track
from pipeline import topics
from pipeline.analyse import Equipment, Hearing, analyse
from pipeline.events import AiDisclosure, DeadLetter, Upload, parse_event, parse_upload, upload_event
from pipeline.evidence import AudioFacts
from pipeline.graph import moderation_graph
from pipeline.log import Headers, LogReader, LogWriter, TopicPlan
from pipeline.memory_log import MemoryLog
from pipeline.policy import Policy
from pipeline.replay import FAILURES_HEADER, replayed
from pipeline.runner import RestartPolicy, run_streaming
from pipeline.sink import WriteLog
from pipeline.source import ReadSettings
from soundalike.errors import (
    AudioTruncated,
    BrokerError,
    CatalogBusy,
    FetchFailed,
    JobFailed,
)

CASES = (
    *("clear", "flagged", "licensed", "own", "machine", "clone", "marked", "unheard"),
    *("truncated", "unreachable", "crash-hear", "crash-match"),
)
VERDICT_OF = {
    "machine": "clear",
    "clone": "flagged",
    "marked": "clear",
    "unheard": "clear",
    "clear": "clear",
    "flagged": "flagged",
    "licensed": "licensed",
    "own": "clear",
    "truncated": "undecodable",
}
SHA256 = "5" * 64
AT_ONCE = RestartPolicy(max_failures=1)


@dataclass(frozen=True)
class ScriptedMatcher:
    """Finds what the case in the audio asks for."""

    tracks: int

    def match(self, case: str) -> list[SegmentMatch]:
        if case == "crash-match":
            raise ZeroDivisionError("a bug that one upload brings to light")
        holders = {"flagged": "t-denied", "clone": "t-denied", "licensed": "t-licensed", "own": "t-own"}
        track = holders.get(case)
        if track is None:
            return []
        return [SegmentMatch(track, 1.0, 11.0, 30.0, 40.0, 0.0, 1.0, 0.5, 20.0, 1e-6)]


@dataclass(frozen=True)
class ScriptedSnapshot:
    """One generation."""

    tracks: dict[str, Track]
    generation: int = 7

    @property
    def value(self) -> ScriptedMatcher:
        return ScriptedMatcher(len(self.tracks))


class ScriptedEar:
    name = "scripted"
    sha256 = SHA256

    def query(self, audio: Any) -> str:
        return CASES[int(audio.samples[0, 0])]


class ScriptedSecondEar:
    name = "scripted-second"
    sha256 = "6" * 64

    def assess(self, audio: Any) -> Assessment:
        case = CASES[int(audio.samples[0, 0])]
        if case in ("machine", "clone"):
            return Assessment(0.98, 0.95, 0.99, True, segments=((0.0, 1.0, 0.97),), false_positive_rate=0.004)
        if case == "unheard":
            return Assessment(None, None, None, False, reason="too quiet: -70 dB")
        return Assessment(0.05, 0.02, 0.1, True, segments=((0.0, 1.0, 0.05),), false_positive_rate=0.9)


def scripted_hear(uri: str) -> Hearing:
    case = uri.partition(":")[2]
    if case == "unreachable":
        raise FetchFailed("the store did not answer")
    if case == "crash-hear":
        raise IndexError("list index out of range")
    if case == "no-catalog":
        raise CatalogBusy("the job's own trouble, wherever it shows")
    facts = AudioFacts(uri=uri, sha256=SHA256)
    if case == "truncated":
        return Hearing(facts, None, AudioTruncated("1 of 9 s"))
    audio = Audio(np.full((1, 8), CASES.index(case), dtype=np.float32), 8)
    tag = Claim("tag", "found", 'Suno: "made with suno"', says_machine_made=True)
    return Hearing(
        facts.model_copy(update={"duration_s": 1.0}), audio, None, (tag,) if case == "marked" else ()
    )


@dataclass(frozen=True)
class Scripted:
    """Opens the scripted equipment over the catalog in `data_dir`; picklable, as the real plan is."""

    data_dir: Path

    def __call__(self) -> Equipment:
        catalog = Catalog.open(self.data_dir)
        return Equipment(
            hear=scripted_hear,
            ear=ScriptedEar(),  # type: ignore[arg-type]  # its prints are words
            second_ear=ScriptedSecondEar(),
            snapshot=lambda: ScriptedSnapshot({track.track_id: track for track in catalog.tracks()}),
            rights=catalog,
            policy=Policy(),
            fetch_attempts=1,
        )


@dataclass(frozen=True)
class TinyPrint:
    duration_s: float = 3.0

    def to_arrays(self) -> dict[str, Any]:
        return {"duration_s": np.array([self.duration_s])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, Any]) -> TinyPrint:
        return cls(float(arrays["duration_s"][0]))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Scripted:
    folder = tmp_path_factory.mktemp("catalog")
    halves = (Right("Firn", Decimal("0.5")), Right("Verlag", Decimal("0.5")))
    with Catalog.open(folder, create=True) as catalog:
        for number, (track_id, rights) in enumerate(
            {"t-denied": halves, "t-licensed": halves, "t-own": (Right("Ann", Decimal(1)),)}.items()
        ):
            track = Track(
                track_id=track_id, title=track_id.title(), audio_sha256=f"{number}" * 64, duration_s=60.0
            )
            catalog.add(track, TinyPrint(), model_sha256=SHA256, rights=rights)
        catalog.record_terms(
            Term(
                term_id=f"term-{holder}",
                rightsholder=holder,
                use=Use.VERBATIM_USE,
                decision=Decision.ALLOW,
                valid_from=catalog.track("t-own").added_at,
                track_id="t-licensed",
            )
            for holder in ("Firn", "Verlag")
        )
        catalog.link_account("ann", rightsholder="Ann")
    return Scripted(folder)


def event(upload_id: str, case: str) -> bytes:
    return upload_event(Upload(upload_id=upload_id, uri=f"case:{case}", uploader="ann")).to_bytes()


def new_log() -> MemoryLog:
    log = MemoryLog(f"graph-{uuid.uuid4()}")
    topics.ensure(log, partitions=2)
    return log


def send(log: MemoryLog, values: Iterable[bytes], *, headers: Headers = ()) -> None:
    writer = log.open_writer()
    for value in values:
        writer.send(topics.UPLOADS, value[:40], value, headers)
    writer.flush()


def run(plan: Scripted, log: Any, *, read: Any = None) -> None:
    run_streaming(
        lambda records: moderation_graph(records, equipment=plan) | WriteLog(log),
        ReadSettings(read or log, topics.UPLOADS, "job", max_wait_s=0.05, stop_when_idle_s=0.1),
        restart=AT_ONCE,
    )


def documents(log: MemoryLog, topic: str) -> list[Any]:
    return [parse_event(record.value)[1] for record in log.records(topic)]


def letters(log: MemoryLog) -> list[DeadLetter]:
    return [letter for letter in documents(log, topics.DEAD_LETTERS) if isinstance(letter, DeadLetter)]


def test_each_kind_of_upload_ends_where_it_belongs(plan: Scripted) -> None:
    log = new_log()
    send(log, [event(f"u-{case}", case) for case in CASES])

    run(plan, log)

    verdicts = {item.upload_id: item for item in documents(log, topics.VERDICTS)}
    assert {upload_id: v.verdict.value for upload_id, v in verdicts.items()} == {
        f"u-{case}": verdict for case, verdict in VERDICT_OF.items()
    }
    assert {flag.upload_id for flag in documents(log, topics.FLAGS)} == {"u-flagged", "u-clone"}
    assert {(d.upload_id, d.stage, d.reason) for d in letters(log)} == {
        ("u-unreachable", "fetch_decode", "fetch_failed"),
        ("u-crash-hear", "fetch_decode", "unexpected"),
        ("u-crash-match", "match", "unexpected"),
    }
    evidence = verdicts["u-flagged"]
    assert evidence.index.generation == 7
    assert [(c.rightsholder, c.decision, c.term_id) for c in evidence.consent] == [
        ("Firn", "deny", None),
        ("Verlag", "deny", None),
    ]
    assert [model.sha256 for model in evidence.models] == [SHA256, "6" * 64]
    assert verdicts["u-truncated"].audio.sha256 == SHA256
    assert verdicts["u-truncated"].audio.duration_s is None


def test_a_licensed_upload_is_credited_by_seconds_and_shares(plan: Scripted) -> None:
    log = new_log()
    send(log, [event("u1", "licensed")])

    run(plan, log)

    (credit,) = documents(log, topics.ATTRIBUTIONS)
    assert (credit.track_id, credit.use) == ("t-licensed", "verbatim_use")
    assert (credit.query_start_s, credit.query_end_s, credit.reference_start_s) == (1.0, 11.0, 30.0)
    assert {split.rightsholder: split.share for split in credit.splits} == {"Firn": "0.5", "Verlag": "0.5"}
    assert (credit.term_id, credit.term_version) == ("term-Verlag", 1)


def test_the_second_ear_and_the_marks_reach_the_record(plan: Scripted) -> None:
    log = new_log()
    send(log, [event(f"u-{case}", case) for case in ("machine", "clone", "marked", "unheard", "flagged")])

    run(plan, log)

    record = {item.upload_id: item for item in documents(log, topics.VERDICTS)}
    assert {name: item.rule for name, item in record.items()} == {
        "u-machine": "ai_undisclosed",
        "u-clone": "unlicensed_ai_derivative",
        "u-marked": "ai_undisclosed",
        "u-unheard": "no_match",
        "u-flagged": "unlicensed_use",
    }
    clone, marked, unheard = (record[f"u-{case}"].ai for case in ("clone", "marked", "unheard"))
    assert (clone.probability, clone.low, clone.grounds) == (0.98, 0.95, ("detector",))
    assert [(s.start_s, s.end_s, s.probability) for s in clone.segments] == [(0.0, 1.0, 0.97)]
    assert "the detector (0.98, between 0.95 and 0.99)" in record["u-clone"].reason
    assert "Reuses “T-Denied”" in record["u-clone"].reason
    assert (marked.probability, marked.grounds) == (0.05, ("mark",))
    assert [(p.kind, p.state) for p in marked.provenance] == [("disclosure", "absent"), ("tag", "found")]
    assert (unheard.known, unheard.probability, unheard.reason) == (False, None, "too quiet: -70 dB")


def test_a_denial_against_the_files_own_mark_is_flagged(plan: Scripted) -> None:
    log = new_log()
    denial = AiDisclosure(vocals=False, instruments=False, post_production=False)
    upload = Upload(upload_id="u1", uri="case:marked", uploader="ann", ai_disclosure=denial)
    send(log, [upload_event(upload).to_bytes()])

    run(plan, log)

    (flag,) = documents(log, topics.FLAGS)
    assert flag.rule == "ai_contradicted"
    assert "made with suno" in flag.reason
    assert flag.ai.provenance[0].state == "contradictory"


def test_nobody_is_credited_without_a_licence(plan: Scripted) -> None:
    log = new_log()
    send(log, [event("u1", "flagged"), event("u2", "own"), event("u3", "clear")])

    run(plan, log)

    assert log.records(topics.ATTRIBUTIONS) == []


@pytest.mark.parametrize("value", [b"", b"\xff\x00", b'{"a": 1', b"[]", b"null", b'{"specversion": "1.0"}'])
def test_a_malformed_event_is_kept_byte_for_byte(plan: Scripted, value: bytes) -> None:
    log = new_log()
    send(log, [value, event("after", "clear")], headers=(("trace", b"\x00\xff"),))

    run(plan, log)

    (letter,) = letters(log)
    assert base64.b64decode(letter.value_base64) == value
    assert letter.original() == (value[:40], value, (("trace", b"\x00\xff"),))
    assert (letter.stage, letter.reason, letter.attempt) == ("parse", "malformed_event", 1)
    assert [v.upload_id for v in documents(log, topics.VERDICTS)] == ["after"]


def test_a_replayed_record_counts_its_failures(plan: Scripted) -> None:
    log = new_log()
    original = event("u1", "unreachable")
    send(log, [original], headers=((FAILURES_HEADER, b"3"),))

    run(plan, log)

    (letter,) = letters(log)
    assert letter.attempt == 4
    key, value, headers = replayed(letter)
    assert (key, value) == (original[:40], original)
    assert headers == ((FAILURES_HEADER, b"4"),)


def test_the_same_upload_twice_gives_the_same_event_ids(plan: Scripted) -> None:
    log = new_log()
    send(log, [event("u1", "licensed"), event("u1", "licensed")])

    run(plan, log)

    for topic in (topics.VERDICTS, topics.ATTRIBUTIONS):
        ids = [json.loads(record.value)["id"] for record in log.records(topic)]
        assert len(ids) == 2
        assert len(set(ids)) == 1


def test_outputs_are_keyed_by_the_upload(plan: Scripted) -> None:
    log = new_log()
    send(log, [event("u1", "flagged"), event("u2", "licensed"), event("u3", "unreachable")])

    run(plan, log)

    for topic in topics.OUTPUTS:
        for record in log.records(topic):
            assert record.key == json.loads(record.value)["subject"].encode()


def test_trouble_of_the_job_itself_condemns_no_upload(plan: Scripted) -> None:
    log = new_log()
    send(log, [event("u1", "no-catalog")])

    with pytest.raises(JobFailed, match="the job's own trouble"):
        run(plan, log)

    assert all(log.records(topic) == [] for topic in topics.OUTPUTS)
    assert progress(log) == 0


def test_nothing_is_committed_before_its_outputs_are_acknowledged(plan: Scripted) -> None:
    log = new_log()
    send(log, [event(f"u{number}", "clear") for number in range(5)])

    with pytest.raises(JobFailed, match="refused"):
        run(plan, RefusingLog(log.name), read=log)

    assert progress(log) == 0
    run(plan, log)
    assert len(log.records(topics.VERDICTS)) == 5
    assert progress(log) == 5


def test_check_and_the_job_write_the_same_record(plan: Scripted) -> None:
    log = new_log()
    value = event("u1", "flagged")
    send(log, [value])
    run(plan, log)

    _, upload = parse_upload(value)
    (streamed,) = documents(log, topics.VERDICTS)
    alone = analyse(upload, equipment=plan(), at=datetime.now(UTC)).evidence

    assert streamed == alone


inputs = st.lists(st.sampled_from(CASES) | st.binary(max_size=40), max_size=12)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(mix=inputs)
def test_every_record_has_exactly_one_outcome(plan: Scripted, mix: list[str | bytes]) -> None:
    log = new_log()
    send(log, [item if isinstance(item, bytes) else event(f"{n}-{item}", item) for n, item in enumerate(mix)])

    run(plan, log)

    outcomes = Counter(verdict.upload_id for verdict in documents(log, topics.VERDICTS))
    broken = Counter()
    for letter in letters(log):
        if letter.upload_id is None:
            broken[base64.b64decode(letter.value_base64)] += 1
        else:
            outcomes[letter.upload_id] += 1
    assert outcomes == Counter(f"{n}-{item}" for n, item in enumerate(mix) if isinstance(item, str))
    assert broken == Counter(item for item in mix if isinstance(item, bytes))
    assert progress(log) == len(mix)


def progress(log: MemoryLog) -> int:
    """Records that the job has committed, over all partitions."""
    reader = log.open_reader(topics.UPLOADS, "job")
    return sum(reader.committed(partition) or 0 for partition in reader.partitions())


@dataclass(frozen=True)
class RefusingLog:
    """A log whose store never acknowledges."""

    name: str

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        raise AssertionError("not asked for")

    def open_reader(self, topic: str, group: str) -> LogReader:
        raise AssertionError("not asked for")

    def open_writer(self) -> LogWriter:
        return RefusingWriter()


class RefusingWriter:
    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        pass

    def flush(self) -> None:
        raise BrokerError("refused")

    def close(self) -> None:
        pass
