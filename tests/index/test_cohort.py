"""How high chance reaches with a query, and what that takes off a score."""

import pytest

from index.calibration import score_at
from index.cohort import (
    HIGHEST,
    LOWEST,
    ONE_IN_A_THOUSAND,
    ORDINARY,
    SURE_ANYHOW,
    WEIGHT,
    handicap,
    normalised,
)
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


def test_one_in_a_thousand_is_so_whatever_the_cohort_says() -> None:
    for level in (3.0, 4.2, ORDINARY, 5.0, 8.0):
        places = swept(9.0, *[level] * 8)
        reached = ONE_IN_A_THOUSAND + handicap(places, track=0)
        assert normalised(reached, places, track=0) == pytest.approx(score_at(0.001))
        assert normalised(SURE_ANYHOW, places, track=0) >= score_at(0.001) - 1e-9


def test_the_scale_keeps_the_order_and_is_the_wider_where_it_was_measured() -> None:
    def scale(score: float) -> float:
        return normalised(score, [], track=0)

    scores = [scale(4.0 + 0.1 * step) for step in range(300)]
    assert scores == sorted(set(scores))
    here = ONE_IN_A_THOUSAND
    assert scale(here) - scale(here - 1.0) > 1.0
    assert scale(here + 1.0) - scale(here) == pytest.approx(1.0)
