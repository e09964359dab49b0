"""What the topics carry inside the envelope, one document per kind of event.

`pipeline.events` re-exports all of it; import from there. `Evidence`, the payload of `verdicts` and `flags`,
has its own module. The published form of these models is `deploy/schemas/`; the rule for changing them is in
docs/contracts.md: add optional fields, never rename, narrow or remove.
"""

from __future__ import annotations

import base64
import binascii
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote

from pydantic import Field, field_validator, model_validator

from pipeline.envelope import Instant
from pipeline.evidence import Document, Seconds

NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""Also without what only some readers take for the end of a line (U+0085, U+2028, U+2029)."""

Identifier = Annotated[str, Field(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
"""Ids become Kafka keys, log fields and SQL keys: no control characters, 200 characters at most."""

DecimalShare = Annotated[str, Field(pattern=r"^(0(\.[0-9]{1,18})?|1(\.0{1,18})?)$")]
"""A share between 0 and 1 as decimal text: money is never a binary fraction."""


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

    upload_id: Identifier
    uri: str = Field(min_length=1, max_length=4096, pattern=NO_CONTROL_CHARACTERS)
    uploader: Identifier = Field(description="account that uploads")
    claim: Claim = Claim()
    ai_disclosure: AiDisclosure = AiDisclosure()
    licences: tuple[Identifier, ...] = Field(
        (), max_length=100, description="references to terms the uploader relies on"
    )
    territory: str | None = Field(
        None, pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2; null: worldwide"
    )
    distributor: Identifier | None = Field(
        None, description="who delivers it, as the upload service knows it; terms may be theirs"
    )
    ai_tool: Identifier | None = Field(
        None, description="the machine that made it, as far as the upload service vouches for it"
    )


class Split(Document):
    """One rightsholder's part of what an attribution pays."""

    rightsholder: str
    share: DecimalShare = Field(description="decimal; all splits of an attribution sum to 1")


class Span(Document):
    """Seconds of the upload on seconds of the work."""

    query_start_s: Seconds
    query_end_s: Seconds
    reference_start_s: Seconds
    reference_end_s: Seconds


class CreditedTerm(Document):
    """By which version of which term a rightsholder allowed the use."""

    rightsholder: str
    term_id: str
    term_version: int


class CreditedWork(Document):
    """One work that the upload uses."""

    track_id: Identifier
    title: str
    matched_s: Seconds = Field(description="seconds of the upload, over all spans")
    share: DecimalShare = Field(description="of the whole, by matched seconds; all works sum to 1")
    spans: tuple[Span, ...]
    terms: tuple[CreditedTerm, ...] = Field(description="one for each rightsholder")
    splits: tuple[Split, ...] = Field(description="of this work alone; sum to 1")


class Attribution(Document):
    """Payload of `attributions`: who is credited for what, under which terms. One for each licensed verdict.

    `works` says all of it. The fields of one work beside it speak of the one with the most seconds.
    """

    upload_id: Identifier
    track_id: Identifier
    title: str
    use: str
    query_start_s: Seconds
    query_end_s: Seconds
    reference_start_s: Seconds
    reference_end_s: Seconds
    term_id: str
    term_version: int
    splits: tuple[Split, ...] = Field(
        description="of the whole upload, over all works; empty only when the catalog names no shares"
    )
    works: tuple[CreditedWork, ...] = Field((), description="most seconds first; empty in early events")
    verdict_id: str | None = Field(None, description="id of the verdict event that it belongs to")
    uploader: Identifier | None = Field(None, description="who used it; with the four fields below")
    distributor: Identifier | None = None
    ai_tool: Identifier | None = None
    licences: tuple[Identifier, ...] = ()
    territory: str | None = None

    @model_validator(mode="after")
    def _splits_sum_to_one(self) -> Self:
        total = sum((Decimal(split.share) for split in self.splits), Decimal(0))
        if self.splits and total != 1:
            raise ValueError(f"the splits sum to {total}, not 1")
        return self


class DeadLetter(Document):
    """Payload of `uploads.dlq`: the original record, replayable byte for byte."""

    upload_id: str | None = Field(None, description="null when the record was too broken to say")
    reason: str = Field(min_length=1, description="stable code of the error, e.g. malformed_event")
    message: str = Field(description="one line for a person")
    stage: str = Field(min_length=1, description="step of the pipeline that gave up")
    attempt: int = Field(ge=1, description="1 for the first failure; a replay that fails again counts on")
    source: str = Field(
        description="where the record was read: topic, partition and offset, or spool file and line"
    )
    key_base64: str | None = Field(None, description="null when the record had no key")
    value_base64: str
    headers: tuple[tuple[str, str | None], ...] = Field(
        (), description="header name, value in base64 or null"
    )

    @field_validator("key_base64", "value_base64")
    @classmethod
    def _is_base64(cls, text: str | None) -> str | None:
        if text is not None:
            _decode(text)
        return text

    @field_validator("headers")
    @classmethod
    def _are_base64(cls, headers: tuple[tuple[str, str | None], ...]) -> tuple[tuple[str, str | None], ...]:
        for _, text in headers:
            if text is not None:
                _decode(text)
        return headers

    def original(self) -> tuple[bytes | None, bytes, tuple[tuple[str, bytes | None], ...]]:
        """Key, value and headers exactly as they were read: what a replay sends."""
        key = None if self.key_base64 is None else _decode(self.key_base64)
        headers = tuple(
            (unquote(name, errors="surrogatepass"), None if text is None else _decode(text))
            for name, text in self.headers
        )
        return key, _decode(self.value_base64), headers


class CatalogShare(Document):
    """One rightsholder of a track."""

    rightsholder: Identifier
    share: DecimalShare = Field(description="decimal; all shares of a track sum to 1")
    role: str | None = Field(None, description="label, publisher, artist …")


class CatalogTerm(Document):
    """What a rightsholder allows or forbids for one use of the track. A new version supersedes the last."""

    term_id: Identifier
    version: int = Field(ge=1)
    rightsholder: Identifier
    use: Literal["ai_derivative", "ai_training", "voice_likeness", "verbatim_use"]
    decision: Literal["allow", "deny"]
    licensee: Identifier | None = Field(
        None,
        description="account it speaks of, or distributor:NAME, ai-tool:NAME, licence:REF; null: anybody",
    )
    valid_from: Instant | None = Field(None, description="null: from the time of the event")
    valid_until: Instant | None = Field(None, description="exclusive; null: until further notice")
    territories: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] = Field(
        (), description="empty: worldwide"
    )
    reference: str | None = Field(
        None, description="the contract behind it, in the rightsholder's own numbering"
    )
    revenue_share: DecimalShare | None = Field(
        None, description="part of the upload's revenue that the licence asks for; null: not agreed here"
    )
    share_terms: str | None = Field(
        None, max_length=2000, description="what else was agreed about payment, in words"
    )


class CatalogChange(Document):
    """Payload of `catalog`: one track's state after the change. Silence about a use means deny."""

    track_id: Identifier
    revision: int = Field(
        ge=1, description="counts this track's changes; one not above the last applied is ignored"
    )
    change: Literal["added", "removed", "consent_changed"]
    uri: str | None = Field(
        None, max_length=4096, pattern=NO_CONTROL_CHARACTERS, description="needed when added"
    )
    audio_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    title: str | None = None
    artists: tuple[str, ...] = ()
    isrc: str | None = None
    iswc: str | None = None
    release_date: date | None = Field(None, description="YYYY-MM-DD")
    rightsholders: tuple[CatalogShare, ...] = ()
    terms: tuple[CatalogTerm, ...] = ()

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> Self:
        if self.change == "added" and self.uri is None:
            raise ValueError("uri is needed when a track is added")
        total = sum((Decimal(holder.share) for holder in self.rightsholders), Decimal(0))
        if self.rightsholders and total != 1:
            raise ValueError(f"the rightsholders' shares sum to {total}, not 1")
        return self


class Decision(Document):
    """Payload of `decisions`: what a person decided about a flag."""

    upload_id: Identifier
    flag_id: Identifier = Field(description="id of the flag event that was reviewed")
    revision: int = Field(ge=1, description="counts the decisions on this upload; the highest one stands")
    decision: Literal["confirm", "dismiss", "escalate", "overturn"]
    decided_by: Identifier
    reason: str = Field(min_length=1, max_length=4000)


def encode_bytes(value: bytes) -> str:
    """Base64 (RFC 4648, with padding), the form that `DeadLetter` carries."""
    return base64.b64encode(value).decode("ascii")


def quote_name(name: str) -> str:
    """A header's name, whatever it holds, as text for JSON and a log line; ASCII words stay as they are."""
    return quote(name, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}", errors="surrogatepass")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from error
