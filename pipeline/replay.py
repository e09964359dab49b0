"""Dead letters that are sent again: what is written back to `uploads`, and how their failures are counted."""

from __future__ import annotations

from pipeline.events import DeadLetter
from pipeline.log import Headers, Record

FAILURES_HEADER = "soundalike-failures"
"""Set on a replayed record: how often it has failed so far, in decimal. A spool keeps no headers: there the
count begins anew."""

_MOST_DIGITS = 6


def failures_so_far(record: Record) -> int:
    """How often this record became a dead letter before; 0 for one that comes for the first time."""
    for name, value in record.headers:
        if name == FAILURES_HEADER and value.isdigit() and len(value) <= _MOST_DIGITS:
            return int(value)
    return 0


def replayed(letter: DeadLetter) -> tuple[bytes | None, bytes, Headers]:
    """Key, value and headers of the original record, byte for byte, with the count of its failures.

    A header without a value can't be written again; it said nothing.
    """
    key, value, headers = letter.original()
    kept = tuple((name, item) for name, item in headers if name != FAILURES_HEADER and item is not None)
    return key, value, (*kept, (FAILURES_HEADER, str(letter.attempt).encode()))
