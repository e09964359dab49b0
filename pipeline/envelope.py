"""The envelope: CloudEvents 1.0 in structured JSON mode, read strictly where it matters.

Everything that a sender can get wrong comes out as one of two errors, with one line that names the field and
shows no value of a field that could hold a secret (URIs may be signed).
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError

from pipeline.strict_json import read_object
from soundalike.errors import MalformedEvent, UnsupportedEvent

_Model = TypeVar("_Model", bound=BaseModel)

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _written_time(value: object) -> datetime:
    """Refuse the numbers and partial dates that pydantic would take for a time: the schema says RFC 3339."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("should be a string with an RFC 3339 time and its zone, like 2026-11-22T10:00:00Z")
    return datetime.fromisoformat(value.upper())  # digits beyond the microsecond are cut off


Instant = Annotated[AwareDatetime, BeforeValidator(_written_time)]
"""A point in time with its zone; on the wire a string after RFC 3339."""


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in structured JSON mode. Extension attributes are kept as they came."""

    model_config = ConfigDict(frozen=True, extra="allow")

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(min_length=1, max_length=1000)
    source: str = Field(min_length=1, max_length=1000)
    type: str = Field(min_length=1, max_length=1000)
    time: Instant | None = None
    subject: str | None = Field(
        None, min_length=1, description="what the event is about: the id that is its key"
    )
    datacontenttype: str = Field("application/json", pattern=r"^application/json( *;.*)?$")
    dataschema: str | None = None
    data: dict[str, JsonValue]

    def to_bytes(self) -> bytes:
        """UTF-8 JSON. Unset attributes are left out; nulls inside `data` are kept, they mean something."""
        return self.model_dump_json(exclude_none=True).encode()


def read_envelope(value: bytes, *, max_bytes: int) -> CloudEvent:
    """The CloudEvent in `value`, its `data` not yet looked into.

    Raises MalformedEvent, or UnsupportedEvent for another version of CloudEvents.
    """
    document = read_object(value, max_bytes=max_bytes)
    # CloudEvents JSON format, section 2.2: an attribute that is null is the same as one that is absent.
    document = {name: item for name, item in document.items() if item is not None}
    version = document.get("specversion")
    if isinstance(version, str) and version != "1.0":
        raise UnsupportedEvent(f"specversion: this reader speaks CloudEvents 1.0, not {shown(version)}")
    if version is None:
        raise MalformedEvent("specversion: missing; every event is a CloudEvent in structured JSON mode")
    return validate(CloudEvent, document, place="")


def validate(model: type[_Model], document: dict[str, Any], *, place: str) -> _Model:
    """`document` as a `model`, strictly: what the published schema refuses ("yes" for a boolean) is refused.

    Raises MalformedEvent that names the first offending field, under `place`.
    """
    try:
        return model.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first, *others = error.errors(include_url=False, include_context=False, include_input=False)
        field = ".".join(str(part) for part in (place, *first["loc"]) if part != "")
        more = f" (and {len(others)} more)" if others else ""
        raise MalformedEvent(
            f"{shown(field)}: {shown(first['msg'].removeprefix('Value error, '))}{more}"
        ) from error


def shown(text: str) -> str:
    """Text of unknown origin, fit for one line."""
    return "".join(c if c.isprintable() else "�" for c in text[:200])
