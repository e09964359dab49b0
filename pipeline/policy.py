"""The policy: from what was found in an upload to one verdict, the rule that fired and a sentence of why.

Pure: no clock, no catalog, no I/O. `RULES` is read from top to bottom and the first rule that fires wins,
so the order of the list *is* the policy. Silence means deny: a match without an explicit allow for the use
is unlicensed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Final, Literal

from pipeline.events import AiDisclosure, Upload
from pipeline.evidence import (
    AiAssessment,
    ConsentFinding,
    Match,
    PolicyRef,
    Provenance,
    SuppressedMatch,
    Verdict,
)
from soundalike.errors import AudioError

Use = Literal["ai_derivative", "verbatim_use"]
FlagAi = Literal["never", "undisclosed", "always"]
"""Which machine-made uploads that reuse nothing are held for people: by default none, a label is enough."""

VERBATIM_COVERAGE: Final = 0.8
"""From this matched share of the upload on, what the detector heard is the matched recording itself.
Alignment loses up to a window at both ends of a span; with less, a machine could play around a quote."""
LEAST_SHIFT_SEMITONES: Final = 0.25
LEAST_TEMPO_CHANGE: Final = 0.01
"""Smaller changes are within what the alignment is held to: none."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The thresholds of the judgement. Two policies with the same `hash` judge alike.

    version: of the rules below; raised whenever a rule or their order changes.
    max_false_positive_rate: a match above it does not count. Three unrelated uploads in ten thousand,
        by the fit in `index/calibration.py`: a false accusation is worse than a miss.
    min_matched_s: a track must be matched for so long in all. A shorter match rests on hardly more than one
        window of the recogniser and has no alignment to stand on.
    min_ai_probability: the lower bound of the detector's interval from which an upload counts as
        machine-made. At 0.9 that is one human recording in a hundred (`classifiers/ai/calibration.py`).
    flag_ai: whether a machine-made upload that reuses nothing is flagged.
    """

    version: str = "3"
    max_false_positive_rate: float = 0.0003
    min_matched_s: float = 3.0
    min_ai_probability: float = 0.9
    flag_ai: FlagAi = "never"

    @property
    def hash(self) -> str:
        """sha256 over the canonical JSON of all fields."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def reference(self) -> PolicyRef:
        return PolicyRef(version=self.version, hash=self.hash)


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything that a rule may look at.

    matches: only those that count (`counted`).
    consent: findings for the counted tracks and this upload's use (`use_of`).
    own_tracks: ids of the matched tracks for all of whose rightsholders the uploader speaks.
    suppressed: matches that would have counted but were set aside; no rule accuses on them.
    undecodable: why there is nothing to judge, or None.
    """

    upload: Upload
    matches: tuple[Match, ...] = ()
    ai: AiAssessment = field(default_factory=AiAssessment)
    consent: tuple[ConsentFinding, ...] = ()
    own_tracks: frozenset[str] = frozenset()
    suppressed: tuple[SuppressedMatch, ...] = ()
    undecodable: AudioError | None = None
    policy: Policy = field(default_factory=Policy)

    @cached_property
    def grounds(self) -> tuple[str, ...]:
        return grounds_of(self.upload.ai_disclosure, self.ai, policy=self.policy)

    @cached_property
    def use(self) -> Use:
        return use_of(self.upload.ai_disclosure, self.ai, policy=self.policy, matches=self.matches)

    @cached_property
    def tracks(self) -> tuple[str, ...]:
        """Ids of the matched tracks, best match first."""
        return tuple(dict.fromkeys(match.track_id for match in self.matches))

    def allowed(self, track_id: str) -> bool:
        """Every rightsholder of the track allows this use; nobody recorded, or nothing said, is a no."""
        findings = [f for f in self.consent if f.track_id == track_id and f.use == self.use]
        return bool(findings) and all(finding.decision == "allow" for finding in findings)

    @cached_property
    def denied_tracks(self) -> tuple[str, ...]:
        return tuple(t for t in self.tracks if t not in self.own_tracks and not self.allowed(t))

    @cached_property
    def licensed_tracks(self) -> tuple[str, ...]:
        return tuple(t for t in self.tracks if t not in self.own_tracks and self.allowed(t))


@dataclass(frozen=True, slots=True)
class Judgement:
    verdict: Verdict
    rule: str
    reason: str


Rule = Callable[[Case], Judgement | None]


def counted(matches: tuple[Match, ...], *, policy: Policy) -> tuple[Match, ...]:
    """The matches that may decide anything, in their order.

    The seconds are summed per track: a recording cut into small pieces counts as much as one long quote.
    """
    sure = [match for match in matches if match.false_positive_rate <= policy.max_false_positive_rate]
    matched_s: dict[str, float] = {}
    for match in sure:
        matched_s[match.track_id] = (
            matched_s.get(match.track_id, 0.0) + match.query_end_s - match.query_start_s
        )
    return tuple(match for match in sure if matched_s[match.track_id] >= policy.min_matched_s)


def disclosed_as_ai(disclosure: AiDisclosure) -> bool:
    """The uploader says that a machine sang or played. AI in post-production alone makes no derivative."""
    return bool(disclosure.vocals) or bool(disclosure.instruments)


def denies_ai(disclosure: AiDisclosure) -> bool:
    """The uploader says that no machine sang and none played. Silence about either is no denial."""
    return disclosure.vocals is False and disclosure.instruments is False


def detected_as_ai(ai: AiAssessment, *, policy: Policy) -> bool:
    """The detector has ground to speak, and even the low end of its interval is high."""
    return ai.known and ai.low is not None and ai.low >= policy.min_ai_probability


def marks_of_ai(ai: AiAssessment) -> tuple[Provenance, ...]:
    """Manifests and tags that hold and name a generative model. A broken one proves nothing."""
    return tuple(mark for mark in ai.provenance if mark.state == "found" and mark.says_machine_made)


def grounds_of(disclosure: AiDisclosure, ai: AiAssessment, *, policy: Policy) -> tuple[str, ...]:
    """Why an upload counts as machine-made, the hardest evidence first; empty when it does not.

    Each ground suffices. None can be cancelled by another: a file without marks proves nothing.
    """
    held = {
        "disclosure": disclosed_as_ai(disclosure),
        "mark": bool(marks_of_ai(ai)),
        "detector": detected_as_ai(ai, policy=policy),
    }
    return tuple(ground for ground, holds in held.items() if holds)


def verbatim(matches: tuple[Match, ...]) -> bool:
    """The upload is the matched recordings as they are: none changed, and nearly nothing beside them."""
    if any(_shifted(match) or _at_another_tempo(match) for match in matches):
        return False
    return sum(match.coverage for match in matches) >= VERBATIM_COVERAGE


def use_of(
    disclosure: AiDisclosure, ai: AiAssessment, *, policy: Policy, matches: tuple[Match, ...] = ()
) -> Use:
    """What the upload does with a recording it reuses: the consent that has to be asked for.

    The detector alone makes no derivative of a verbatim copy. What it heard is then the rightsholder's own
    recording: that may sound like a machine, the copy of it is still a copy. This protects both sides: no
    licensed copy is held because its original sounds odd to a detector that errs once in a hundred, and no
    consent for AI derivatives lets a plain copy through.
    """
    grounds = grounds_of(disclosure, ai, policy=policy)
    if not grounds or (grounds == ("detector",) and verbatim(matches)):
        return "verbatim_use"
    return "ai_derivative"


def undecodable(case: Case) -> Judgement | None:
    """There is no audio to judge. Never guessed, never dropped."""
    if case.undecodable is None:
        return None
    return Judgement(Verdict.UNDECODABLE, "undecodable", f"The audio can't be judged: {case.undecodable}")


def own_upload(case: Case) -> Judgement | None:
    """Everything that is reused belongs to the uploader."""
    if not case.tracks or any(track not in case.own_tracks for track in case.tracks):
        return None
    return Judgement(
        Verdict.CLEAR,
        "own_upload",
        f"{_reuse(case, case.tracks)}; the account {case.upload.uploader} speaks for its rightsholders.",
    )


def licensed(case: Case) -> Judgement | None:
    """Everything that is reused is allowed for this use, or the uploader's own; one denial stops it."""
    if not case.licensed_tracks or case.denied_tracks:
        return None
    terms = ", ".join(_consent_sentences(case, case.licensed_tracks[0]))
    return Judgement(Verdict.LICENSED, "licensed", f"{_reuse(case, case.licensed_tracks)}; {terms}.")


def unlicensed_ai_derivative(case: Case) -> Judgement | None:
    """Machine-made, and it reuses a recording whose rightsholder did not agree to that."""
    if not case.denied_tracks or not case.grounds:
        return None
    terms = ", ".join(_consent_sentences(case, case.denied_tracks[0]))
    return Judgement(
        Verdict.FLAGGED,
        "unlicensed_ai_derivative",
        f"Machine-made according to {_grounds(case)}. {_reuse(case, case.denied_tracks)}; {terms}.",
    )


def unlicensed_use(case: Case) -> Judgement | None:
    """A recording is reused, as it is or edited, without a licence."""
    if not case.denied_tracks:
        return None
    terms = ", ".join(_consent_sentences(case, case.denied_tracks[0]))
    return Judgement(Verdict.FLAGGED, "unlicensed_use", f"{_reuse(case, case.denied_tracks)}; {terms}.")


def ai_contradicted(case: Case) -> Judgement | None:
    """The uploader says that no machine made it, and a mark in the file says that one did.

    Whoever is entitled to what is reused: one of the two statements is wrong, and people find out which.
    """
    statement = next((p for p in case.ai.provenance if p.state == "contradictory"), None)
    if statement is None:
        return None
    reuse = f" {_reuse(case, case.tracks)}." if case.tracks else ""
    return Judgement(
        Verdict.FLAGGED,
        "ai_contradicted",
        f"The uploader's disclosure and the file contradict each other: {statement.detail}.{reuse}",
    )


def ai_disclosed(case: Case) -> Judgement | None:
    """Machine-made by its uploader's own word, and nobody's recording: free to go, with a label."""
    if "disclosure" not in case.grounds:
        return None
    verdict, then = _of_machine_made(case, flagged_by=("always",))
    return Judgement(
        verdict,
        "ai_disclosed",
        f"No licensed recording was found; machine-made according to {_grounds(case)}: {then}.",
    )


def ai_undisclosed(case: Case) -> Judgement | None:
    """A mark or the detector tells of a machine that was not disclosed; nothing is reused: label it."""
    if not case.grounds:
        return None
    verdict, then = _of_machine_made(case, flagged_by=("undisclosed", "always"))
    denied = denies_ai(case.upload.ai_disclosure)
    said = "which the uploader denies" if denied else "which was not disclosed"
    return Judgement(
        verdict,
        "ai_undisclosed",
        f"No licensed recording was found; machine-made according to {_grounds(case)}, {said}: {then}.",
    )


def no_match(case: Case) -> Judgement | None:
    """Nothing of the catalog was recognised."""
    if case.suppressed:
        aside = case.suppressed[0]
        by = "is quarantined" if aside.suppression_kind == "quarantined" else "is suppressed"
        return Judgement(
            Verdict.CLEAR,
            "no_match",
            f"No licensed recording was found in it; a match with “{aside.title}” ({aside.track_id}) was set"
            f" aside, because the reference {by}: {aside.suppression_reason}.",
        )
    return Judgement(Verdict.CLEAR, "no_match", "No licensed recording was found in it.")


RULES: tuple[Rule, ...] = (
    undecodable,
    unlicensed_ai_derivative,
    unlicensed_use,
    ai_contradicted,
    own_upload,
    licensed,
    ai_disclosed,
    ai_undisclosed,
    no_match,
)


def judge(case: Case) -> Judgement:
    """The first rule that fires. `no_match` always does, so there always is a verdict."""
    for rule in RULES:
        judgement = rule(case)
        if judgement is not None:
            return judgement
    raise AssertionError("the last rule fires for every case")


def _grounds(case: Case) -> str:
    """What speaks for a machine, in words, each with what it rests on."""
    words = []
    for ground in case.grounds:
        if ground == "disclosure":
            words.append("the uploader's disclosure")
        elif ground == "mark":
            mark = marks_of_ai(case.ai)[0]
            words.append(f"a mark in the file ({mark.kind}: {mark.detail})")
        else:
            ai = case.ai
            words.append(f"the detector ({ai.probability:.2f}, between {ai.low:.2f} and {ai.high:.2f})")
    return " and ".join(words)


def _of_machine_made(case: Case, *, flagged_by: tuple[FlagAi, ...]) -> tuple[Verdict, str]:
    """The verdict on a machine-made upload that reuses nothing, and what is to be done."""
    if case.policy.flag_ai in flagged_by:
        return Verdict.FLAGGED, f"flagged, as the policy asks (flag_ai: {case.policy.flag_ai})"
    return Verdict.CLEAR, "label it so"


def _reuse(case: Case, tracks: tuple[str, ...]) -> str:
    """The decisive match in words: the first of `tracks`, with the others counted."""
    match = next(m for m in case.matches if m.track_id == tracks[0])
    text = (
        f"Reuses “{match.title}” ({match.track_id},"
        f" {match.reference_start_s:.1f}–{match.reference_end_s:.1f} s)"
        f" at {match.query_start_s:.1f}–{match.query_end_s:.1f} s{_changes(match)}"
    )
    others = len(tracks) - 1
    return text + (f" and {others} more track{'s' if others > 1 else ''}" if others else "")


def _changes(match: Match) -> str:
    """Transposition and tempo in words, where a listener would notice them."""
    changes = []
    if _shifted(match):
        changes.append(f"transposed by {match.shift_semitones:+.1f} semitones")
    if _at_another_tempo(match):
        changes.append(f"at {match.tempo_ratio:.2f} times the tempo")
    return f", {' and '.join(changes)}" if changes else ""


def _shifted(match: Match) -> bool:
    return abs(match.shift_semitones) >= LEAST_SHIFT_SEMITONES


def _at_another_tempo(match: Match) -> bool:
    return abs(match.tempo_ratio - 1.0) >= LEAST_TEMPO_CHANGE


def _consent_sentences(case: Case, track_id: str) -> list[str]:
    findings = [f for f in case.consent if f.track_id == track_id and f.use == case.use]
    if not findings:
        return [f"no rightsholder is on record to allow the {_words(case.use)}"]
    decisive = [f for f in findings if f.decision == "deny"] or findings
    silent = [finding.rightsholder for finding in decisive if finding.term_id is None]
    sentences = [_consent_sentence(finding) for finding in decisive if finding.term_id is not None]
    if silent:
        has = "has" if len(silent) == 1 else "have"
        sentences.append(f"{' and '.join(silent)} {has} no term that allows the {_words(case.use)}")
    return sentences


def _consent_sentence(finding: ConsentFinding) -> str:
    verb = "allows" if finding.decision == "allow" else "denies"
    term = f"term {finding.term_id}, version {finding.version}"
    return f"{finding.rightsholder} {verb} the {_words(finding.use)} ({term})"


def _words(use: str) -> str:
    return {"ai_derivative": "AI derivative", "verbatim_use": "use of the recording"}.get(use, use)
