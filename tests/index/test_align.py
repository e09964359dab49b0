import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from index.align import TEMPO_GRID, Pairs, find_lines


def pairs_of_a_line(
    *, tempo_ratio: float, anchor_s: float, track: int = 3, noise_pairs: int = 200, seed: int = 0
) -> Pairs:
    """Ten windows of a true line among chance neighbours of the same similarity."""
    random = np.random.default_rng(seed)
    query = np.arange(0.5, 10.5, 1.0)
    true = anchor_s + tempo_ratio * (query - 5.0) + random.uniform(-0.2, 0.2, len(query))
    chance = random.integers(0, 10, noise_pairs)
    return Pairs(
        query_s=np.concatenate([query, query[chance]]).astype(np.float32),
        reference_s=np.concatenate([true, random.uniform(0, 200, noise_pairs)]).astype(np.float32),
        track=np.concatenate([np.full(10, track), random.integers(0, 20, noise_pairs)]).astype(np.int32),
        transposition=np.zeros(10 + noise_pairs, np.float32),
        similarity=np.full(10 + noise_pairs, 0.8, np.float32),
    )


@settings(max_examples=30, deadline=None)
@given(tempo=st.floats(0.76, 1.32), anchor=st.floats(10.0, 150.0), seed=st.integers(0, 1000))
def test_the_true_line_wins_among_chance(tempo: float, anchor: float, seed: int) -> None:
    pairs = pairs_of_a_line(tempo_ratio=tempo, anchor_s=anchor, seed=seed)
    best = find_lines(pairs, start_s=0.0, end_s=10.0, most=5)[0]
    assert best.track == 3
    assert best.query_s == 5.0
    assert abs(best.reference_s - anchor) < 1.2
    assert abs(np.log(best.tempo_ratio / tempo)) < 0.13


def test_a_window_votes_once_for_a_line() -> None:
    """A held chord is near a hundred windows of a drone: that is one window's worth of evidence."""
    query = np.full(100, 5.0, np.float32)
    pairs = Pairs(
        query_s=query,
        reference_s=np.full(100, 50.0, np.float32),
        track=np.zeros(100, np.int32),
        transposition=np.zeros(100, np.float32),
        similarity=np.full(100, 0.9, np.float32),
    )
    assert find_lines(pairs, start_s=0.0, end_s=10.0, most=1)[0].votes == pytest.approx(0.36, abs=1e-5)


def test_two_tracks_in_one_block_give_two_lines() -> None:
    one = pairs_of_a_line(tempo_ratio=1.0, anchor_s=40.0, track=3, noise_pairs=0)
    other = pairs_of_a_line(tempo_ratio=1.1, anchor_s=90.0, track=7, noise_pairs=0)
    both = Pairs(
        *(
            np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("query_s", "reference_s", "track", "transposition", "similarity")
        )
    )
    assert {line.track for line in find_lines(both, start_s=0.0, end_s=10.0, most=2, most_per_track=1)} == {
        3,
        7,
    }


def test_far_pairs_do_not_vote() -> None:
    pairs = pairs_of_a_line(tempo_ratio=1.0, anchor_s=40.0, noise_pairs=0)
    assert find_lines(pairs, start_s=100.0, end_s=110.0, most=3) == []


def test_the_grid_is_fine_enough() -> None:
    """Half a step, over half a block of ten seconds, strays less than half a second."""
    assert np.exp(np.diff(np.log(TEMPO_GRID)).max() / 2) * 5.0 - 5.0 < 0.5
