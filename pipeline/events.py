"""Events on the topics: a CloudEvents 1.0 envelope around one of our payloads.

Reading: `parse_upload` for what strangers send, `parse_event` for every topic. A reader accepts its own
schema version and, for uploads, the one before it; unknown fields are ignored; anything else is a typed
`EventError` and becomes a dead letter, never a guess.

Writing: one builder per event. Ids are deterministic: two events have the same id exactly when they say the
same about the same thing, so a consumer of an at-least-once stream drops duplicates by id.

This module is imported by the review desk: it loads pydantic and the standard library, nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from pipeline.envelope import CloudEvent, read_envelope, shown, validate
from pipeline.evidence import Document, Evidence, Verdict
from pipeline.payloads import (
    AiDisclosure,
    Attribution,
    CatalogChange,
    CatalogShare,
    CatalogTerm,
    Claim,
    DeadLetter,
    Decision,
    Split,
    Upload,
    encode_bytes,
    quote_name,
)
from pipeline.strict_json import MAX_EVENT_BYTES
from pipeline.upload_v0 import UPLOAD_V0_TYPE, UploadV0, upgrade_upload
from soundalike.errors import MalformedEvent, SoundalikeError, UnsupportedEvent

__all__ = [
    "ATTRIBUTION_TYPE", "CATALOG_TYPE", "DEAD_LETTER_TYPE", "DECISION_TYPE", "FLAG_TYPE",
    "MAX_EVENT_BYTES", "PAYLOADS", "UPLOAD_TYPE", "UPLOAD_V0_TYPE", "VERDICT_TYPE",
    "AiDisclosure", "Attribution", "CatalogChange", "CatalogShare", "CatalogTerm", "Claim", "CloudEvent",
    "DeadLetter", "Decision", "Split", "Upload",
    "attribution_event", "catalog_event", "dead_letter_event", "decision_event", "event_id", "event_key",
    "flag_event", "parse_event", "parse_upload", "schema_name", "upload_event", "verdict_event",
]  # fmt: skip

UPLOAD_TYPE = "org.soundalike.upload.v1"
CATALOG_TYPE = "org.soundalike.catalog.v1"
VERDICT_TYPE = "org.soundalike.verdict.v1"
FLAG_TYPE = "org.soundalike.flag.v1"
ATTRIBUTION_TYPE = "org.soundalike.attribution.v1"
DEAD_LETTER_TYPE = "org.soundalike.dead-letter.v1"
DECISION_TYPE = "org.soundalike.decision.v1"

PAYLOADS: dict[str, type[Document]] = {
    UPLOAD_TYPE: Upload,
    CATALOG_TYPE: CatalogChange,
    VERDICT_TYPE: Evidence,
    FLAG_TYPE: Evidence,
    ATTRIBUTION_TYPE: Attribution,
    DEAD_LETTER_TYPE: DeadLetter,
    DECISION_TYPE: Decision,
}
"""Every event type that is written today, and the model of its `data`."""

PIPELINE_SOURCE = "urn:soundalike:pipeline"
UPLOADER_SOURCE = "urn:soundalike:publish"
CATALOG_SOURCE = "urn:soundalike:catalog"
REVIEW_SOURCE = "urn:soundalike:review"

MAX_TRUSTED_BYTES = 4 * 1024 * 1024
"""Limit for our own outputs, which may be longer than an upload event: a dead letter carries its original in
base64, an evidence record every match of a long mix."""

MAX_MESSAGE_CHARACTERS = 2000
"""Of a dead letter's message: enough for any of our one-line errors, not for a pasted document."""

_ID_CHARACTERS = 32
"""128 bits of SHA-256 in hex: at 10^12 events the chance of any collision is about 10^-15."""

# Reading


def parse_upload(value: bytes) -> tuple[CloudEvent, Upload]:
    """The envelope as it came, and the upload in today's version (version 0 is lifted).

    Raises MalformedEvent (one line that names the field) or UnsupportedEvent.
    """
    event = read_envelope(value, max_bytes=MAX_EVENT_BYTES)
    if event.type == UPLOAD_V0_TYPE:
        upload = upgrade_upload(validate(UploadV0, event.data, place="data"))
    elif event.type == UPLOAD_TYPE:
        upload = validate(Upload, event.data, place="data")
    else:
        raise UnsupportedEvent(
            f"type: this reader speaks {UPLOAD_TYPE} and {UPLOAD_V0_TYPE}, not {shown(event.type)}"
        )
    _check_subject(event, upload.upload_id, field="upload_id")
    return event, upload


def parse_event(value: bytes, *, max_bytes: int = MAX_TRUSTED_BYTES) -> tuple[CloudEvent, Document]:
    """Any of our events: the envelope and its payload, of the class that `PAYLOADS` names for its type.

    Raises MalformedEvent (one line that names the field) or UnsupportedEvent.
    """
    event = read_envelope(value, max_bytes=max_bytes)
    if event.type == UPLOAD_V0_TYPE:
        return parse_upload(value)
    model = PAYLOADS.get(event.type)
    if model is None:
        raise UnsupportedEvent(f"type: {shown(event.type)} is none of {', '.join(sorted(PAYLOADS))}")
    payload = validate(model, event.data, place="data")
    field = "track_id" if isinstance(payload, CatalogChange) else "upload_id"
    about = getattr(payload, field)
    if about is not None:
        _check_subject(event, about, field=field)
    return event, payload


def _check_subject(event: CloudEvent, about: str, *, field: str) -> None:
    if event.subject is not None and event.subject != about:
        raise MalformedEvent(f"subject: {shown(event.subject)} is not the data's {field} {shown(about)}")


# Writing


def upload_event(
    upload: Upload, *, source: str = UPLOADER_SOURCE, time: datetime | None = None
) -> CloudEvent:
    """For `uploads`. Publishing the same statement twice gives the same id."""
    parts = (source, upload.model_dump(mode="json"))
    return _event(UPLOAD_TYPE, upload, subject=upload.upload_id, parts=parts, source=source, time=time)


def verdict_event(
    evidence: Evidence, *, cause: CloudEvent | None = None, time: datetime | None = None
) -> CloudEvent:
    """For `verdicts`: the current verdict on one upload. `cause` is the upload event that led to it."""
    parts = _judgement_parts(evidence)
    return _event(VERDICT_TYPE, evidence, subject=evidence.upload_id, parts=parts, cause=cause, time=time)


def flag_event(
    evidence: Evidence, *, cause: CloudEvent | None = None, time: datetime | None = None
) -> CloudEvent:
    """For `flags`: a flagged upload, for people to look at. Raises ValueError if it is not flagged."""
    if evidence.verdict is not Verdict.FLAGGED:
        raise ValueError(f"upload {evidence.upload_id} is {evidence.verdict}, not flagged: it makes no flag")
    parts = _judgement_parts(evidence)
    return _event(FLAG_TYPE, evidence, subject=evidence.upload_id, parts=parts, cause=cause, time=time)


def attribution_event(
    attribution: Attribution,
    *,
    evidence: Evidence,
    cause: CloudEvent | None = None,
    time: datetime | None = None,
) -> CloudEvent:
    """For `attributions`: what is credited for the upload that `evidence` judges.

    Raises ValueError if both speak of different uploads.
    """
    if attribution.upload_id != evidence.upload_id:
        raise ValueError(f"attribution of {attribution.upload_id} under evidence of {evidence.upload_id}")
    works = [
        (
            work.track_id,
            [(term.rightsholder, term.term_id, term.term_version) for term in work.terms],
            [(split.rightsholder, split.share) for split in work.splits],
            [round(at_s * 1000) for span in work.spans for at_s in span.model_dump().values()],
        )
        for work in attribution.works
    ]
    span = (attribution.query_start_s, attribution.query_end_s, attribution.reference_start_s)
    parts = (
        *_judgement_parts(evidence),
        (attribution.track_id, attribution.use, attribution.term_id, attribution.term_version),
        [round(at_s * 1000) for at_s in span],  # ms: the last bits of a float may differ between machines
        *works,
    )
    return _event(
        ATTRIBUTION_TYPE, attribution, subject=attribution.upload_id, parts=parts, cause=cause, time=time
    )


def dead_letter_event(
    *,
    value: bytes,
    key: bytes | None,
    headers: Iterable[tuple[str, bytes | None]] = (),
    error: BaseException,
    stage: str,
    read_from: str,
    attempt: int = 1,
    upload_id: str | None = None,
    time: datetime | None = None,
) -> CloudEvent:
    """For `uploads.dlq`: a record that could not be judged, with its original bytes.

    `error` of our own tree gives its stable code as reason; any other is `unexpected`, with its class in the
    message. `read_from` says where the record lies (topic, partition, offset): read again, the same record
    that fails in the same way gives the same id.
    """
    ours = isinstance(error, SoundalikeError)
    message = str(error) if ours else f"{type(error).__name__}: {error}"
    letter = DeadLetter(
        upload_id=upload_id,
        reason=error.reason if isinstance(error, SoundalikeError) else "unexpected",
        message=_one_line(message),
        stage=stage,
        attempt=attempt,
        source=_one_line(read_from),
        key_base64=None if key is None else encode_bytes(key),
        value_base64=encode_bytes(value),
        headers=tuple(
            (quote_name(name), None if item is None else encode_bytes(item)) for name, item in headers
        ),
    )
    parts = (read_from, stage, letter.reason, attempt, letter.key_base64, hashlib.sha256(value).hexdigest())
    return _event(DEAD_LETTER_TYPE, letter, subject=upload_id or None, parts=parts, time=time)


def catalog_event(
    change: CatalogChange, *, source: str = CATALOG_SOURCE, time: datetime | None = None
) -> CloudEvent:
    """For `catalog`. The revision is part of the id: allow, deny, allow again are three events."""
    parts = (source, change.track_id, change.revision)
    return _event(CATALOG_TYPE, change, subject=change.track_id, parts=parts, source=source, time=time)


def decision_event(
    decision: Decision, *, source: str = REVIEW_SOURCE, time: datetime | None = None
) -> CloudEvent:
    """For `decisions`. The revision is part of the id, as in `catalog_event`."""
    parts = (source, decision.upload_id, decision.revision)
    return _event(DECISION_TYPE, decision, subject=decision.upload_id, parts=parts, source=source, time=time)


def event_key(event: CloudEvent) -> bytes:
    """The Kafka key: upload_id or track_id, so that all that is said about one thing stays in order.

    A dead letter that knows no upload_id keeps the key of its original; without one it goes by its own id.
    """
    if event.subject is not None:
        return event.subject.encode()
    original = event.data.get("key_base64") if event.type == DEAD_LETTER_TYPE else None
    return base64.b64decode(original) if isinstance(original, str) else event.id.encode()


def event_id(event_type: str, *parts: object) -> str:
    """32 hex digits that depend on the arguments alone. JSON keeps ("a", "bc") apart from ("ab", "c")."""
    text = json.dumps([event_type, *parts], ensure_ascii=True, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:_ID_CHARACTERS]


def schema_name(event_type: str) -> str:
    """`verdict.v1` for `org.soundalike.verdict.v1`: the stem of its file in deploy/schemas/."""
    return event_type.removeprefix("org.soundalike.")


def _judgement_parts(evidence: Evidence) -> tuple[object, ...]:
    """All that a judgement depends on, and what it came to.

    The outcome belongs to the id because a few inputs are not in the record (a store that answers on the
    second try, a decode that runs into its time limit): two runs that differ must not look like duplicates.
    """
    return (
        evidence.upload_id,
        evidence.audio.sha256,
        (evidence.policy.version, evidence.policy.hash),
        evidence.index.generation,
        sorted(model.sha256 for model in evidence.models),
        (evidence.verdict.value, evidence.rule),
    )


def _event(
    event_type: str,
    payload: Document,
    *,
    subject: str | None,
    parts: tuple[object, ...],
    source: str = PIPELINE_SOURCE,
    cause: CloudEvent | None = None,
    time: datetime | None = None,
) -> CloudEvent:
    return CloudEvent(
        id=event_id(event_type, *parts),
        source=source,
        type=event_type,
        time=time or datetime.now(UTC),
        subject=subject,
        dataschema=f"urn:soundalike:schema:{schema_name(event_type)}",
        data={name: _storable(item) for name, item in payload.model_dump(mode="json").items()},
        **_follow(cause),
    )


def _storable(value: JsonValue) -> JsonValue:
    """Without NUL, which our own readers refuse and which a file's tags may bring into our texts."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {name: _storable(item) for name, item in value.items()}
    return value


def _follow(cause: CloudEvent | None) -> dict[str, Any]:
    """Extension attributes that lead back to the upload event: its id, its time, its trace if it has one."""
    if cause is None:
        return {}
    trace = {
        name: value
        for name, value in (cause.model_extra or {}).items()
        if name in {"traceparent", "tracestate"}
    }
    age = {} if cause.time is None else {"causetime": cause.time.isoformat()}
    return {"causeid": cause.id, **age, **trace}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    printable = "".join(c if c.isprintable() else "�" for c in line)
    return (
        printable
        if len(printable) <= MAX_MESSAGE_CHARACTERS
        else printable[: MAX_MESSAGE_CHARACTERS - 1] + "…"
    )
