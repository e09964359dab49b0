"""One upload from its URI to its evidence, in plain functions: the same for the job and for `check`.

    hear ─▶ (fingerprinter) ─▶ recognise ─▶ assess_ai ─▶ conclude        (assess_ai: `pipeline.origin`)

Nothing here knows Kafka or Beam. What is heavy or has state (the network, the catalog in memory, its tables)
comes in through `Equipment`, whose parts are narrow enough to be replaced by a few lines in a test.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from classifiers.audio import Audio
from classifiers.fingerprint import QueryPrint
from classifiers.provenance import Claim
from index.catalog import Finding
from index.matcher import SegmentMatch
from index.suppression import Suppression
from index.tracks import Right, Track
from pipeline.crediting import attribution
from pipeline.decode import DecodedAudio, DecodeLimits, decode
from pipeline.events import Attribution, Upload
from pipeline.evidence import (
    AiAssessment,
    AudioFacts,
    ConsentFinding,
    Evidence,
    IndexRef,
    Match,
    ModelRef,
    Verdict,
)
from pipeline.fetch import FetchPolicy, fetch
from pipeline.loudness import integrated_lufs
from pipeline.marks import read_marks
from pipeline.origin import assess_origin
from pipeline.policy import Case, Policy, Use, counted, grounds_of, judge, use_of
from pipeline.setting_aside import set_aside
from pipeline.uri_rules import redact
from soundalike.errors import AudioError

if TYPE_CHECKING:
    from classifiers.ai.detector import Assessment


class Ear(Protocol):
    """`classifiers.fingerprint.Fingerprinter`."""

    name: str
    sha256: str

    def query(self, audio: Audio) -> QueryPrint: ...


class SecondEar(Protocol):
    """`classifiers.ai.detector.Detector`."""

    name: str
    sha256: str

    def assess(self, audio: Audio) -> Assessment: ...


class Recogniser(Protocol):
    """`index.matcher.Matcher`. tracks: how many it can recognise."""

    @property
    def tracks(self) -> int: ...

    def match(self, query: QueryPrint) -> list[SegmentMatch]: ...


class Snapshot(Protocol):
    """`index.serving.Serving`: one generation of the catalog, all of whose parts belong together."""

    @property
    def generation(self) -> int: ...
    @property
    def value(self) -> Recogniser: ...
    @property
    def tracks(self) -> Mapping[str, Track]: ...


class Rights(Protocol):
    """The part of `index.catalog.Catalog` that answers for the rightsholders."""

    def findings(
        self,
        track_id: str,
        use: str,
        *,
        uploader: str,
        licences: Collection[str] = ...,
        distributor: str | None = ...,
        ai_tool: str | None = ...,
        territory: str | None = ...,
        at: datetime | None = ...,
    ) -> tuple[Finding, ...]: ...

    def is_own_upload(self, track_id: str, uploader: str) -> bool: ...

    def suppressions_of(self, track_ids: Collection[str]) -> tuple[Suppression, ...]: ...

    def rights_of(self, track_id: str) -> tuple[Right, ...]: ...


@dataclass(frozen=True, slots=True)
class Hearing:
    """What came of fetching and decoding: either `audio` or `error`.

    marks: what the file says of its origin.
    """

    facts: AudioFacts
    audio: Audio | None
    error: AudioError | None
    marks: tuple[Claim, ...] = ()


@dataclass(frozen=True)
class Equipment:
    """What the work needs; made once a process by `pipeline.equipment`.

    hear: URI to Hearing; raises FetchFailed or DecoderUnavailable, both transient.
    snapshot: the generation of the catalog that is served now.
    fetch_attempts: how often a store that does not answer is asked, in the streaming job.
    """

    hear: Callable[[str], Hearing]
    ear: Ear
    second_ear: SecondEar
    snapshot: Callable[[], Snapshot]
    rights: Rights
    policy: Policy
    fetch_attempts: int = 4

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return tuple(ModelRef(name=ear.name, sha256=ear.sha256) for ear in (self.ear, self.second_ear))


@dataclass(frozen=True, slots=True)
class Conclusion:
    evidence: Evidence
    attributions: tuple[Attribution, ...]


def hear(uri: str, *, fetch_policy: FetchPolicy, limits: DecodeLimits) -> Hearing:
    """Fetch, read the marks of origin, decode. Every fault of the upload ends in `Hearing.error`.

    Raises FetchFailed or DecoderUnavailable: not the upload's fault, and worth another attempt.
    """
    shown = redact(uri)  # a signed URL is a secret
    facts = AudioFacts(uri=shown)
    marks: tuple[Claim, ...] = ()
    try:
        with fetch(uri, policy=fetch_policy) as fetched:
            facts = AudioFacts(uri=shown, sha256=fetched.sha256)
            marks = read_marks(fetched.path, limits=limits)
            decoded = _decode(fetched.path, name=shown.rpartition("/")[2], limits=limits)
    except AudioError as error:
        return Hearing(facts, None, error, marks)
    audio = decoded.audio
    facts = AudioFacts(
        uri=shown,
        sha256=facts.sha256,
        codec=decoded.codec,
        container=decoded.container,
        sample_rate_hz=audio.sample_rate_hz,
        channels=audio.channels,
        duration_s=audio.duration_s,
        loudness_lufs=integrated_lufs(audio, layout=decoded.layout),
    )
    return Hearing(facts, audio, None, marks)


def recognise(query: QueryPrint, snapshot: Snapshot) -> tuple[Match, ...]:
    """All segments that the catalog's tracks explain, best first; the policy decides which of them count."""
    return tuple(
        Match(
            track_id=segment.track_id,
            title=snapshot.tracks[segment.track_id].title,
            query_start_s=max(segment.query_start_s, 0.0),
            query_end_s=segment.query_end_s,
            reference_start_s=max(segment.reference_start_s, 0.0),
            reference_end_s=segment.reference_end_s,
            shift_semitones=segment.shift_semitones,
            tempo_ratio=segment.tempo_ratio,
            coverage=min(max(segment.coverage, 0.0), 1.0),
            score=segment.score,
            false_positive_rate=segment.false_positive_rate,
        )
        for segment in snapshot.value.match(query)
    )


def index_of(snapshot: Snapshot) -> IndexRef:
    """`tracks` counts those that this model can recognise, not those that are merely listed."""
    return IndexRef(generation=snapshot.generation, tracks=snapshot.value.tracks)


def assess_ai(
    upload: Upload, audio: Audio, marks: tuple[Claim, ...], *, equipment: Equipment
) -> AiAssessment:
    """What is heard, what the file says and what the uploader says, each in its own words."""
    return assess_origin(upload.ai_disclosure, marks, equipment.second_ear.assess(audio))


def conclude(
    upload: Upload,
    facts: AudioFacts,
    *,
    matches: tuple[Match, ...],
    index: IndexRef,
    ai: AiAssessment,
    equipment: Equipment,
    at: datetime,
) -> Conclusion:
    """Ask the rightsholders' terms as of `at`, judge, and write the record."""
    policy = equipment.policy
    rights = equipment.rights
    matches, aside = set_aside(matches, rights.suppressions_of({match.track_id for match in matches}))
    matches = counted(matches, policy=policy)
    suppressed = tuple(one for one in aside if one.false_positive_rate <= policy.max_false_positive_rate)
    ai = _with_grounds(upload, ai, policy=policy)
    use = use_of(upload.ai_disclosure, ai, policy=policy, matches=matches)
    tracks = tuple(dict.fromkeys(match.track_id for match in matches))
    consent = tuple(
        finding for track in tracks for finding in _ask(rights, track, use=use, upload=upload, at=at)
    )
    own = frozenset(track for track in tracks if rights.is_own_upload(track, upload.uploader))
    case = Case(
        upload=upload,
        matches=matches,
        ai=ai,
        consent=consent,
        own_tracks=own,
        suppressed=suppressed,
        policy=policy,
    )
    evidence = _record(case, facts, index=index, models=equipment.models)
    if evidence.verdict is not Verdict.LICENSED:
        return Conclusion(evidence, ())
    return Conclusion(evidence, (attribution(case, rights.rights_of),))


def conclude_undecodable(
    upload: Upload,
    facts: AudioFacts,
    error: AudioError,
    *,
    marks: tuple[Claim, ...] = (),
    equipment: Equipment,
) -> Conclusion:
    """The record of an upload that could not be heard. What is said of it is kept: it may be sent again."""
    ai = _with_grounds(upload, assess_origin(upload.ai_disclosure, marks), policy=equipment.policy)
    case = Case(upload=upload, ai=ai, undecodable=error, policy=equipment.policy)
    index = index_of(equipment.snapshot())
    return Conclusion(_record(case, facts, index=index, models=equipment.models), ())


def analyse(upload: Upload, *, equipment: Equipment, at: datetime) -> Conclusion:
    """The whole way of one upload, as the graph goes it stage by stage. Raises FetchFailed and the like."""
    hearing = equipment.hear(upload.uri)
    if hearing.audio is None:
        assert hearing.error is not None
        return conclude_undecodable(
            upload, hearing.facts, hearing.error, marks=hearing.marks, equipment=equipment
        )
    snapshot = equipment.snapshot()
    matches = recognise(equipment.ear.query(hearing.audio), snapshot)
    return conclude(
        upload,
        hearing.facts,
        matches=matches,
        index=index_of(snapshot),
        ai=assess_ai(upload, hearing.audio, hearing.marks, equipment=equipment),
        equipment=equipment,
        at=at,
    )


def _decode(path: Path, *, name: str, limits: DecodeLimits) -> DecodedAudio:
    """Errors name the upload, not the temporary file: the sentence is the same whoever says it, and when."""
    try:
        return decode(path, limits=limits)
    except AudioError as error:
        raise type(error)(str(error).replace(path.name, name)) from error


def _with_grounds(upload: Upload, ai: AiAssessment, *, policy: Policy) -> AiAssessment:
    return ai.model_copy(update={"grounds": grounds_of(upload.ai_disclosure, ai, policy=policy)})


def _record(case: Case, facts: AudioFacts, *, index: IndexRef, models: tuple[ModelRef, ...]) -> Evidence:
    judgement = judge(case)
    return Evidence(
        upload_id=case.upload.upload_id,
        verdict=judgement.verdict,
        rule=judgement.rule,
        reason=judgement.reason,
        audio=facts,
        matches=case.matches,
        suppressed=case.suppressed,
        ai=case.ai,
        consent=case.consent,
        policy=case.policy.reference(),
        index=index,
        models=models,
    )


def _ask(
    rights: Rights, track_id: str, *, use: Use, upload: Upload, at: datetime
) -> tuple[ConsentFinding, ...]:
    findings = rights.findings(
        track_id,
        use,
        uploader=upload.uploader,
        licences=upload.licences,
        distributor=upload.distributor,
        ai_tool=upload.ai_tool,
        territory=upload.territory,
        at=at,
    )
    return tuple(
        ConsentFinding(
            rightsholder=finding.rightsholder,
            use=str(finding.use),
            decision="allow" if finding.decision == "allow" else "deny",
            term_id=finding.term_id,
            version=finding.version,
            track_id=track_id,
        )
        for finding in findings
    )
