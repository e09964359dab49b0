"""The stages of the graph: thin DoFns over the plain functions of `pipeline.analyse`.

What a failure means is decided here, in one place:

- the upload's audio is bad (AudioError): it goes on as `Unheard`, and the verdict is `undecodable`;
- the event is not understood (EventError): a dead letter with the original bytes;
- a store or the decoder does not answer (FetchFailed, DecoderUnavailable): tried again with growing pauses.
  An upload that still can't be fetched, or that gets every decoder killed, is a dead letter, to be replayed
  later; where no decoder can be started the job itself is broken;
- the job itself is broken (no catalog, no model, no broker, a wrong setting): raised. The bundle fails,
  nothing is committed, and the runner's supervisor starts the job again. To judge on without a catalog would
  be to lie, and to put the whole stream among the dead letters would help nobody;
- anything else is a bug that one record brought to light: a dead letter that names the stage and the
  exception. The stream goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import apache_beam as beam

from pipeline import analyse
from pipeline.analyse import Equipment, Hearing
from pipeline.equipment import OpenEquipment, equipment_of
from pipeline.events import parse_upload
from pipeline.log import Record
from pipeline.logs import get_logger, log_dead_letter, log_judged
from pipeline.metrics import process_metrics
from pipeline.outputs import outgoing
from pipeline.sink import Outgoing
from pipeline.work import (
    Assessed,
    Heard,
    Judged,
    Matched,
    Parsed,
    Printed,
    Rejected,
    Unheard,
    Work,
    parsed_part,
    record_of,
)
from soundalike.errors import (
    BrokerError,
    CatalogError,
    DecoderKilled,
    DecoderUnavailable,
    FetchFailed,
    ModelError,
    SettingsError,
    SoundalikeError,
)

THE_JOBS_OWN = (CatalogError, ModelError, BrokerError, SettingsError, DecoderUnavailable)
"""Failures that would meet every upload alike."""

FIRST_PAUSE_S = 0.5
"""Before the second attempt at a store; doubled each time. Four attempts ride out 3.5 s of trouble."""

Step = Callable[[Equipment, Any], Work]
T = TypeVar("T")


class Stage(beam.DoFn):  # type: ignore[misc]  # Beam carries no types
    """Runs `step` on the work of the classes `takes`, and hands everything else on as it is."""

    def __init__(
        self, name: str, *, takes: tuple[type[Work], ...], step: Step, equipment: OpenEquipment
    ) -> None:
        self._name = name
        self._takes = takes
        self._step = step
        self._plan = equipment
        self._equipment: Equipment | None = None

    def setup(self) -> None:
        self._equipment = equipment_of(self._plan)

    def process(self, item: Work) -> Iterator[Work]:
        if not isinstance(item, self._takes):
            yield item
            return
        assert self._equipment is not None
        with process_metrics().stage(self._name):
            done = guarded(self._name, self._step, self._equipment, item)
        yield done  # after the watch was stopped: all later stages run before a fused generator goes on


class Publish(beam.DoFn):  # type: ignore[misc]  # Beam carries no types
    """The end of the way: outgoing events, one line in the log, and the counters."""

    def __init__(self, *, topic_prefix: str = "") -> None:
        self._topic_prefix = topic_prefix

    def process(self, item: Work) -> Iterator[Outgoing]:
        done = item if isinstance(item, Judged | Rejected) else _unfinished(item)
        events = list(outgoing(done, topic_prefix=self._topic_prefix))
        _tell(done)
        yield from events


def guarded(name: str, step: Step, equipment: Equipment, item: Work) -> Work:
    """`step`, with every failure that belongs to this one record turned into `Rejected`."""
    try:
        return step(equipment, item)
    except Exception as error:
        if isinstance(error, THE_JOBS_OWN) and not isinstance(error, DecoderKilled):
            raise  # all else: one poison record must neither block the stream nor vanish
        parsed = parsed_part(item)
        if not isinstance(error, SoundalikeError):
            get_logger("soundalike.stages").exception("unexpected_error", stage=name)
        return Rejected(record_of(item), error, name, parsed.upload.upload_id if parsed else None)


def parse(_equipment: Equipment, record: Record) -> Work:
    process_metrics().upload_read()
    event, upload = parse_upload(record.value)
    return Parsed(record, event, upload, time.monotonic())


def fetch_and_decode(equipment: Equipment, parsed: Parsed) -> Work:
    hearing = _patiently(lambda: equipment.hear(parsed.upload.uri), attempts=equipment.fetch_attempts)
    if hearing.audio is None:
        assert hearing.error is not None
        return Unheard(parsed, hearing.facts, hearing.error, hearing.marks)
    return Heard(parsed, hearing.facts, hearing.audio, hearing.marks)


def fingerprint(equipment: Equipment, heard: Heard) -> Work:
    return Printed(heard, equipment.ear.query(heard.audio))


def match(equipment: Equipment, printed: Printed) -> Work:
    snapshot = equipment.snapshot()
    matches = analyse.recognise(printed.query, snapshot)
    return Matched(printed.heard, matches, analyse.index_of(snapshot))


def detect(equipment: Equipment, matched: Matched) -> Work:
    heard = matched.heard
    ai = analyse.assess_ai(heard.parsed.upload, heard.audio, heard.marks, equipment=equipment)
    return Assessed(heard.parsed, heard.facts, matched.matches, matched.index, ai)


def judge(equipment: Equipment, item: Assessed | Unheard) -> Work:
    upload = item.parsed.upload
    if isinstance(item, Unheard):
        conclusion = analyse.conclude_undecodable(
            upload, item.facts, item.error, marks=item.marks, equipment=equipment
        )
        return Judged(item.parsed, conclusion.evidence, (), item.error)
    conclusion = analyse.conclude(
        upload,
        item.facts,
        matches=item.matches,
        index=item.index,
        ai=item.ai,
        equipment=equipment,
        at=datetime.now(UTC),
    )
    return Judged(item.parsed, conclusion.evidence, conclusion.attributions)


def _patiently(attempt: Callable[[], Hearing], *, attempts: int) -> Hearing:
    """Raises what the last attempt raised."""
    pause_s = FIRST_PAUSE_S
    for _ in range(attempts - 1):
        try:
            return attempt()
        except (FetchFailed, DecoderUnavailable):
            time.sleep(pause_s)
            pause_s *= 2
    return attempt()


def _unfinished(item: Work) -> Rejected:
    """A hole in the graph. It must not swallow an upload."""
    parsed = parsed_part(item)
    error = RuntimeError(f"no stage takes {type(item).__name__}")
    return Rejected(record_of(item), error, "publish", parsed.upload.upload_id if parsed else None)


def _tell(done: Judged | Rejected) -> None:
    metrics = process_metrics()
    if isinstance(done, Rejected):
        reason = done.error.reason if isinstance(done.error, SoundalikeError) else "unexpected"
        metrics.dead_letter(stage=done.stage, reason=reason)
        log_dead_letter(
            upload_id=done.upload_id,
            stage=done.stage,
            reason=reason,
            message=str(done.error) or type(done.error).__name__,
            source=done.record.place,
        )
        return
    evidence = done.evidence
    metrics.verdict(evidence.verdict, rule=evidence.rule, uploaded_at=done.parsed.event.time)
    metrics.origin(evidence.ai)
    if done.error is not None:
        metrics.undecodable(done.error.reason)
    if evidence.audio.duration_s is not None:
        metrics.audio_judged(evidence.audio.duration_s)
    log_judged(evidence, seconds=time.monotonic() - done.parsed.began_s)
