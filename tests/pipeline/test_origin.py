"""What the record says of an upload's origin: sound, marks and disclosure side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifiers.ai.detector import Assessment, SignReading
from classifiers.provenance import Claim
from pipeline.events import AiDisclosure
from pipeline.origin import assess_origin, contradicting

TAG = Claim("tag", "found", "Suno", says_machine_made=True)
PART = Claim("c2pa", "found", "an editor", says_machine_made=True, partly=True)
BROKEN = Claim("c2pa", "broken", "does not hold", says_machine_made=True)
RECORDED = Claim("c2pa", "found", "digitalCapture")
ABSENT = Claim("c2pa", "absent", "no manifest")
NO_AI = AiDisclosure(vocals=False, instruments=False, post_production=False)
HEARD = Assessment(
    probability=0.97,
    low=0.93,
    high=0.99,
    known=True,
    segments=((0.0, 5.0, 0.9),),
    signs=(SignReading("comb", 1.5, 0.82, "every 86 Hz"),),
    score=2.2,
    false_positive_rate=0.004,
)


def test_what_is_heard_is_taken_over_number_by_number() -> None:
    ai = assess_origin(AiDisclosure(), (ABSENT,), HEARD)

    assert (ai.known, ai.probability, ai.low, ai.high) == (True, 0.97, 0.93, 0.99)
    assert ai.false_positive_rate == 0.004
    assert [(s.start_s, s.end_s, s.probability) for s in ai.segments] == [(0.0, 5.0, 0.9)]
    assert [(s.name, s.value, s.probability, s.detail) for s in ai.signs] == [
        ("comb", 1.5, 0.82, "every 86 Hz")
    ]


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (None, "no audio"),
        (Assessment(None, None, None, False, reason="too short: 2.0 s"), "too short: 2.0 s"),
    ],
)
def test_without_ground_there_is_no_number_but_a_reason(heard: Assessment | None, reason: str) -> None:
    ai = assess_origin(AiDisclosure(vocals=True), (TAG,), heard)

    assert (ai.known, ai.probability, ai.low, ai.high, ai.segments) == (False, None, None, None, ())
    assert reason in ai.reason
    assert [(p.kind, p.state) for p in ai.provenance] == [("disclosure", "found"), ("tag", "found")]


@pytest.mark.parametrize(
    ("disclosure", "marks", "contradicted"),
    [
        (NO_AI, (TAG,), True),
        (AiDisclosure(vocals=False, instruments=False), (ABSENT, TAG), True),
        (NO_AI, (PART,), True),
        (AiDisclosure(vocals=False, instruments=False, post_production=True), (PART,), False),
        (AiDisclosure(vocals=False, instruments=False, post_production=True), (TAG,), True),
        (AiDisclosure(vocals=False), (TAG,), False),  # silence about the instruments is no denial
        (AiDisclosure(vocals=False, instruments=True), (TAG,), False),
        (AiDisclosure(), (TAG,), False),
        (NO_AI, (BROKEN,), False),
        (NO_AI, (RECORDED, ABSENT), False),
        (NO_AI, (), False),
    ],
)
def test_a_denial_is_contradicted_only_by_marks_that_hold(
    disclosure: AiDisclosure, marks: tuple[Claim, ...], contradicted: bool
) -> None:
    ai = assess_origin(disclosure, marks, HEARD)

    assert bool(contradicting(disclosure, marks)) is contradicted
    assert (ai.provenance[0].state == "contradictory") is contradicted
    if contradicted:
        assert "no AI: vocals, instruments" in ai.provenance[0].detail


def test_a_broken_mark_is_reported_as_broken() -> None:
    (_, mark) = assess_origin(NO_AI, (BROKEN,), HEARD).provenance

    assert (mark.kind, mark.state, mark.detail) == ("c2pa", "broken", "does not hold")


@given(
    st.lists(st.sampled_from([TAG, PART, BROKEN, RECORDED, ABSENT])),
    st.builds(
        AiDisclosure,
        vocals=st.none() | st.booleans(),
        instruments=st.none() | st.booleans(),
        post_production=st.none() | st.booleans(),
    ),
)
def test_neither_marks_nor_words_move_the_probability(marks: list[Claim], disclosure: AiDisclosure) -> None:
    ai = assess_origin(disclosure, marks, HEARD)

    assert (ai.probability, ai.low, ai.high) == (HEARD.probability, HEARD.low, HEARD.high)
