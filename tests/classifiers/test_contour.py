import numpy as np
import torch

from classifiers.contour import CONTOUR_RATE_HZ, Stretchable, coarse_db, contour_bits, contrast, unpack
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
    expected = (contrast(coarse_db(noise_picture(500)), CONTOUR_RATE_HZ) > 1e-3).numpy()
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
    there, cells = Stretchable(slow).at([1.0], start_s=0.0, end_s=20.0)
    back, same = Stretchable(fast).at([1.25], start_s=0.0, end_s=16.0)
    assert int(cells) == int(same) == 200
    assert torch.corrcoef(torch.stack([there.flatten(), back.flatten()]))[0, 1] > 0.9


def test_several_tempos_at_once_are_each_alone() -> None:
    music = Stretchable(noise_picture(800))
    both, cells = music.at([0.8, 1.1], start_s=3.0, end_s=9.0)
    for number, ratio in enumerate((0.8, 1.1)):
        alone, length = music.at([ratio], start_s=3.0, end_s=9.0)
        assert int(cells[number]) == int(length[0])
        assert torch.allclose(both[number, :, : int(length[0])], alone[0], atol=1e-4)
    assert torch.all(both[0, :, int(cells[0]) :] == 0.0)


def test_a_steady_picture_has_no_contrast() -> None:
    assert torch.all(contrast(torch.full((BANDS, 40), -30.0), CONTOUR_RATE_HZ).abs() < 1e-4)


def test_nothing_has_an_empty_contour() -> None:
    assert contour_bits(torch.zeros(BANDS, 0)).shape == (0, BANDS // 8)
