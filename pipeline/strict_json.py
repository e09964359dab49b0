"""JSON from strangers: one object, read so that every later reader sees the same values.

Parsers disagree about duplicate keys, NaN, integers beyond 2^53, lone surrogates and NUL; a document on which
a Python pipeline, a JavaScript desk and a SQL database disagree is refused here, at the door (I-JSON,
RFC 7493, plus NUL, which PostgreSQL can't store). Every refusal is a `MalformedEvent` that names the place.
"""

from __future__ import annotations

import json
import math
from typing import Any, Never

from pydantic import JsonValue

from soundalike.errors import MalformedEvent

MAX_EVENT_BYTES = 512 * 1024
"""Far above an upload event in practice (a few KiB), and small enough that the original, in base64 inside its
dead letter, stays under Kafka's default record limit of 1 MiB: 512 KiB × 4/3 = 683 KiB."""

MAX_DEPTH = 32
"""Our own documents nest 6 deep; the rest is room for fields that later versions add."""

MAX_INTEGER = 2**53 - 1
"""Up to here a double, hence JavaScript, tells neighbouring integers apart (RFC 7493, section 2.2)."""

_MAX_PATH = 120  # characters of a field's place that a message shows
_MAX_INTEGER_DIGITS = 17  # "-" and 16 digits: longer ones need no arithmetic to be refused


def read_object(value: bytes, *, max_bytes: int = MAX_EVENT_BYTES) -> dict[str, JsonValue]:
    """The JSON object that `value` spells in UTF-8.

    Raises MalformedEvent: too large, not UTF-8, not JSON, not an object, nested deeper than `MAX_DEPTH`, a
    key twice in one object, a number not finite, an integer beyond ±`MAX_INTEGER`, a lone surrogate, NUL.
    """
    if len(value) > max_bytes:
        raise MalformedEvent(f"the event has {len(value)} bytes, more than the {max_bytes} that are read")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedEvent(f"the event is not UTF-8: {error.reason} at byte {error.start}") from error
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedEvent(f"the event is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise MalformedEvent(f"the event nests deeper than {MAX_DEPTH} levels") from error
    if not isinstance(document, dict):
        raise MalformedEvent(f"the event is a JSON {_json_type(document)}, not an object")
    _check_values(document)
    return document


def _check_values(document: dict[str, JsonValue]) -> None:
    """Walk without recursion, so that hostile depth costs memory in proportion to its bytes, nothing else."""
    pending: list[tuple[str, int, JsonValue]] = [("", 0, document)]
    while pending:
        path, depth, value = pending.pop()
        if depth > MAX_DEPTH:
            raise MalformedEvent(f"{_printable(path)}: nests deeper than {MAX_DEPTH} levels")
        if isinstance(value, str):
            _check_text(path, value)
        elif isinstance(value, dict):
            for key, item in value.items():
                place = _shorten(f"{path}.{key}" if path else key)
                _check_text(place, key)
                pending.append((place, depth + 1, item))
        elif isinstance(value, list):
            pending.extend((_shorten(f"{path}[{i}]"), depth + 1, item) for i, item in enumerate(value))


def _check_text(path: str, text: str) -> None:
    if "\0" in text:
        raise MalformedEvent(f"{_printable(path)}: holds the character NUL")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            half = f"U+{ord(text[error.start]):04X}"
            raise MalformedEvent(
                f"{_printable(path)}: holds {half}, half of a surrogate pair and no character"
            ) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedEvent(f"{_printable(key)}: occurs twice in one object")
            seen.add(key)
    return result


def _integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS or abs(number := int(digits)) > MAX_INTEGER:
        raise MalformedEvent(f"the integer {digits[:24]} is outside ±{MAX_INTEGER}; write it as a string")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedEvent(f"the number {digits[:24]} is outside the range of a double")
    return number


def _constant(name: str) -> Never:
    raise MalformedEvent(f"{name} is not JSON")


def _json_type(value: object) -> str:
    names: dict[type, str] = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _printable(path: str) -> str:
    """A field name fit for one log line, whatever the sender called it."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in _shorten(path)) or '""'


def _shorten(path: str) -> str:
    """Cut already while the path grows: one huge key above many values must not be copied once for each."""
    return path if len(path) <= _MAX_PATH else path[: _MAX_PATH - 1] + "…"


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)
