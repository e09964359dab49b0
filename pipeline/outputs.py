"""From what became of an upload to the records that tell the world.

Exactly one of verdict or dead letter; a flag when people have to look; one attribution of a licensed one.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import topics
from pipeline.events import (
    CloudEvent,
    attribution_event,
    dead_letter_event,
    event_key,
    flag_event,
    verdict_event,
)
from pipeline.evidence import Verdict
from pipeline.replay import failures_so_far
from pipeline.sink import Outgoing
from pipeline.work import Judged, Rejected


def outgoing(done: Judged | Rejected, *, topic_prefix: str = "") -> Iterator[Outgoing]:
    """The events of one upload, verdict or dead letter first."""
    for topic, event in _events(done):
        yield Outgoing(topic_prefix + topic, event_key(event), event.to_bytes())


def _events(done: Judged | Rejected) -> Iterator[tuple[str, CloudEvent]]:
    if isinstance(done, Rejected):
        yield topics.DEAD_LETTERS, _dead_letter(done)
        return
    evidence, cause = done.evidence, done.parsed.event
    verdict = verdict_event(evidence, cause=cause)
    yield topics.VERDICTS, verdict
    if evidence.verdict is Verdict.FLAGGED:
        yield topics.FLAGS, flag_event(evidence, cause=cause)
    for attribution in done.attributions:
        of_verdict = attribution.model_copy(update={"verdict_id": verdict.id})
        yield topics.ATTRIBUTIONS, attribution_event(of_verdict, evidence=evidence, cause=cause)


def _dead_letter(done: Rejected) -> CloudEvent:
    record = done.record
    return dead_letter_event(
        value=record.value,
        key=record.key,
        headers=record.headers,
        error=done.error,
        stage=done.stage,
        read_from=record.place,
        attempt=failures_so_far(record) + 1,
        upload_id=done.upload_id,
    )
