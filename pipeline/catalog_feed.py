"""The topic `catalog` → the catalog: at least once from the log, exactly once in effect, in order per track.

    read ─▶ parse ─▶ quick (removed, consent_changed): applied at once
               │  └▶ slow (added: fetch, decode, listen): one at a time, in the order of the log
               └───▶ catalog.dlq, with the original bytes, for what can't be meant or can't be heard

A quick change overtakes the recordings of *other* tracks only, so that a withdrawn consent never waits behind
a delivery of ten thousand recordings. Offsets are committed up to the oldest record that is still in hand.

What a failure means: the event or its audio is bad → dead letter. The store is silent → tried again, then a
dead letter. The catalog or the broker does not answer → raised; nothing was committed, so start again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from index.catalog import Catalog
from index.feed import Applied, Change
from index.prints import Print
from index.terms import Decision, Term, Use, clean_name
from index.tracks import Right, Role, Track, clean_isrc, clean_iswc
from pipeline import topics
from pipeline.envelope import CloudEvent
from pipeline.events import CatalogChange, CatalogTerm, dead_letter_event, event_key, parse_event
from pipeline.log import Log, LogReader, LogWriter, Record
from pipeline.logs import get_logger
from pipeline.metrics import Metrics
from pipeline.replay import failures_so_far
from soundalike.errors import (
    BrokerError,
    CatalogBusy,
    CatalogDamaged,
    CatalogError,
    CatalogUnavailable,
    DecoderUnavailable,
    FetchFailed,
    MalformedEvent,
    ModelError,
    SettingsError,
    SoundalikeError,
)

GROUP = "soundalike-catalog"

READ_AT_ONCE = 200
MOST_IN_HAND = 5_000
"""Records that are read ahead so that quick changes can overtake; an event is a few KiB."""
WAIT_S = 0.5
ATTEMPTS = 4
FIRST_PAUSE_S = 0.5
LAG_EVERY_S = 5.0
LONGEST_WAIT_S = 5.0
"""A stream of quick changes that never ends holds a recording up for so long at most."""

OWN_TROUBLE = (CatalogBusy, CatalogUnavailable, CatalogDamaged, ModelError, BrokerError, SettingsError)
"""Would meet every change alike: none of them is the event's fault."""


@dataclass(frozen=True, slots=True)
class HeardRecording:
    audio_sha256: str
    duration_s: float
    reference_print: Print


class ListenTo(Protocol):
    """URI → what the recogniser keeps of it. Raises AudioError, FetchFailed or DecoderUnavailable."""

    @property
    def model_sha256(self) -> str: ...

    def __call__(self, uri: str) -> HeardRecording: ...


@dataclass
class InHand:
    """A record that was read and waits for its turn."""

    record: Record
    event: CloudEvent
    change: CatalogChange


@dataclass
class CatalogFeed:
    """`run` follows the topic until told to stop; with `once`, until nothing is left."""

    catalog: Catalog
    listen: ListenTo
    log: Log
    metrics: Metrics
    topic_prefix: str = ""
    group: str = GROUP
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def run(self, *, once: bool = False) -> None:
        """Raises BrokerError, CatalogError or ModelError when the job itself can't go on."""
        reader = self.log.open_reader(self.topic_prefix + topics.CATALOG, self.group)
        writer = self.log.open_writer()
        try:
            self._follow(reader, writer, once=once)
        finally:
            writer.close()
            reader.close()

    def _follow(self, reader: LogReader, writer: LogWriter, *, once: bool) -> None:
        positions: dict[int, int] = {}
        waiting: list[InHand] = []
        lag_told_s, slow_done_s = 0.0, time.monotonic()
        while not self.stop.is_set():
            for partition in reader.partitions():
                if partition not in positions:
                    positions[partition] = reader.start_offset(partition)
            records = []
            if len(waiting) < MOST_IN_HAND:
                records = reader.read(
                    positions, max_records=READ_AT_ONCE, max_wait_s=0.0 if waiting else WAIT_S
                )
            for record in records:
                self._take(record, waiting, writer)
                positions[record.partition] = record.next_offset
            if waiting and (not records or time.monotonic() - slow_done_s > LONGEST_WAIT_S):
                self._apply(waiting[0], writer)  # all that is quick was done: now one that takes time
                waiting = self._apply_freed(waiting[1:], writer)
                slow_done_s = time.monotonic()
            self._commit(reader, positions, waiting)
            if time.monotonic() - lag_told_s > LAG_EVERY_S:
                lag_told_s = time.monotonic()
                self._tell_lag(reader, positions, waiting)
            if once and not records and not waiting and not any(reader.lag_records(positions).values()):
                return

    def _take(self, record: Record, waiting: list[InHand], writer: LogWriter) -> None:
        """Applies what is quick and may overtake; all else waits in order."""
        try:
            event, payload = parse_event(record.value)
            if not isinstance(payload, CatalogChange):
                raise MalformedEvent(f"type: {event.type} does not belong on this topic")
        except SoundalikeError as error:
            self._put_aside(record, error, "parse", writer)
            return
        item = InHand(record, event, payload)
        ahead = any(other.change.track_id == payload.track_id for other in waiting)
        if ahead or payload.change == "added":
            waiting.append(item)
        else:
            self._apply(item, writer)

    def _apply_freed(self, waiting: list[InHand], writer: LogWriter) -> list[InHand]:
        """Applies the quick ones that waited for a recording of their own track; returns what still waits."""
        still: list[InHand] = []
        blocked: set[str] = set()
        for item in waiting:
            if item.change.change == "added" or item.change.track_id in blocked:
                blocked.add(item.change.track_id)
                still.append(item)
            else:
                self._apply(item, writer)
        return still

    def _apply(self, item: InHand, writer: LogWriter) -> None:
        try:
            applied = self._patiently(item)
        except OWN_TROUBLE:
            raise
        except Exception as error:  # noqa: BLE001 -- one bad change must neither block the topic nor vanish
            if not isinstance(error, SoundalikeError):
                get_logger("catalog_feed").exception("unexpected_error", track_id=item.change.track_id)
            self._put_aside(item.record, error, item.change.change, writer)
            return
        self.metrics.catalog_change(
            item.change.change, outcome=applied.value, said_at=item.event.time, now=self.clock()
        )
        get_logger("catalog_feed").info(
            "catalog_change",
            track_id=item.change.track_id,
            change=item.change.change,
            revision=item.change.revision,
            outcome=applied.value,
            source=item.record.place,
        )

    def _patiently(self, item: InHand) -> Applied:
        pause_s = FIRST_PAUSE_S
        for _ in range(ATTEMPTS - 1):
            try:
                return apply_change(item.change, item.event, catalog=self.catalog, listen=self.listen)
            except (FetchFailed, DecoderUnavailable, CatalogBusy):
                self.stop.wait(pause_s)
                pause_s *= 2
        return apply_change(item.change, item.event, catalog=self.catalog, listen=self.listen)

    def _put_aside(self, record: Record, error: Exception, stage: str, writer: LogWriter) -> None:
        letter = dead_letter_event(
            value=record.value,
            key=record.key,
            headers=record.headers,
            error=error,
            stage=f"catalog.{stage}",
            read_from=record.place,
            attempt=failures_so_far(record) + 1,
        )
        writer.send(self.topic_prefix + topics.CATALOG_DEAD_LETTERS, event_key(letter), letter.to_bytes())
        writer.flush()  # before its offset is committed
        reason = error.reason if isinstance(error, SoundalikeError) else "unexpected"
        self.metrics.dead_letter(stage=f"catalog.{stage}", reason=reason)
        get_logger("catalog_feed").warning(
            "catalog_dead_letter", reason=reason, message=str(error)[:500], source=record.place
        )

    def _commit(self, reader: LogReader, positions: dict[int, int], waiting: list[InHand]) -> None:
        done = dict(positions)
        for item in waiting:
            done[item.record.partition] = min(done[item.record.partition], item.record.offset)
        if done:
            reader.commit(done)

    def _tell_lag(self, reader: LogReader, positions: dict[int, int], waiting: list[InHand]) -> None:
        self.metrics.index(generation=self.catalog.generation(), tracks=self.catalog.count())
        for partition, unread in reader.lag_records(positions).items():
            in_hand = sum(1 for item in waiting if item.record.partition == partition)
            self.metrics.lag(
                topic=self.topic_prefix + topics.CATALOG, partition=partition, records=unread + in_hand
            )


def apply_change(change: CatalogChange, event: CloudEvent, *, catalog: Catalog, listen: ListenTo) -> Applied:
    """One event, applied.

    Raises CatalogError for what can't be meant, and what `listen` raises for its recording.
    """
    track_id = clean_name(change.track_id)
    about = Change(track_id, change.revision, event.id[:1000])
    rights = rights_of(change)
    terms = [term_of(term, track_id=track_id, said_at=event.time) for term in change.terms]
    if change.change == "removed":
        return catalog.feed.remove(about)
    if change.change == "consent_changed":
        return catalog.feed.change_terms(about, rights=rights, terms_of_track=terms)
    if catalog.feed.is_stale(about, of_recording=True):
        return Applied.STALE
    assert change.uri is not None
    heard = listen(change.uri)
    if change.audio_sha256 not in (None, heard.audio_sha256):
        raise CatalogError(
            f"the audio of track {track_id} has the sha256 {heard.audio_sha256}, not"
            f" {change.audio_sha256} as the event says; send the event again when the right file is in place"
        )
    track = Track(
        track_id=track_id,
        title=clean_name(change.title or "") or track_id,
        audio_sha256=heard.audio_sha256,
        duration_s=heard.duration_s,
        artists=tuple(clean_name(artist) for artist in change.artists if clean_name(artist)),
        isrc=None if change.isrc is None else clean_isrc(change.isrc),
        iswc=None if change.iswc is None else clean_iswc(change.iswc),
        release_date=change.release_date,
    )
    return catalog.feed.put(
        about,
        track,
        heard.reference_print,
        model_sha256=listen.model_sha256,
        rights=rights,
        terms_of_track=terms,
    )


def rights_of(change: CatalogChange) -> tuple[Right, ...]:
    """Raises CatalogError for a role that the catalog does not know."""
    return tuple(
        Right(clean_name(held.rightsholder), Decimal(held.share), _role(held.role))
        for held in change.rightsholders
    )


def term_of(term: CatalogTerm, *, track_id: str, said_at: datetime | None) -> Term:
    return Term(
        term_id=clean_name(term.term_id),
        version=term.version,
        rightsholder=clean_name(term.rightsholder),
        track_id=track_id,
        use=Use(term.use),
        decision=Decision(term.decision),
        valid_from=term.valid_from or said_at or datetime.now(UTC),
        valid_until=term.valid_until,
        territories=term.territories,
        licensee=None if term.licensee is None else clean_name(term.licensee),
        reference=term.reference or "",
        revenue_share=None if term.revenue_share is None else Decimal(term.revenue_share),
        share_terms=term.share_terms or "",
    )


def _role(role: str | None) -> Role:
    if role is None:
        return Role.RIGHTSHOLDER
    try:
        return Role(role)
    except ValueError:
        raise CatalogError(f"{role!r} is no role; roles are {', '.join(Role)}, or none") from None
