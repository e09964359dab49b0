import numpy as np
import torch

from classifiers.contour import CONTOUR_RATE_HZ, Picture, contour_bits, contrast, unpack
from classifiers.spectrogram import BANDS


def noise_picture(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(BANDS, frames, generator=torch.Generator().manual_seed(seed)) * 10.0 - 40.0


def test_bits_round_trip_and_cost_190_bytes_a_second() -> None:
    bits = contour_bits(noise_picture(500))
    assert bits.dtype == np.uint8
    assert bits.nbytes == BANDS // 8 * int(10 * CONTOUR_RATE_HZ)
    signs = unpack(bits)
    assert signs.shape == (BANDS, int(10 * CONTOUR_RATE_HZ))
    assert set(np.unique(signs)) == {-1.0, 1.0}
    expected = (contrast(Picture(noise_picture(500)).coarse_db()) > 0).numpy()
    assert np.array_equal(signs > 0, expected)


def test_level_and_slow_filters_do_not_change_the_contour() -> None:
    picture = noise_picture(500)
    tilt = torch.linspace(-20.0, 20.0, BANDS)[:, None]
    agreement = np.mean(unpack(contour_bits(picture)) == unpack(contour_bits(picture + 7.0 + tilt)))
    assert agreement > 0.97


def test_stretching_undoes_a_tempo_change() -> None:
    generator = torch.Generator().manual_seed(1)
    slow = torch.randn(BANDS, 40, generator=generator).repeat_interleave(25, dim=1) * 10.0
    fast = slow.reshape(BANDS, 40, 25)[:, :, :20].reshape(BANDS, 800)  # 1.25 times the tempo
    there = contrast(Picture(slow).coarse_db())
    back = contrast(Picture(fast).coarse_db(stride=1 / 1.25))
    assert abs(back.shape[1] - there.shape[1]) <= 1
    cells = min(back.shape[1], there.shape[1])
    assert torch.corrcoef(torch.stack([there[:, :cells].flatten(), back[:, :cells].flatten()]))[0, 1] > 0.9


def test_a_steady_picture_has_no_contrast() -> None:
    assert torch.all(contrast(torch.full((BANDS, 40), -30.0)).abs() < 1e-4)


def test_nothing_has_an_empty_contour() -> None:
    assert contour_bits(torch.zeros(BANDS, 0)).shape == (0, BANDS // 8)
