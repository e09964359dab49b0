"""Verdicts and attributions, consumed: the ledger, and the quarantine of references that flood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.catalog import Catalog
from index.suppression import Kind
from index.suppressions import FloodRule
from index.tracks import Track
from pipeline import topics
from pipeline.events import Attribution, Split, attribution_event, event_key, verdict_event
from pipeline.evidence import (
    AudioFacts,
    Evidence,
    IndexRef,
    Match,
    ModelRef,
    PolicyRef,
    SuppressedMatch,
    Verdict,
)
from pipeline.memory_log import MemoryLog
from pipeline.metrics import Metrics
from pipeline.payloads import CreditedTerm, CreditedWork, Span
from pipeline.rights_watch import RightsWatch

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MATCH = {
    "track_id": "alp", "title": "Alp", "query_start_s": 0.0, "query_end_s": 9.0, "reference_start_s": 0.0,
    "reference_end_s": 9.0, "shift_semitones": 0.0, "tempo_ratio": 1.0, "coverage": 0.3, "score": 20.0,
    "false_positive_rate": 0.0001,
}  # fmt: skip


class TinyPrint:
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": np.ones((4, 8), np.int8)}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "data", create=True, clock=lambda: NOW) as catalog:
        track = Track(track_id="alp", title="Alp", audio_sha256="a" * 64, duration_s=60.0)
        catalog.add(track, TinyPrint(), model_sha256="b" * 64)
        yield catalog


@pytest.fixture
def log(unique: Callable[[str], str]) -> MemoryLog:
    log = MemoryLog(unique("rights"))
    topics.ensure(log, partitions=2)
    return log


@pytest.fixture
def watch(catalog: Catalog, log: MemoryLog) -> RightsWatch:
    return RightsWatch(
        catalog=catalog, log=log, metrics=Metrics(), flood=FloodRule(least=3), clock=lambda: NOW
    )


def evidence(upload_id: str, verdict: Verdict, *, sha256: str | None = None, aside: bool = False) -> Evidence:
    suppressed = SuppressedMatch(
        **MATCH, suppression_id="q", suppression_kind="quarantined", suppression_reason="floods"
    )
    return Evidence(
        upload_id=upload_id, verdict=verdict, rule="r", reason="R.",
        audio=AudioFacts(uri="file:///x", sha256=sha256 or upload_id.rjust(64, "0")),
        matches=() if aside else (Match(**MATCH),), suppressed=(suppressed,) if aside else (),
        policy=PolicyRef(version="1", hash="p"), index=IndexRef(generation=1, tracks=1),
        models=(ModelRef(name="ear", sha256="m"),),
    )  # fmt: skip


def publish(log: MemoryLog, *values: tuple[str, Any]) -> None:
    writer = log.open_writer()
    for topic, event in values:
        writer.send(topic, event_key(event), event.to_bytes())
    writer.flush()


def flagged(log: MemoryLog, *upload_ids: str, **more: Any) -> None:
    when = NOW - timedelta(minutes=1)
    found = [evidence(upload_id, Verdict.FLAGGED, **more) for upload_id in upload_ids]
    publish(log, *((topics.VERDICTS, verdict_event(one, time=when)) for one in found))


def licensed(log: MemoryLog, upload_id: str, *, with_credit: bool = True) -> None:
    found = evidence(upload_id, Verdict.LICENSED)
    verdict = verdict_event(found, time=NOW)
    whole = (Split(rightsholder="Firn", share="1"),)
    span = {name: MATCH[name] for name in Span.model_fields}
    work = CreditedWork(
        track_id="alp", title="Alp", matched_s=9.0, share="1", spans=(Span(**span),), splits=whole,
        terms=(CreditedTerm(rightsholder="Firn", term_id="t", term_version=2),),
    )  # fmt: skip
    credit = Attribution(
        upload_id=upload_id, track_id="alp", title="Alp", use="ai_derivative", **span, term_id="t",
        term_version=2, splits=whole, works=(work,), verdict_id=verdict.id, uploader="me",
    )  # fmt: skip
    publish(log, (topics.VERDICTS, verdict))
    if with_credit:
        publish(log, (topics.ATTRIBUTIONS, attribution_event(credit, evidence=found, time=NOW)))


def test_licences_reach_the_ledger_once(watch: RightsWatch, catalog: Catalog, log: MemoryLog) -> None:
    licensed(log, "u1")
    licensed(log, "u1")  # delivered twice
    licensed(log, "u2", with_credit=False)
    watch.run(once=True)
    month = catalog.ledger.month(2026, 11)
    assert [(credit.upload_id, credit.terms[0].term_id) for credit in month.credits] == [("u1", "t")]
    assert month.missing == ("u2",)
    assert month.credits[0].document["splits"] == [{"rightsholder": "Firn", "share": "1"}]


def test_a_flood_is_quarantined_once_and_told(watch: RightsWatch, catalog: Catalog, log: MemoryLog) -> None:
    flagged(log, "u1", "u2")
    watch.run(once=True)
    assert catalog.suppressions.list() == []
    flagged(log, "u2", "u3", "u4")
    watch.run(once=True)
    (made,) = catalog.suppressions.list()
    assert (made.kind, made.track_id, made.recorded_by) == (Kind.QUARANTINED, "alp", "soundalike")
    assert "4 different recordings were flagged for it within 60 minutes" in made.reason
    assert watch.metrics.registry.get_sample_value("soundalike_quarantined_references") == 1.0
    flagged(log, "u5")
    watch.run(once=True)
    assert len(catalog.suppressions.list()) == 1


def test_the_same_bytes_many_times_are_no_flood(watch: RightsWatch, catalog: Catalog, log: MemoryLog) -> None:
    flagged(log, *(f"u{n}" for n in range(20)), sha256="e" * 64)
    watch.run(once=True)
    assert catalog.suppressions.list() == []


def test_what_went_by_is_listed_on_release(watch: RightsWatch, catalog: Catalog, log: MemoryLog) -> None:
    flagged(log, "u1", "u2", "u3")
    watch.run(once=True)
    aside = verdict_event(evidence("u9", Verdict.CLEAR, aside=True), time=NOW + timedelta(minutes=1))
    publish(log, (topics.VERDICTS, aside))
    watch.run(once=True)
    (made,) = catalog.suppressions.list()
    _, missed = catalog.suppressions.release(made.suppression_id, reason="a hit", by="ida")
    assert missed == ("u9",)


def test_without_a_rule_nothing_is_quarantined(watch: RightsWatch, catalog: Catalog, log: MemoryLog) -> None:
    watch.flood = None
    flagged(log, "u1", "u2", "u3", "u4")
    watch.run(once=True)
    assert catalog.suppressions.list() == []


def test_what_is_not_understood_is_counted_and_blocks_nothing(
    watch: RightsWatch, catalog: Catalog, log: MemoryLog
) -> None:
    writer = log.open_writer()
    writer.send(topics.VERDICTS, b"u", b"no event")
    writer.flush()
    found = evidence("u1", Verdict.LICENSED)
    publish(log, (topics.ATTRIBUTIONS, verdict_event(found, time=NOW)))
    licensed(log, "u1")
    watch.run(once=True)
    assert len(catalog.ledger.month(2026, 11).credits) == 1
    count = watch.metrics.registry.get_sample_value
    assert count("soundalike_dead_letters_total", {"stage": "rights", "reason": "malformed_event"}) == 1.0
    assert count("soundalike_dead_letters_total", {"stage": "rights", "reason": "unsupported_event"}) == 1.0
