"""How high chance reaches with a query, and what that takes off a score."""

import pytest

from index.cohort import HIGHEST, LOWEST, ORDINARY, WEIGHT, handicap
from index.sweep import Place


def swept(*surprises: float) -> list[Place]:
    """Tracks 0, 1, 2, …, each with its best place."""
    return [
        Place(track=track, reference_s=3.0, surprise=surprise) for track, surprise in enumerate(surprises)
    ]


def test_an_ordinary_query_keeps_its_score() -> None:
    assert handicap(swept(9.0, *[ORDINARY] * 8), track=0) == pytest.approx(0.0)


def test_where_chance_reaches_far_a_score_counts_less_and_in_noise_more() -> None:
    level = handicap(swept(9.0, *[5.0] * 8), track=0)
    assert level == pytest.approx(WEIGHT * (5.0 - ORDINARY))
    assert handicap(swept(9.0, *[4.2] * 8), track=0) == pytest.approx(WEIGHT * (4.2 - ORDINARY))


def test_no_level_is_believed_without_limit() -> None:
    assert handicap(swept(*[30.0] * 9), track=0) == pytest.approx(WEIGHT * (HIGHEST - ORDINARY))
    assert handicap(swept(*[0.0] * 9), track=0) == pytest.approx(WEIGHT * (LOWEST - ORDINARY))


def test_the_same_music_under_two_other_ids_has_no_say() -> None:
    alone = handicap(swept(12.0, 5.0, 4.8, 4.6, 4.4, 4.2, 4.0, 3.8), track=0)
    assert alone == pytest.approx(WEIGHT * (4.3 - ORDINARY))
    thrice = swept(12.0, 11.0, 10.0, 4.6, 4.4, 4.2, 4.0, 3.8)
    assert handicap(thrice, track=0) == pytest.approx(alone)


def test_the_match_itself_is_none_of_its_cohort() -> None:
    places = swept(12.0, 11.0, 10.0, 4.6, 4.4, 4.2, 4.0)
    assert handicap(places, track=0) < handicap(places, track=6)
    assert handicap(places, track=0) < handicap(places, track=99)  # found, but not swept


def test_five_others_are_too_few_to_tell() -> None:
    assert handicap(swept(9.0, *[6.0] * 5), track=0) == 0.0
    assert handicap(swept(9.0, *[6.0] * 6), track=0) > 0.0
    assert handicap([], track=0) == 0.0
