"""Events on the topics: a CloudEvents 1.0 envelope around one of our payloads.

A reader accepts its own schema version and the one before it; anything else is `UnsupportedEvent`
and becomes a dead letter, never a guess. Output event ids are deterministic, so that a consumer of
an at-least-once stream drops duplicates by id.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pipeline.evidence import Document, Evidence
from soundalike.errors import MalformedEvent, UnsupportedEvent

UPLOAD_TYPE = "org.soundalike.upload.v1"
VERDICT_TYPE = "org.soundalike.verdict.v1"
FLAG_TYPE = "org.soundalike.flag.v1"
ATTRIBUTION_TYPE = "org.soundalike.attribution.v1"
DEAD_LETTER_TYPE = "org.soundalike.dead-letter.v1"


class Claim(Document):
    """What the uploader says the recording is."""

    artist: str | None = None
    title: str | None = None
    isrc: str | None = None


class AiDisclosure(Document):
    """The uploader's own statement about AI, in DDEX's three fields; null where nothing was said."""

    vocals: bool | None = None
    instruments: bool | None = None
    post_production: bool | None = None


class Upload(Document):
    """Payload of `uploads`."""

    upload_id: str = Field(min_length=1, max_length=200)
    uri: str = Field(min_length=1, max_length=4096)
    uploader: str = Field(min_length=1, max_length=200, description="account that uploads")
    claim: Claim = Claim()
    ai_disclosure: AiDisclosure = AiDisclosure()
    licences: tuple[str, ...] = Field((), max_length=100, description="references to terms the uploader relies on")
    territory: str | None = Field(None, pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2; null: worldwide")


class Split(Document):
    rightsholder: str
    share: str = Field(pattern=r"^(0(\.\d+)?|1(\.0+)?)$", description="decimal; all splits of an attribution sum to 1")


class Attribution(Document):
    """Payload of `attributions`: who is credited for what, under which terms."""

    upload_id: str
    track_id: str
    title: str
    use: str
    query_start_s: float
    query_end_s: float
    reference_start_s: float
    reference_end_s: float
    term_id: str
    term_version: int
    splits: tuple[Split, ...]


class DeadLetter(Document):
    """Payload of `uploads.dlq`: the original record, replayable byte for byte."""

    upload_id: str | None = None
    reason: str
    message: str
    stage: str
    attempt: int = Field(ge=1)
    source: str = Field(description="where the record was read: topic, partition and offset, or spool file and line")
    key_base64: str | None = None
    value_base64: str
    headers: tuple[tuple[str, str], ...] = Field((), description="header name, value in base64")


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in structured JSON mode."""

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    type: str = Field(min_length=1)
    time: AwareDatetime | None = None
    subject: str | None = None
    datacontenttype: Literal["application/json"] = "application/json"
    dataschema: str | None = None
    data: dict[str, JsonValue]

    def to_bytes(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()
