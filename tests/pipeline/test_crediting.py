"""One attribution for each licensed verdict: works, seconds, terms, and splits that sum to exactly 1."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from index.splits import apportion
from index.tracks import Right, Role
from pipeline.crediting import attribution
from pipeline.evidence import ConsentFinding, Match
from pipeline.payloads import Upload
from pipeline.policy import Case

UPLOAD = Upload(upload_id="up-1", uri="file:///x.wav", uploader="me", ai_tool="Loom", territory="DE")


def match(track_id: str, start_s: float, end_s: float) -> Match:
    return Match(
        track_id=track_id, title=track_id.title(), query_start_s=start_s, query_end_s=end_s,
        reference_start_s=start_s, reference_end_s=end_s, shift_semitones=0.0, tempo_ratio=1.0, coverage=0.1,
        score=20.0, false_positive_rate=0.0001,
    )  # fmt: skip


def allows(track_id: str, *holders: str) -> tuple[ConsentFinding, ...]:
    return tuple(
        ConsentFinding(
            rightsholder=holder, use="verbatim_use", decision="allow", term_id=f"t-{holder}", version=3,
            track_id=track_id,
        )
        for holder in holders
    )  # fmt: skip


def test_works_share_by_seconds_and_holders_by_share() -> None:
    rights = {
        "lava": (Right("Firn", Decimal("0.25"), Role.LABEL), Right("Firn", Decimal("0.25"), Role.PUBLISHER),
                 Right("Verlag", Decimal("0.5"))),
        "egypt": (Right("Verlag", Decimal(1)),),
    }  # fmt: skip
    case = Case(
        upload=UPLOAD,
        matches=(match("egypt", 30.0, 40.0), match("lava", 0.0, 10.0), match("lava", 10.0, 30.0)),
        consent=(*allows("lava", "Firn", "Verlag"), *allows("egypt", "Verlag")),
    )
    credit = attribution(case, rights.__getitem__)
    assert [(work.track_id, work.matched_s, work.share) for work in credit.works] == [
        ("lava", 30.0, "0.75"),
        ("egypt", 10.0, "0.25"),
    ]
    assert {split.rightsholder: split.share for split in credit.splits} == {
        "Firn": "0.375",
        "Verlag": "0.625",
    }
    assert len(credit.works[0].spans) == 2
    assert [(term.rightsholder, term.term_id, term.term_version) for term in credit.works[0].terms] == [
        ("Firn", "t-Firn", 3),
        ("Verlag", "t-Verlag", 3),
    ]
    # In one line: the work with the most seconds, its longest span, the term of a largest holder.
    assert (credit.track_id, credit.query_start_s, credit.query_end_s) == ("lava", 10.0, 30.0)
    assert (credit.term_id, credit.uploader, credit.ai_tool, credit.territory) == (
        "t-Verlag",
        "me",
        "Loom",
        "DE",
    )


def test_a_track_of_the_uploaders_own_is_not_credited() -> None:
    case = Case(
        upload=UPLOAD,
        matches=(match("own", 0.0, 20.0), match("lava", 20.0, 30.0)),
        consent=allows("lava", "Firn"),
        own_tracks=frozenset({"own"}),
    )
    credit = attribution(case, lambda _track: (Right("Firn", Decimal(1)),))
    assert [work.track_id for work in credit.works] == ["lava"]


works = st.lists(
    st.tuples(
        st.lists(st.floats(1.5, 600.0), min_size=1, max_size=3),
        st.dictionaries(st.sampled_from("ABCDE"), st.integers(1, 1000), min_size=1),
    ),
    min_size=1,
    max_size=5,
)


@given(works=works)
def test_splits_sum_to_exactly_one_and_follow_seconds_and_shares(
    works: list[tuple[list[float], dict[str, int]]],
) -> None:
    rights, matches, consent = {}, [], []
    for number, (lengths, weights) in enumerate(works):
        track_id, at_s = f"track-{number}", 0.0
        shares = apportion({holder: Fraction(weight) for holder, weight in weights.items()})
        rights[track_id] = tuple(Right(holder, share) for holder, share in shares.items() if share)
        for length_s in lengths:
            matches.append(match(track_id, at_s, at_s + length_s))
            at_s += length_s
        consent += allows(track_id, *weights)
    case = Case(upload=UPLOAD, matches=tuple(matches), consent=tuple(consent))
    credit = attribution(case, rights.__getitem__)
    assert sum(Decimal(split.share) for split in credit.splits) == 1
    assert sum(Decimal(work.share) for work in credit.works) == 1
    total_s = sum(Fraction(work.matched_s) for work in credit.works)
    for split in credit.splits:
        exact = sum(
            Fraction(work.matched_s) / total_s * Fraction(own.share)
            for work in credit.works
            for own in work.splits
            if own.rightsholder == split.rightsholder
        )
        assert abs(Fraction(split.share) - exact) <= Fraction(1, 10**12)
