"""What travels between the stages of the graph: one upload, knowing a little more at every step.

    Record ─▶ Parsed ─▶ Heard ─▶ Printed ─▶ Matched ─▶ Assessed ─▶ Judged
                 │         └ what follows carries no audio longer than it must
                 ├─▶ Unheard ─────────────────────────────────────▶ Judged      the audio is bad
      └──────────┴────┴───────┴──────────┴───────────┴─▶ Rejected               a dead letter

A stage that does not take a class hands it on untouched. So the graph is a straight line, and every record
that enters leaves as exactly one `Judged` or `Rejected`.
"""

from __future__ import annotations

from dataclasses import dataclass

from classifiers.audio import Audio
from classifiers.fingerprint import QueryPrint
from classifiers.provenance import Claim
from pipeline.events import Attribution, CloudEvent, Upload
from pipeline.evidence import AiAssessment, AudioFacts, Evidence, IndexRef, Match
from pipeline.log import Record
from soundalike.errors import AudioError


@dataclass(frozen=True, slots=True)
class Parsed:
    """An upload event that was understood. `record` stays at hand for a dead letter.

    began_s: on this process's monotonic clock, for the time that the upload spends in the graph.
    """

    record: Record
    event: CloudEvent
    upload: Upload
    began_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """marks: what the file says of its origin, here and in `Unheard`."""

    parsed: Parsed
    facts: AudioFacts
    audio: Audio
    marks: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Unheard:
    """Fetching or decoding ended in a typed error; the judge says `undecodable`."""

    parsed: Parsed
    facts: AudioFacts
    error: AudioError
    marks: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Printed:
    heard: Heard
    query: QueryPrint


@dataclass(frozen=True, slots=True)
class Matched:
    """`matches` against the catalog's generation `index`, best first."""

    heard: Heard
    matches: tuple[Match, ...]
    index: IndexRef


@dataclass(frozen=True, slots=True)
class Assessed:
    parsed: Parsed
    facts: AudioFacts
    matches: tuple[Match, ...]
    index: IndexRef
    ai: AiAssessment


@dataclass(frozen=True, slots=True)
class Judged:
    parsed: Parsed
    evidence: Evidence
    attributions: tuple[Attribution, ...]
    error: AudioError | None = None
    """Why the verdict is `undecodable`; None for every other verdict."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that no verdict could be given for, and why."""

    record: Record
    error: Exception
    stage: str
    upload_id: str | None = None


Work = Record | Parsed | Heard | Unheard | Printed | Matched | Assessed | Judged | Rejected


def parsed_part(item: Work) -> Parsed | None:
    """The upload event inside a piece of work, where it got that far."""
    match item:
        case Parsed():
            return item
        case Heard() | Unheard() | Assessed() | Judged():
            return item.parsed
        case Printed() | Matched():
            return item.heard.parsed
        case _:
            return None


def record_of(item: Work) -> Record:
    """The record that it came from."""
    if isinstance(item, Record):
        return item
    if isinstance(item, Rejected):
        return item.record
    parsed = parsed_part(item)
    assert parsed is not None
    return parsed.record
