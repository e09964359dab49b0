"""The transform of a minute against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from classifiers.ai import long_spectrum as module
from classifiers.ai.long_spectrum import long_signal, long_spectrum

MINUTES = [60 * rate_hz for rate_hz in (8_000, 11_025, 22_050, 44_100, 48_000)]


@pytest.mark.parametrize("length", [*MINUTES, 64 * 66, 4 * 97 * 101, 64 * 64, 2 * 97 * 101, 10_007, 7, 1])
def test_says_what_one_long_transform_says(length: int) -> None:
    samples = np.random.default_rng(length).standard_normal(length).astype(np.float32)
    exact = scipy.fft.rfft(samples.astype(np.float64))
    found = long_spectrum(samples)
    assert found.dtype == np.complex64
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("length", [60 * 29_000, 64 * 66, 2 * 97 * 101, 10_007, 7, 1])
@pytest.mark.parametrize("filled", [0.5, 0.73, 1.0])
def test_goes_back_as_one_long_transform_does(length: int, filled: float) -> None:
    random = np.random.default_rng(length)
    bins = max(int(filled * length), 1)
    spectrum = (random.standard_normal(bins) + 1j * random.standard_normal(bins)).astype(np.complex64)
    exact = scipy.fft.ifft(spectrum.astype(np.complex128), length)
    found = long_signal(spectrum, length)
    assert found.dtype == np.complex64
    assert found.shape == exact.shape
    assert np.abs(found - exact).max() <= 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("length", MINUTES)
def test_a_minute_at_every_usual_rate_makes_a_matrix(length: int) -> None:
    assert module._rows(length) >= module.LEAST_ROWS
    assert length % (2 * module._rows(length)) == 0


def test_a_faint_tone_beside_a_loud_one_is_not_lost() -> None:
    """Rounding of the loud one would fill the bins in which the signs look for lines 120 dB below it."""
    seconds = np.arange(60 * 44_100) / 44_100
    samples = np.sin(2 * np.pi * 440.0 * seconds) + 1e-6 * np.sin(2 * np.pi * 9_000.0 * seconds)
    spectrum = np.abs(long_spectrum(samples.astype(np.float32)))
    around = np.delete(spectrum[60 * 9_000 - 50 : 60 * 9_000 + 51], 50)
    assert spectrum[60 * 9_000] > 10 * around.max()
