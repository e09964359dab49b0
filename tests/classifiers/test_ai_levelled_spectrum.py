"""A levelled spectrum: as fine as the whole is long, every moment as loud as the others."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.ai.levelled_spectrum import level

SECONDS = 10


def spectrum_of(samples: NDArray[np.float64], *, rate_hz: int) -> tuple[NDArray[np.float32], float]:
    spectrum, bin_hz = level(samples.astype(np.float32), rate_hz=rate_hz, top_hz=15_500.0).spectrum()
    return np.abs(spectrum), bin_hz


def noise(*, rate_hz: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal(SECONDS * rate_hz)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("tone_hz", [100.0, 1_000.0, 1_010.5, 1_021.0, 4_567.89, 10_000.3])
def test_a_tone_stands_where_it_is_heard(tone_hz: float, rate_hz: int) -> None:
    """Also between two rows of the spectrogram, and through noise as loud as itself a hundred times over."""
    time_s = np.arange(SECONDS * rate_hz) / rate_hz
    size, bin_hz = spectrum_of(
        noise(rate_hz=rate_hz) + 0.15 * np.sin(2 * np.pi * tone_hz * time_s), rate_hz=rate_hz
    )
    near = slice(round((tone_hz - 50) / bin_hz), round((tone_hz + 50) / bin_hz))
    assert (near.start + size[near].argmax()) * bin_hz == pytest.approx(tone_hz, abs=bin_hz)
    assert size[near].max() > 8 * np.median(size[near])


@pytest.mark.parametrize("rate_hz", [22_050, 44_100])
def test_it_is_as_fine_as_the_whole_is_long_and_reaches_as_high_as_asked(rate_hz: int) -> None:
    size, bin_hz = spectrum_of(noise(rate_hz=rate_hz), rate_hz=rate_hz)
    assert 0.95 / SECONDS < bin_hz <= 1 / SECONDS
    assert size.size * bin_hz >= min(15_500.0, 0.47 * rate_hz)


def test_a_tone_under_what_is_loud_now_and_then_stands_out() -> None:
    """Bursts 34 dB over the rest, a third of the time: of one long transform nothing is left but they."""
    rate_hz = 44_100
    time_s = np.arange(SECONDS * rate_hz) / rate_hz
    level = np.where(time_s % 1 < 1 / 3, 50.0, 1.0)
    both = level * noise(rate_hz=rate_hz) + 0.1 * np.sin(2 * np.pi * 3_000.0 * time_s)
    size, bin_hz = spectrum_of(both, rate_hz=rate_hz)
    plain = np.abs(np.fft.rfft(both))
    assert prominence(plain, bin_hz=1 / SECONDS, at_hz=3_000.0) < 4
    assert prominence(size, bin_hz=bin_hz, at_hz=3_000.0) > 8


def prominence(size: NDArray[np.floating], *, bin_hz: float, at_hz: float) -> float:
    """The highest of three bins over the median of those within 50 Hz."""
    at, around = round(at_hz / bin_hz), round(50 / bin_hz)
    return float(size[at - 1 : at + 2].max() / np.median(size[at - around : at + around]))


def test_the_spectrum_keeps_its_shape() -> None:
    """Soft highs stay soft, so that nobody takes a codec's emptiness for sound."""
    rate_hz = 44_100
    spectrum = np.fft.rfft(noise(rate_hz=rate_hz))
    hz = np.fft.rfftfreq(SECONDS * rate_hz, 1 / rate_hz)
    dark = np.fft.irfft(np.where(hz > 8_000, 0.01, 1.0) * spectrum)
    size, bin_hz = spectrum_of(dark, rate_hz=rate_hz)
    low, high = (
        np.median(size[round(least / bin_hz) : round(most / bin_hz)])
        for least, most in ((4_000, 6_000), (10_000, 12_000))
    )
    assert low / high == pytest.approx(100, rel=0.2)


@pytest.mark.parametrize("length", [1, 100, 3_000, 44_100])
def test_silence_and_moments_are_finite(length: int) -> None:
    for samples in (np.zeros(length), np.ones(length), noise(rate_hz=44_100)[:length]):
        size, bin_hz = spectrum_of(samples, rate_hz=44_100)
        assert np.isfinite(size).all()
        assert bin_hz > 0


def test_digital_silence_stays_silent() -> None:
    rate_hz = 44_100
    half = noise(rate_hz=rate_hz)
    half[half.size // 2 :] *= 1e-6
    size, _ = spectrum_of(half, rate_hz=rate_hz)
    whole, _ = spectrum_of(
        np.concatenate((half[: half.size // 2], np.zeros(half.size // 2))), rate_hz=rate_hz
    )
    assert np.median(size) == pytest.approx(np.median(whole), rel=0.01)
