"""Matches on suppressed references accuse nobody, and say why."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from index.suppression import Kind, Suppression
from pipeline.events import Upload
from pipeline.evidence import Match, Verdict
from pipeline.policy import Case, judge
from pipeline.setting_aside import set_aside


def match(track_id: str = "alp", *, start: float = 0.0, end: float = 40.0, score: float = 40.0) -> Match:
    return Match(
        track_id=track_id, title="Alpenglow", query_start_s=start, query_end_s=end, reference_start_s=start,
        reference_end_s=end, shift_semitones=0.0, tempo_ratio=1.0, coverage=(end - start) / 40.0, score=score,
        false_positive_rate=0.0001,
    )  # fmt: skip


def loop(start_s: float | None, end_s: float | None, *, kind: Kind = Kind.SUPPRESSED) -> Suppression:
    return Suppression(
        suppression_id="s1", track_id="alp", kind=kind, reason="stock loop", start_s=start_s, end_s=end_s,
        recorded_by="ida", recorded_at=datetime(2026, 6, 1, tzinfo=UTC),
    )  # fmt: skip


def test_without_suppressions_matches_are_handed_on_as_they_are() -> None:
    found = (match(), match("other"))
    assert set_aside(found, ()) == (found, ())
    assert set_aside(found[1:], (loop(None, None),)) == (found[1:], ())


def test_what_is_left_bears_its_part_of_the_evidence() -> None:
    other = match("other", score=30.0)
    kept, aside = set_aside((match(), other), (loop(0.0, 30.0),))
    assert [one.track_id for one in kept] == ["other", "alp"]
    left = kept[1]
    assert (left.query_start_s, left.query_end_s, left.reference_start_s) == (30.0, 40.0, 30.0)
    assert left.score == 20.0  # 40 times the root of a quarter
    assert left.coverage == 0.25
    (whole,) = aside
    assert (whole.suppression_id, whole.suppression_kind, whole.suppression_reason) == (
        "s1",
        "suppressed",
        "stock loop",
    )
    assert whole.query_start_s == 0.0


def test_a_weak_rest_no_longer_reaches_the_threshold() -> None:
    kept, _ = set_aside((match(score=10.0),), (loop(0.0, 37.0),))
    assert kept[0].false_positive_rate > 0.1


@pytest.mark.parametrize(
    ("kind", "words"), [(Kind.SUPPRESSED, "is suppressed"), (Kind.QUARANTINED, "is quarantined")]
)
def test_the_sentence_says_what_was_set_aside(kind: Kind, words: str) -> None:
    kept, aside = set_aside((match(),), (loop(None, None, kind=kind),))
    upload = Upload(upload_id="up-1", uri="file:///x.wav", uploader="me")
    judged = judge(Case(upload=upload, matches=kept, suppressed=aside))
    assert (judged.verdict, judged.rule) == (Verdict.CLEAR, "no_match")
    assert "“Alpenglow” (alp) was set aside" in judged.reason
    assert f"the reference {words}: stock loop" in judged.reason
