"""The correlation of contours, against its definition."""

import pytest
import torch

from classifiers.contour import CONTOUR_RATE_HZ, Stretchable, contour_bits, unpack
from classifiers.spectrogram import BANDS
from index.verify import FEW_PLACES, Alignment, by_matrices, by_transform, measure, sight, standing, surface


@pytest.fixture
def reference() -> torch.Tensor:
    return torch.randn(BANDS, 60, generator=torch.Generator().manual_seed(1)).sign()


@pytest.fixture
def queries() -> torch.Tensor:
    return torch.randn(2, BANDS, 20, generator=torch.Generator().manual_seed(2))


def plainly(query: torch.Tensor, reference: torch.Tensor, *, shift: int, offset: int) -> float:
    low, high = max(0, -shift), min(BANDS, BANDS - shift)
    asked = query[low + shift : high + shift]
    laid = reference[low:high, offset : offset + query.shape[1]]
    return float((asked * laid).sum() / (asked.square().sum().sqrt() * laid.square().sum().sqrt()))


@pytest.mark.parametrize("shifts", [range(-6, 4), range(0, 2), range(-14, -5), range(3, 15)])
def test_the_surface_is_what_its_definition_says(
    queries: torch.Tensor, reference: torch.Tensor, shifts: range
) -> None:
    found = surface(queries, torch.tensor([20, 20]), reference, shifts)
    assert found.shape == (2, len(shifts), 41)
    assert (len(shifts) * 41 <= FEW_PLACES) == (shifts == range(0, 2))
    for row, shift in enumerate(shifts):
        for offset in (0, 17, 40):
            expected = plainly(queries[0], reference, shift=shift, offset=offset)
            assert float(found[0, row, offset]) == pytest.approx(expected, abs=1e-5)


def test_both_ways_to_the_products_agree(queries: torch.Tensor, reference: torch.Tensor) -> None:
    for shifts in (range(-6, 4), range(1), range(-14, -9)):
        products = by_matrices(queries, reference, shifts)
        assert torch.allclose(products, by_transform(queries, reference, shifts)[:, :, :41], atol=1e-3)


def test_a_shorter_query_is_judged_by_its_own_cells(queries: torch.Tensor, reference: torch.Tensor) -> None:
    padded = queries.clone()
    padded[1, :, 12:] = 0.0
    found = surface(padded, torch.tensor([20, 12]), reference, range(1))
    expected = plainly(queries[1, :, :12], reference, shift=0, offset=7)
    assert float(found[1, 0, 7]) == pytest.approx(expected, abs=1e-5)


def music(seconds: float, seed: int = 0) -> torch.Tensor:
    """A picture of random notes: float32 [BANDS, frames] in dB at 50 Hz."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.full((BANDS, int(seconds * 50)), -70.0)
    for _ in range(int(seconds * 12)):
        band = int(torch.randint(0, BANDS - 2, (1,), generator=generator))
        start = int(torch.randint(0, picture.shape[1], (1,), generator=generator))
        picture[band : band + 2, start : start + 18] = -20.0
    return picture


def test_a_stretch_is_found_measured_and_stands_out() -> None:
    whole = music(60.0)
    reference = torch.from_numpy(unpack(contour_bits(whole)))
    query = Stretchable(whole[:, 20 * 50 : 32 * 50])
    guess = Alignment(query_s=6.0, reference_s=26.9, tempo_ratio=1.04, shift_semitones=1.5, correlation=0.0)
    seen = sight(query, reference, start_s=0.0, end_s=12.0, near=guess)
    found = measure(query, reference, start_s=0.0, end_s=12.0, near=seen)
    assert found.reference_s == pytest.approx(20.0, abs=0.5 / CONTOUR_RATE_HZ)
    assert found.tempo_ratio == pytest.approx(1.0, abs=0.004)
    assert found.shift_semitones == pytest.approx(0.0, abs=0.2)
    assert seen.prominence > 10.0
    assert standing(query, reference, start_s=0.0, end_s=12.0, found=found).surprise > 10.0


def test_strangers_do_not_stand_out() -> None:
    reference = torch.from_numpy(unpack(contour_bits(music(60.0))))
    query = Stretchable(music(12.0, seed=9))
    guess = Alignment(query_s=6.0, reference_s=26.0, tempo_ratio=1.0, shift_semitones=0.0, correlation=0.0)
    found = measure(query, reference, start_s=0.0, end_s=12.0, near=guess)
    assert standing(query, reference, start_s=0.0, end_s=12.0, found=found).surprise < 5.0
