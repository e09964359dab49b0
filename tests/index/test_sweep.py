"""The contour's own search, in the tracks that a short query points to."""

import numpy as np
import pytest
import torch

from classifiers.contour import Stretchable, contour_bits, unpack
from classifiers.spectrogram import BANDS
from index.sweep import TRACKS, best_place, promising_tracks
from index.vectors import Neighbours


def neighbours(rows: list[list[tuple[int, float]]]) -> Neighbours:
    """From (track, similarity) of each row's neighbours, best first."""
    return Neighbours(
        similarity=np.array([[similarity for _, similarity in row] for row in rows], dtype=np.float32),
        track=np.array([[track for track, _ in row] for row in rows], dtype=np.int32),
        start_s=np.zeros((len(rows), len(rows[0])), dtype=np.float32),
    )


def test_a_window_counts_once_for_a_track_and_only_if_it_was_asked() -> None:
    near = neighbours(
        [
            [(7, 0.8), (7, 0.79), (3, 0.7)],
            [(3, 0.7), (7, 0.2), (-1, 0.0)],
            [(9, 0.99), (9, 0.98), (9, 0.97)],
        ]
    )
    asked = np.array([True, True, False])
    # 2 * 0.4 ** 2 for track 3, 0.5 ** 2 for 7; what is below the floor does not vote.
    assert promising_tracks(near, asked, duration_s=lambda _: 100.0) == [3, 7]


def test_long_tracks_need_more_votes() -> None:
    near = neighbours([[(1, 0.8), (2, 0.75)]])
    asked = np.array([True])
    assert promising_tracks(near, asked, duration_s=lambda _: 200.0) == [1, 2]
    assert promising_tracks(near, asked, duration_s={1: 3600.0, 2: 200.0}.__getitem__) == [2, 1]


def test_there_is_a_limit_and_nothing_from_nothing() -> None:
    near = neighbours([[(track, 0.5) for track in range(2 * TRACKS)]])
    assert len(promising_tracks(near, np.array([True]), duration_s=lambda _: 60.0)) == TRACKS
    assert promising_tracks(near, np.array([False]), duration_s=lambda _: 60.0) == []


@pytest.mark.parametrize("shift_bands", [0, 3])
def test_the_place_is_found_in_noise_and_a_little_transposed(shift_bands: int) -> None:
    generator = torch.Generator().manual_seed(3)
    music = torch.nn.functional.interpolate(
        torch.randn(1, BANDS, 150, generator=generator), scale_factor=20, mode="linear"
    )[0]
    reference = 10.0 * music - 40.0
    asked = reference[:, 50 * 23 : 50 * 31].roll(shift_bands, dims=0)
    noisy = asked + 10.0 * torch.randn(asked.shape, generator=generator)
    place = best_place(Stretchable(noisy), 7, torch.from_numpy(unpack(contour_bits(reference))))
    assert (place.track, place.reference_s) == (7, pytest.approx(23.0, abs=0.1))
    assert place.surprise > 10.0


def test_a_query_longer_than_the_reference_has_one_place() -> None:
    generator = torch.Generator().manual_seed(4)
    reference = 10.0 * torch.randn(BANDS, 100, generator=generator) - 40.0
    query = Stretchable(10.0 * torch.randn(BANDS, 400, generator=generator) - 40.0)
    place = best_place(query, 0, torch.from_numpy(unpack(contour_bits(reference))))
    assert place.reference_s == 0.0
    assert place.surprise < 5.0
