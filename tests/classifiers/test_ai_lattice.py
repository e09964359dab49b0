"""The lattice that explains peaks: beyond chance, not a beat's, and not a codec's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.ai.lattice import BEATS_HZ, FEW, MARGIN, Lattice, explain, hums

BIN_HZ = 1 / 60


def peaks(spacing_hz: float, *, count: int, others: int) -> NDArray[np.float64]:
    random = np.random.default_rng(4)
    on_hz = spacing_hz * random.choice(
        np.arange(3000 // spacing_hz, 14000 // spacing_hz), count, replace=False
    )
    return np.concatenate((on_hz, random.uniform(3000, 14000, others)))


def explained(at_hz: NDArray[np.float64]) -> Lattice:
    return explain(at_hz, most=60, bin_hz=BIN_HZ)


def test_strength_grows_with_the_peaks_on_it() -> None:
    few, many = (explained(peaks(200.0, count=count, others=4)) for count in (6, 12))
    assert 5 < few.strength < many.strength
    assert many.spacing_hz == pytest.approx(200.0)
    assert (len(many.on_hz), many.peaks) == (12, 16)


def test_only_the_strongest_peaks_are_asked() -> None:
    at_hz = np.concatenate((peaks(200.0, count=12, others=0), peaks(77.7, count=12, others=0)))
    assert explain(at_hz, most=12, bin_hz=BIN_HZ).peaks == 12
    assert explain(at_hz, most=12, bin_hz=BIN_HZ).spacing_hz == pytest.approx(200.0)


def test_the_spacing_is_the_mean_of_all_that_lie_on_it() -> None:
    """One peak is read half a bin wrong; its multiples at fifteen kilohertz would be missed."""
    at_hz = peaks(50.0, count=20, others=0)
    at_hz[0] += BIN_HZ / 2
    assert explained(at_hz).spacing_hz == pytest.approx(50.0, abs=1e-5)


def test_chance_makes_no_lattice() -> None:
    for seed in range(20):
        assert explained(np.random.default_rng(seed).uniform(3000, 14_000, 12)).strength < 5


def test_a_lattice_among_many_other_peaks_does_not_count() -> None:
    assert explained(peaks(200.0, count=8, others=40)).strength == 0


def test_of_twelve_peaks_half_is_chance_and_a_little_more_is_a_lattice() -> None:
    assert FEW == 12
    assert explained(peaks(200.0, count=6, others=6)).strength == 0
    assert explained(peaks(200.0, count=7, others=5)).strength > 10


@pytest.mark.parametrize("spacing_hz", [400.0, 689.0625, 750.0])
def test_the_lattice_of_a_codecs_filter_bank_does_not_count(spacing_hz: float) -> None:
    assert explained(peaks(spacing_hz, count=10, others=1)).strength == 0


def test_what_a_codecs_lattice_hid_comes_up() -> None:
    """The strongest are MP3's; among those left a decoder's lie."""
    codec_hz = 689.0625 * np.arange(5, 20)
    at_hz = np.concatenate((codec_hz, peaks(86.133, count=15, others=2)))
    assert explained(at_hz).spacing_hz == pytest.approx(86.133)


@pytest.mark.parametrize("spacing_hz", [25.0, 43.066, 50.0, 60.0, 86.133])
def test_lattices_of_decoders_count(spacing_hz: float) -> None:
    assert explained(peaks(spacing_hz, count=20, others=1)).strength > 10


def test_a_slow_lattice_is_a_beat() -> None:
    assert BEATS_HZ[1] > 9.07
    assert MARGIN > 1
    assert explained(peaks(9.07, count=30, others=2)).strength == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_peaks_are_no_lattice(count: int) -> None:
    assert explained(200.0 * np.arange(20, 20 + count)) == Lattice(0.0, 0.0, (), count)


@pytest.mark.parametrize("rate_hz", [59.9807, 60.02, 50.01, 49.95, 100.03, 119.97, 239.92, 299.91])
def test_the_hum_of_the_mains_is_known(rate_hz: float) -> None:
    assert hums(rate_hz, exact=1e-5)


@pytest.mark.parametrize(
    "rate_hz", [25.0, 43.066, 50.0, 49.9999, 50.0001, 100.0002, 75.0, 49.5, 51.0, 86.133, 110.0, 150.0, 200.0]
)
def test_the_rates_of_latents_do_not_hum(rate_hz: float) -> None:
    assert not hums(rate_hz, exact=1e-5)


def test_what_is_called_exact_depends_on_how_exactly_it_was_measured() -> None:
    assert hums(59.997, exact=1e-5)
    assert not hums(59.997, exact=2e-4)
