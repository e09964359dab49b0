import numpy as np
import pytest
import torch

from classifiers.embedder import WINDOW_FRAMES
from classifiers.fingerprint import LOWER, PARTED_AT_HZ, PARTED_UP_TO_S, UPPER, WHOLE, load_fingerprinter
from classifiers.spectrogram import BANDS, FLOOR_DB, FRAME_RATE_HZ, band_frequencies_hz


def picture(seconds: float) -> torch.Tensor:
    random = torch.Generator().manual_seed(4)
    return -60.0 + 40.0 * torch.rand(BANDS, int(seconds * FRAME_RATE_HZ), generator=random)


def test_a_short_upload_is_also_asked_in_two_parts_at_the_same_places() -> None:
    query = load_fingerprinter().query_of(picture(4.0), duration_s=4.0)
    untransposed = query.transpositions == 0.0
    starts = {part: query.starts_s[untransposed & (query.parts == part)] for part in (WHOLE, LOWER, UPPER)}
    assert len(starts[WHOLE]) > 8
    assert np.array_equal(starts[WHOLE], starts[LOWER])
    assert np.array_equal(starts[WHOLE], starts[UPPER])
    assert set(query.parts[~untransposed]) == {WHOLE}


@pytest.mark.parametrize("part", [LOWER, UPPER])
def test_a_part_hears_nothing_of_the_other(part: int) -> None:
    at = int(np.searchsorted(band_frequencies_hz(), PARTED_AT_HZ))
    heard = picture(3.0)
    other = torch.full_like(heard, FLOOR_DB)
    kept = slice(None, at) if part == LOWER else slice(at, None)
    other[kept] = heard[kept]
    first, second = (load_fingerprinter().query_of(one, duration_s=3.0) for one in (heard, other))
    assert np.array_equal(first.vectors[first.parts == part], second.vectors[second.parts == part])
    assert not np.allclose(first.vectors[first.parts == WHOLE], second.vectors[second.parts == WHOLE])


def test_a_long_upload_is_asked_as_a_whole_only() -> None:
    seconds = PARTED_UP_TO_S + 1.0
    query = load_fingerprinter().query_of(picture(seconds), duration_s=seconds)
    assert set(query.parts) == {WHOLE}
    assert query.starts_s.max() <= seconds - WINDOW_FRAMES / FRAME_RATE_HZ / 2.0


def test_a_part_that_is_silent_asks_nothing() -> None:
    low = picture(3.0)
    low[60:] = FLOOR_DB
    query = load_fingerprinter().query_of(low, duration_s=3.0)
    assert LOWER in query.parts
    assert UPPER not in query.parts
