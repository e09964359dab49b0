"""A reference, or a span of one, that accuses nobody: why, since when, and what is left of a match on it.

Two kinds. *Suppressed* is a person's decision about a span that proves nothing: a public-domain sample, a
stock loop, a silent intro. *Quarantined* is a machine's precaution about a whole reference that suddenly
matches too many uploads, until a person has looked. Both are history like terms: ended, never deleted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from index.terms import is_shown
from soundalike.errors import CatalogError

LONGEST_REASON = 1000

SHORTEST_PIECE_S = 1.5
"""Shorter leftovers of a match are dropped: the matcher itself reports none (`SHORTEST_SEGMENT_S`)."""


class Kind(StrEnum):
    SUPPRESSED = "suppressed"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """start_s, end_s: seconds of the reference; both None for all of it."""

    suppression_id: str
    track_id: str
    kind: Kind
    reason: str
    start_s: float | None = None
    end_s: float | None = None
    recorded_by: str
    recorded_at: datetime
    ended_reason: str | None = None
    ended_by: str | None = None
    ended_at: datetime | None = None

    @property
    def span_s(self) -> tuple[float, float]:
        return self.start_s or 0.0, math.inf if self.end_s is None else self.end_s


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a match: seconds of the upload and of the reference, and which part of the whole it is."""

    query_start_s: float
    query_end_s: float
    reference_start_s: float
    reference_end_s: float
    part: float


def cut(
    query_s: tuple[float, float], reference_s: tuple[float, float], suppressions: Iterable[Suppression]
) -> tuple[list[Piece], Suppression | None]:
    """What is left of a match when its suppressed seconds are taken out, and what took most of them.

    The match is a straight line from the start of both spans to their end. Without any overlap the whole
    match is left, as one piece, and the second is None.
    """
    start, end = reference_s
    length = end - start
    taken = [
        (max(low, start), min(high, end), suppression)
        for suppression in suppressions
        for low, high in [suppression.span_s]
        if min(high, end) - max(low, start) > 0.0
    ]
    if not taken or length <= 0.0:
        return [Piece(*query_s, *reference_s, 1.0)], None
    deciding = max(taken, key=lambda one: (one[1] - one[0], one[2].suppression_id))[2]
    free, position = [], start
    for low, high, _ in sorted(taken, key=lambda one: one[:2]):
        free.append((position, low))
        position = max(position, high)
    free.append((position, end))
    per_second = (query_s[1] - query_s[0]) / length
    pieces = []
    for low, high in free:
        if (high - low) * per_second < SHORTEST_PIECE_S:
            continue
        at = query_s[0] + (low - start) * per_second
        pieces.append(Piece(at, at + (high - low) * per_second, low, high, (high - low) / length))
    return pieces, deciding


def check_span(start_s: float | None, end_s: float | None, *, duration_s: float, of: str) -> None:
    """Raises CatalogError unless it is a span of a reference of that length, or all of it (both None)."""
    if start_s is not None and start_s >= duration_s:
        raise CatalogError(f"track {of} lasts {duration_s:g} s; {start_s:g} s lies behind its end")
    start, end = start_s or 0.0, duration_s if end_s is None else end_s
    if not (math.isfinite(start) and math.isfinite(end) and 0.0 <= start < end):
        raise CatalogError(f"{start:g} to {end:g} s is no span of track {of}; the start comes before the end")


def check_reason(reason: str) -> None:
    """Raises CatalogError for a reason that is empty, too long or not one line: it stands in the evidence."""
    if not reason.strip() or len(reason) > LONGEST_REASON or not is_shown(reason):
        raise CatalogError(
            f"{reason[:80]!r} is no reason; say in one line, of {LONGEST_REASON} characters at most,"
            " why it proves nothing: a stock loop, a public-domain sample, a silent intro"
        )
