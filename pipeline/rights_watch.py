"""The topics `verdicts` and `attributions` → the ledger of licensed uses, and the watch over references.

At least once from the log, once in effect: the ledger keeps each event by its id, a sighting each pair of
reference and upload. Offsets are committed after the database has them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from index.catalog import Catalog
from index.ledger import Credit, Judged, TermUsed
from index.suppression import Kind
from index.suppressions import FloodRule, Sighting
from pipeline import topics
from pipeline.envelope import CloudEvent
from pipeline.events import ATTRIBUTION_TYPE, VERDICT_TYPE, Attribution, parse_event
from pipeline.evidence import Document, Evidence, Verdict
from pipeline.log import Log, LogReader, Record
from pipeline.logs import get_logger
from pipeline.metrics import Metrics
from soundalike.errors import CatalogBusy, EventError

GROUP = "soundalike-rights"

READ_AT_ONCE = 500
WAIT_S = 0.25
FORGET_EVERY_S = 3600.0
PATIENCE = 5
"""Attempts at a catalog that another writer holds, each of which waits for the lock by itself."""


@dataclass
class _Follower:
    """How far one topic was read."""

    reader: LogReader
    positions: dict[int, int] = field(default_factory=dict)

    def read(self) -> list[Record]:
        for partition in self.reader.partitions():
            if partition not in self.positions:
                self.positions[partition] = self.reader.start_offset(partition)
        records = self.reader.read(self.positions, max_records=READ_AT_ONCE, max_wait_s=WAIT_S)
        for record in records:
            self.positions[record.partition] = record.next_offset
        return records

    def is_done(self) -> bool:
        return not any(self.reader.lag_records(self.positions).values())


@dataclass
class RightsWatch:
    """`run` follows both topics until told to stop; with `once`, until nothing is left.

    flood: None for no quarantine.
    """

    catalog: Catalog
    log: Log
    metrics: Metrics
    topic_prefix: str = ""
    group: str = GROUP
    flood: FloodRule | None = field(default_factory=FloodRule)
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def run(self, *, once: bool = False) -> None:
        """Raises BrokerError or CatalogError when the job itself can't go on; nothing is lost then."""
        forgot_s = 0.0
        verdicts = _Follower(self.log.open_reader(self.topic_prefix + topics.VERDICTS, self.group))
        credited = _Follower(self.log.open_reader(self.topic_prefix + topics.ATTRIBUTIONS, self.group))
        try:
            while not self.stop.is_set():
                read = 0
                for follower, take in ((verdicts, self._take_verdicts), (credited, self._take_credits)):
                    records = follower.read()
                    if records:
                        self._patiently(take, records)
                        follower.reader.commit(follower.positions)
                    read += len(records)
                waiting = self.catalog.suppressions.list(kind=Kind.QUARANTINED)
                self.metrics.quarantined(len(waiting))
                if self.flood is not None and time.monotonic() - forgot_s > FORGET_EVERY_S:
                    forgot_s = time.monotonic()
                    self.catalog.suppressions.forget(before=self.clock() - self.flood.memory)
                if once and not read and verdicts.is_done() and credited.is_done():
                    return
        finally:
            verdicts.reader.close()
            credited.reader.close()

    def _patiently(self, take: Callable[[Sequence[Record]], None], records: Sequence[Record]) -> None:
        for _ in range(PATIENCE - 1):
            try:
                take(records)
            except CatalogBusy:
                continue
            return
        take(records)

    def _take_verdicts(self, records: Sequence[Record]) -> None:
        judged, seen = [], []
        for record in records:
            event, evidence = self._parsed(record, VERDICT_TYPE)
            if event is None or not isinstance(evidence, Evidence):
                continue
            at = event.time or datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
            judged.append(
                Judged(event.id, evidence.upload_id, at, evidence.verdict.value, evidence.index.generation)
            )
            seen += sightings_of(evidence, at=at)
        self.catalog.ledger.note_verdicts(judged)
        self.catalog.suppressions.note(seen)
        if self.flood is not None:
            self._quarantine({one.track_id for one in seen if one.accuses})

    def _take_credits(self, records: Sequence[Record]) -> None:
        credited = []
        for record in records:
            event, attribution = self._parsed(record, ATTRIBUTION_TYPE)
            if event is not None and isinstance(attribution, Attribution):
                at = event.time or datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
                credited.append(credit_of(event, attribution, at=at))
        self.catalog.ledger.note_credits(credited)

    def _quarantine(self, track_ids: set[str]) -> None:
        assert self.flood is not None
        found = self.catalog.suppressions.flooding(track_ids, rule=self.flood, now=self.clock())
        for track_id, why in found.items():
            made = self.catalog.suppressions.quarantine(track_id, reason=why)
            if made is not None:
                get_logger("rights_watch").warning(
                    "reference_quarantined", track_id=track_id, why=why, suppression_id=made.suppression_id
                )

    def _parsed(self, record: Record, event_type: str) -> tuple[CloudEvent | None, Document | None]:
        """What our own job wrote. Anything else stays on its topic, is counted and told: it is no money."""
        try:
            event, payload = parse_event(record.value)
        except EventError as error:
            self.metrics.dead_letter(stage="rights", reason=error.reason)
            get_logger("rights_watch").error("not_understood", source=record.place, message=str(error))
            return None, None
        if event.type != event_type:
            self.metrics.dead_letter(stage="rights", reason="unsupported_event")
            get_logger("rights_watch").error("not_of_this_topic", source=record.place, type=event.type)
            return None, None
        return event, payload


def sightings_of(evidence: Evidence, *, at: datetime) -> list[Sighting]:
    """Which references a verdict accuses by, and which it set aside."""
    sha256 = evidence.audio.sha256 or ""
    accused = {match.track_id for match in evidence.matches if evidence.verdict is Verdict.FLAGGED}
    aside = {match.track_id for match in evidence.suppressed} - accused
    return [
        Sighting(track_id, evidence.upload_id, sha256, at, accuses)
        for accuses, track_ids in ((True, accused), (False, aside))
        for track_id in sorted(track_ids)
    ]


def credit_of(event: CloudEvent, attribution: Attribution, *, at: datetime) -> Credit:
    terms = tuple(
        TermUsed(work.track_id, term.rightsholder, term.term_id, term.term_version)
        for work in attribution.works
        for term in work.terms
    )
    return Credit(
        event_id=event.id,
        verdict_id=attribution.verdict_id or event.id,
        upload_id=attribution.upload_id,
        judged_at=at,
        document=attribution.model_dump(mode="json"),
        terms=terms,
    )
