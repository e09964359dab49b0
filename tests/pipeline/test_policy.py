"""The policy: a table of cases, and what must hold for every case."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import AiDisclosure, Upload
from pipeline.evidence import AiAssessment, ConsentFinding, Match, Provenance, Verdict
from pipeline.policy import RULES, Case, Policy, counted, judge, use_of, verbatim
from soundalike.errors import AudioTruncated

AI = AiDisclosure(vocals=True)
HEARD_AI = AiAssessment(probability=0.99, low=0.95, high=1.0, known=True)
UNSURE_AI = AiAssessment(probability=0.99, low=0.6, high=1.0, known=True)
TAG = Provenance(kind="tag", state="found", detail="Suno", says_machine_made=True)
BROKEN = Provenance(kind="c2pa", state="broken", detail="does not hold", says_machine_made=True)
RECORDED = Provenance(kind="c2pa", state="found", detail="digitalCapture")
DENIAL = Provenance(kind="disclosure", state="contradictory", detail="no AI: vocals; but tag: Suno")
MARKED_AI = AiAssessment(probability=0.1, low=0.0, high=0.2, known=True, provenance=(TAG,))
BROKEN_MARK = AiAssessment(provenance=(BROKEN, RECORDED))
CONTRADICTED = AiAssessment(provenance=(DENIAL, TAG))
NO_AI = AiDisclosure(vocals=False, instruments=False)


def upload(disclosure: AiDisclosure | None = None) -> Upload:
    return Upload(
        upload_id="u1", uri="file:///a.wav", uploader="ann", ai_disclosure=disclosure or AiDisclosure()
    )


def a_match(track: str = "t1", *, seconds: float = 10.0, fpr: float = 0.0, **changes: float) -> Match:
    fields = {"shift_semitones": 0.0, "tempo_ratio": 1.0, "coverage": 0.5, "score": 9.0} | changes
    return Match(
        track_id=track,
        title=f"Title of {track}",
        query_start_s=1.0,
        query_end_s=1.0 + seconds,
        reference_start_s=30.0,
        reference_end_s=30.0 + seconds,
        false_positive_rate=fpr,
        **fields,
    )


def says(decision: str, use: str, track: str = "t1", holder: str = "Firn") -> ConsentFinding:
    return ConsentFinding(
        rightsholder=holder, use=use, decision=decision, term_id="term-7", version=2, track_id=track
    )


TABLE = {
    "nothing found": (Case(upload=upload()), "clear", "no_match"),
    "bad audio": (
        Case(upload=upload(), undecodable=AudioTruncated("1 of 9 s")),
        "undecodable",
        "undecodable",
    ),
    "silence is a no": (Case(upload=upload(), matches=(a_match(),)), "flagged", "unlicensed_use"),
    "denied": (
        Case(upload=upload(), matches=(a_match(),), consent=(says("deny", "verbatim_use"),)),
        "flagged",
        "unlicensed_use",
    ),
    "allowed": (
        Case(upload=upload(), matches=(a_match(),), consent=(says("allow", "verbatim_use"),)),
        "licensed",
        "licensed",
    ),
    "allowed, but for another use": (
        Case(upload=upload(AI), matches=(a_match(),), consent=(says("allow", "verbatim_use"),)),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "allowed AI derivative": (
        Case(upload=upload(AI), matches=(a_match(),), consent=(says("allow", "ai_derivative"),)),
        "licensed",
        "licensed",
    ),
    "one of two rightsholders denies": (
        Case(
            upload=upload(AI),
            matches=(a_match(),),
            consent=(says("allow", "ai_derivative"), says("deny", "ai_derivative", holder="Verlag")),
        ),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "one of two tracks is licensed": (
        Case(
            upload=upload(),
            matches=(a_match("t1"), a_match("t2")),
            consent=(says("allow", "verbatim_use", "t1"), says("deny", "verbatim_use", "t2")),
        ),
        "flagged",
        "unlicensed_use",
    ),
    "consent for another track": (
        Case(upload=upload(), matches=(a_match("t1"),), consent=(says("allow", "verbatim_use", "t2"),)),
        "flagged",
        "unlicensed_use",
    ),
    "own": (
        Case(upload=upload(), matches=(a_match(),), own_tracks=frozenset({"t1"})),
        "clear",
        "own_upload",
    ),
    "own and a licensed one": (
        Case(
            upload=upload(),
            matches=(a_match("t1"), a_match("t2")),
            own_tracks=frozenset({"t1"}),
            consent=(says("allow", "verbatim_use", "t2"),),
        ),
        "licensed",
        "licensed",
    ),
    "own, mixed with somebody else's": (
        Case(upload=upload(), matches=(a_match("t1"), a_match("t2")), own_tracks=frozenset({"t1"})),
        "flagged",
        "unlicensed_use",
    ),
    "disclosed AI, nobody's recording": (Case(upload=upload(AI)), "clear", "ai_disclosed"),
    "only mastered by AI": (
        Case(upload=upload(AiDisclosure(post_production=True)), matches=(a_match(),)),
        "flagged",
        "unlicensed_use",
    ),
    "the detector hears what was not disclosed": (
        Case(upload=upload(), ai=HEARD_AI, matches=(a_match(),)),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "the detector alone, over a licensed copy": (
        Case(
            upload=upload(),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.9),),
            consent=(says("allow", "verbatim_use"),),
        ),
        "licensed",
        "licensed",
    ),
    "a licensed copy in two pieces": (
        Case(
            upload=upload(),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.45), a_match(coverage=0.45)),
            consent=(says("allow", "verbatim_use"),),
        ),
        "licensed",
        "licensed",
    ),
    "the detector alone, over a copy that only AI may use": (
        Case(
            upload=upload(),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.9),),
            consent=(says("allow", "ai_derivative"), says("deny", "verbatim_use")),
        ),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "the detector, and a licensed quote in something longer": (
        Case(
            upload=upload(),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.5),),
            consent=(says("allow", "verbatim_use"),),
        ),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "the detector, and a licensed recording transposed": (
        Case(
            upload=upload(),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.9, shift_semitones=1.0),),
            consent=(says("allow", "verbatim_use"),),
        ),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "disclosed AI, over a licensed copy": (
        Case(
            upload=upload(AI),
            ai=HEARD_AI,
            matches=(a_match(coverage=0.9),),
            consent=(says("allow", "verbatim_use"),),
        ),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "undisclosed AI, nobody's recording": (Case(upload=upload(), ai=HEARD_AI), "clear", "ai_undisclosed"),
    "the file says what was not disclosed": (Case(upload=upload(), ai=MARKED_AI), "clear", "ai_undisclosed"),
    "a mark makes a clone": (
        Case(upload=upload(), ai=MARKED_AI, matches=(a_match(),), consent=(says("allow", "verbatim_use"),)),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "a broken mark decides nothing": (Case(upload=upload(NO_AI), ai=BROKEN_MARK), "clear", "no_match"),
    "denied against the file's own mark": (
        Case(upload=upload(NO_AI), ai=CONTRADICTED),
        "flagged",
        "ai_contradicted",
    ),
    "denied against a mark, licensed": (
        Case(
            upload=upload(NO_AI),
            ai=CONTRADICTED,
            matches=(a_match(),),
            consent=(says("allow", "ai_derivative"),),
        ),
        "flagged",
        "ai_contradicted",
    ),
    "denied against a mark, a clone": (
        Case(upload=upload(NO_AI), ai=CONTRADICTED, matches=(a_match(),)),
        "flagged",
        "unlicensed_ai_derivative",
    ),
    "undisclosed AI under a policy that flags it": (
        Case(upload=upload(), ai=HEARD_AI, policy=Policy(flag_ai="undisclosed")),
        "flagged",
        "ai_undisclosed",
    ),
    "disclosed AI under that policy": (
        Case(upload=upload(AI), ai=HEARD_AI, policy=Policy(flag_ai="undisclosed")),
        "clear",
        "ai_disclosed",
    ),
    "disclosed AI under one that flags all": (
        Case(upload=upload(AI), policy=Policy(flag_ai="always")),
        "flagged",
        "ai_disclosed",
    ),
    "licensed AI under one that flags all": (
        Case(
            upload=upload(AI),
            matches=(a_match(),),
            consent=(says("allow", "ai_derivative"),),
            policy=Policy(flag_ai="always"),
        ),
        "licensed",
        "licensed",
    ),
    "an unsure detector decides nothing": (Case(upload=upload(), ai=UNSURE_AI), "clear", "no_match"),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_case_has_its_verdict_and_rule(name: str) -> None:
    case, verdict, rule = TABLE[name]

    judgement = judge(case)

    assert (judgement.verdict.value, judgement.rule) == (verdict, rule)


def test_the_table_makes_every_rule_fire() -> None:
    assert {judge(case).rule for case, _, _ in TABLE.values()} == {rule.__name__ for rule in RULES}


def test_the_reason_names_track_seconds_changes_and_consent() -> None:
    case = Case(
        upload=upload(AI),
        matches=(a_match(seconds=12.5, shift_semitones=2.0, tempo_ratio=1.15), a_match("t2")),
        consent=(says("deny", "ai_derivative"),),
    )

    assert judge(case).reason == (
        "Machine-made according to the uploader's disclosure."
        " Reuses “Title of t1” (t1, 30.0–42.5 s) at 1.0–13.5 s,"
        " transposed by +2.0 semitones and at 1.15 times the tempo and 1 more track;"
        " Firn denies the AI derivative (term term-7, version 2)."
    )


def test_the_reason_names_every_ground() -> None:
    ai = HEARD_AI.model_copy(update={"provenance": (TAG,)})
    case = Case(upload=upload(AI), ai=ai, matches=(a_match(),))

    assert judge(case).reason.startswith(
        "Machine-made according to the uploader's disclosure and a mark in the file (tag: Suno)"
        " and the detector (0.99, between 0.95 and 1.00)."
    )


def test_a_label_says_what_it_rests_on() -> None:
    assert judge(Case(upload=upload(), ai=HEARD_AI)).reason == (
        "No licensed recording was found; machine-made according to the detector"
        " (0.99, between 0.95 and 1.00), which was not disclosed: label it so."
    )
    assert "which the uploader denies" in judge(Case(upload=upload(NO_AI), ai=HEARD_AI)).reason


@pytest.mark.parametrize("ai", [HEARD_AI, UNSURE_AI, AiAssessment()])
def test_absent_marks_change_nothing(ai: AiAssessment) -> None:
    absent = (Provenance(kind="c2pa", state="absent"), Provenance(kind="tag", state="absent"))
    with_absent = ai.model_copy(update={"provenance": absent})

    assert judge(Case(upload=upload(), ai=with_absent)) == judge(Case(upload=upload(), ai=ai))


def test_changes_too_small_to_hear_are_not_mentioned() -> None:
    case = Case(upload=upload(), matches=(a_match(shift_semitones=0.1, tempo_ratio=1.004),))

    assert "transposed" not in judge(case).reason
    assert "tempo" not in judge(case).reason


class TestVerbatim:
    """The detector as the only ground, over a copy of the recording."""

    COPY = Case(upload=upload(), ai=HEARD_AI, matches=(a_match(coverage=0.9),))

    def test_the_record_keeps_what_was_heard(self) -> None:
        assert self.COPY.grounds == ("detector",)
        assert self.COPY.use == "verbatim_use"
        assert self.COPY.ai.probability == HEARD_AI.probability

    def test_an_unlicensed_copy_names_both(self) -> None:
        reason = judge(self.COPY).reason
        assert reason.startswith("Machine-made according to the detector (0.99")
        assert reason.endswith("no rightsholder is on record to allow the use of the recording.")

    @pytest.mark.parametrize(
        ("changes", "copy"),
        [
            ({"coverage": 0.8}, True),
            ({"coverage": 0.79}, False),
            ({"coverage": 0.9, "tempo_ratio": 1.02}, False),
            ({"coverage": 0.9, "tempo_ratio": 0.995, "shift_semitones": -0.2}, True),
        ],
    )
    def test_what_a_copy_is(self, changes: dict[str, float], copy: bool) -> None:
        assert verbatim((a_match(**changes),)) is copy

    def test_nothing_is_no_copy(self) -> None:
        assert not verbatim(())


class TestCounting:
    def test_a_doubtful_match_does_not_count(self) -> None:
        matches = (a_match(fpr=0.02), a_match("t2", fpr=0.01))

        assert [m.track_id for m in counted(matches, policy=Policy(max_false_positive_rate=0.01))] == ["t2"]

    def test_short_pieces_of_one_track_count_together(self) -> None:
        pieces = (a_match(seconds=1.6), a_match("t2", seconds=1.6), a_match(seconds=1.6))

        assert [m.track_id for m in counted(pieces, policy=Policy(min_matched_s=3.0))] == ["t1", "t1"]


class TestPolicyHash:
    def test_follows_every_field(self) -> None:
        policy = Policy()
        others = [
            replace(policy, version="1"),
            replace(policy, max_false_positive_rate=0.02),
            replace(policy, min_matched_s=4.0),
            replace(policy, min_ai_probability=0.8),
            replace(policy, flag_ai="undisclosed"),
        ]

        assert len({policy.hash, *(other.hash for other in others)}) == 6

    def test_is_the_same_in_every_process(self) -> None:
        # Part of the ids of output events: it may change only together with a field or its name.
        assert Policy(
            version="2",
            max_false_positive_rate=0.01,
            min_matched_s=3.0,
            min_ai_probability=0.9,
            flag_ai="never",
        ).hash == ("a47a43e7f49f6b9edc1c4455467203e5876c4d98235194e935595a1e4bc6c67a")


tracks = st.sampled_from(["t1", "t2", "t3"])
uses = st.sampled_from(["ai_derivative", "verbatim_use", "ai_training"])
matches = st.builds(
    a_match,
    track=tracks,
    seconds=st.floats(0.5, 60.0),
    fpr=st.floats(0.0, 1.0),
    shift_semitones=st.floats(-6.0, 6.0),
    tempo_ratio=st.floats(0.5, 2.0),
)
findings = st.builds(
    says,
    decision=st.sampled_from(["allow", "deny"]),
    use=uses,
    track=tracks,
    holder=st.sampled_from(["Firn", "Verlag"]),
)
cases = st.builds(
    Case,
    upload=st.builds(
        upload,
        st.builds(AiDisclosure, vocals=st.none() | st.booleans(), instruments=st.none() | st.booleans()),
    ),
    matches=st.lists(matches, max_size=5).map(tuple),
    ai=st.sampled_from([AiAssessment(), HEARD_AI, UNSURE_AI, MARKED_AI, BROKEN_MARK, CONTRADICTED]),
    consent=st.lists(findings, max_size=8).map(tuple),
    own_tracks=st.frozensets(tracks),
    undecodable=st.none() | st.just(AudioTruncated("1 of 9 s")),
)


@given(cases)
def test_the_verdict_follows_from_the_case_alone(case: Case) -> None:
    assert judge(case) == judge(replace(case))


@given(cases)
def test_nothing_is_licensed_against_a_denial(case: Case) -> None:
    judgement = judge(case)
    if judgement.verdict is Verdict.LICENSED:
        use = use_of(case.upload.ai_disclosure, case.ai, policy=case.policy, matches=case.matches)
        foreign = {m.track_id for m in case.matches} - case.own_tracks
        said = {
            track: {f.decision for f in case.consent if (f.track_id, f.use) == (track, use)}
            for track in foreign
        }
        assert said
        assert all(decisions == {"allow"} for decisions in said.values())


@given(cases)
def test_nothing_is_flagged_without_a_foreign_match_or_a_contradiction(case: Case) -> None:
    if judge(case).verdict is Verdict.FLAGGED:
        assert {m.track_id for m in case.matches} - case.own_tracks or case.ai is CONTRADICTED


@given(cases)
def test_somebody_elses_recording_never_passes_in_silence(case: Case) -> None:
    foreign = {m.track_id for m in case.matches} - case.own_tracks
    if foreign and not case.consent and case.undecodable is None:
        assert judge(case).verdict is Verdict.FLAGGED


@given(cases, findings.filter(lambda f: f.decision == "deny"))
def test_one_more_denial_never_frees_an_upload(case: Case, denial: ConsentFinding) -> None:
    stricter = judge(replace(case, consent=(*case.consent, denial))).verdict
    if judge(case).verdict is Verdict.FLAGGED:
        assert stricter is Verdict.FLAGGED


@given(st.lists(matches, max_size=6).map(tuple))
def test_counted_matches_keep_their_order_and_hold_the_thresholds(found: tuple[Match, ...]) -> None:
    policy = Policy()
    kept = counted(found, policy=policy)

    assert [m for m in found if m in kept] == list(kept)
    assert all(m.false_positive_rate <= policy.max_false_positive_rate for m in kept)
