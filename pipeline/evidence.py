"""The evidence record: what a verdict rests on, as one JSON document.

The field names are a contract (docs/contracts.md): add to them, never rename. `Evidence` is what
`soundalike check --json` prints, what the `verdicts` and `flags` topics carry, and what a reviewer reads.
All times are seconds from the start of the recording; all ratios are query over reference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]


class Document(BaseModel):
    """Base of everything on the wire: immutable, and tolerant of fields that a newer writer added."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", allow_inf_nan=False)


class Verdict(StrEnum):
    CLEAR = "clear"
    LICENSED = "licensed"
    FLAGGED = "flagged"
    UNDECODABLE = "undecodable"


class AudioFacts(Document):
    """What was received. Everything but `uri` is null when it could not be decoded."""

    uri: str
    sha256: str | None = None
    codec: str | None = None
    container: str | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    duration_s: Seconds | None = None
    loudness_lufs: float | None = Field(
        None, description="Integrated loudness, ITU-R BS.1770-4; null below the gate"
    )


class Match(Document):
    """One span of the upload that reuses one span of a catalog track."""

    track_id: str
    title: str
    kind: Literal["recording", "melody", "voice"] = "recording"
    query_start_s: Seconds
    query_end_s: Seconds
    reference_start_s: Seconds
    reference_end_s: Seconds
    shift_semitones: float = Field(description="query pitch minus reference pitch")
    tempo_ratio: float = Field(gt=0.0, description="query tempo over reference tempo")
    coverage: Share = Field(description="matched seconds over upload seconds")
    score: float
    false_positive_rate: Share = Field(
        description="calibrated share of unrelated uploads that reach this score"
    )


class SuppressedMatch(Match):
    """A match that accuses nobody, because the reference, or the span of it, was taken out: and why."""

    suppression_id: str
    suppression_kind: Literal["suppressed", "quarantined"] = Field(
        description="suppressed: by a person; quarantined: by the machine, until a person has looked"
    )
    suppression_reason: str


class Segment(Document):
    start_s: Seconds
    end_s: Seconds
    probability: Share


class Sign(Document):
    """One trace that a detector looked for."""

    name: str
    value: float | None = None
    probability: Share | None = None
    detail: str = ""


class Provenance(Document):
    """A claim about origin: the uploader's disclosure, a tag, a manifest. Absence proves nothing."""

    kind: str
    state: Literal["found", "absent", "contradictory", "broken"]
    detail: str = ""
    says_machine_made: bool = Field(
        False, description="a mark in the file (manifest, tag) that names a generative model"
    )


class AiAssessment(Document):
    """Is it machine-made? Without ground to speak, `known` is false and `probability` null.

    The numbers speak of the sound alone; `provenance` of what is said; `grounds` of what the policy goes by.
    """

    probability: Share | None = None
    low: Share | None = None
    high: Share | None = None
    known: bool = False
    reason: str = Field("", description="why nothing is known, or score or stride accuse nobody; else empty")
    false_positive_rate: Share | None = Field(
        None, description="calibrated share of human recordings that sound like this or more so"
    )
    grounds: tuple[str, ...] = Field(
        (), description="why it counts as machine-made: disclosure, mark, detector; empty: it does not"
    )
    segments: tuple[Segment, ...] = ()
    signs: tuple[Sign, ...] = ()
    provenance: tuple[Provenance, ...] = ()


class ConsentFinding(Document):
    """What one rightsholder agreed to for one use of one matched track."""

    rightsholder: str
    use: str
    decision: Literal["allow", "deny"]
    term_id: str | None = Field(None, description="null when no term speaks of it: silence means deny")
    version: int | None = None
    track_id: str | None = None


class PolicyRef(Document):
    version: str
    hash: str


class IndexRef(Document):
    generation: int
    tracks: int


class ModelRef(Document):
    name: str
    sha256: str


class Evidence(Document):
    """One upload, one record."""

    upload_id: str
    verdict: Verdict
    rule: str = Field(description="name of the policy rule that fired")
    reason: str = Field(description="one sentence for a person")
    audio: AudioFacts
    matches: tuple[Match, ...] = ()
    suppressed: tuple[SuppressedMatch, ...] = Field(
        (), description="whole matches that were set aside; what is left of them is in `matches`"
    )
    ai: AiAssessment = AiAssessment()
    consent: tuple[ConsentFinding, ...] = ()
    policy: PolicyRef
    index: IndexRef
    models: tuple[ModelRef, ...] = ()
