"""Integrated loudness against the recommendation's own cases and against pyloudnorm."""

import time
import warnings

import numpy as np
import pyloudnorm
import pytest
from numpy.typing import NDArray

from classifiers.audio import Audio
from pipeline.loudness import channel_weights, integrated_lufs, k_weighting


def sine(
    level_dbfs: float, *, duration_s: float = 20.0, rate_hz: int = 48_000, hz: float = 1000.0
) -> NDArray[np.float32]:
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def lufs(*channels: NDArray[np.float32], rate_hz: int = 48_000, layout: tuple[str, ...] = ()) -> float | None:
    return integrated_lufs(Audio(np.stack(channels), rate_hz), layout=layout)


def test_the_filters_are_those_of_the_recommendation_at_48_khz() -> None:
    """ITU-R BS.1770-4, tables 1 and 2."""
    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585]
    high_pass = [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621]
    np.testing.assert_allclose(k_weighting(48_000), [shelf, high_pass], atol=1e-8)


@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_ebu_tech_3341_cases_1_and_2(level: float) -> None:
    assert lufs(sine(level), sine(level)) == pytest.approx(level, abs=0.1)


def test_ebu_tech_3341_cases_3_and_4_the_relative_gate() -> None:
    def sequence(*parts: tuple[float, float]) -> NDArray[np.float32]:
        return np.concatenate([sine(level, duration_s=seconds) for level, seconds in parts])

    third = sequence((-36, 10), (-23, 60), (-36, 10))
    fourth = sequence((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10))
    for signal in (third, fourth):
        assert lufs(signal, signal) == pytest.approx(-23.0, abs=0.1)


def test_ebu_tech_3341_case_6_surround_weights() -> None:
    channels = [sine(level) for level in (-28, -28, -24, -120, -30, -30)]
    layout = ("FL", "FR", "FC", "LFE", "BL", "BR")
    assert lufs(*channels, layout=layout) == pytest.approx(-23.0, abs=0.1)


def test_the_low_frequency_channel_does_not_count() -> None:
    layout = ("FL", "FR", "FC", "LFE", "SL", "SR")
    quiet = [sine(-40)] * 6
    loud_low = [*quiet[:3], sine(-3, hz=80.0), *quiet[4:]]
    assert lufs(*quiet, layout=layout) == lufs(*loud_low, layout=layout)


def test_weights_by_place() -> None:
    seven_one = ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR")
    assert channel_weights(seven_one, 8) == (1, 1, 1, 0, 1, 1, 1.41, 1.41)
    assert channel_weights(("FC",), 1) == (1,)
    assert channel_weights((), 3) == (1, 1, 1)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_agrees_with_pyloudnorm(rate_hz: int) -> None:
    """Within 0.1 LU; below 32 kHz with its exact filters, its default ones being 0.1 to 0.2 LU off there."""
    rng = np.random.default_rng(1)
    noise = (0.1 * rng.standard_normal((2, rate_hz * 8))).astype(np.float32)
    noise[:, rate_hz * 3 : rate_hz * 5] *= 1e-3
    noise[:, rate_hz * 6 :] *= 0.2
    brown = (np.cumsum(noise, axis=1) * 0.01).astype(np.float32)
    for samples in (noise, brown):
        meter = pyloudnorm.Meter(rate_hz, "K-weighting" if rate_hz >= 32_000 else "DeMan")
        expected = meter.integrated_loudness(samples.T.astype(np.float64))
        assert integrated_lufs(Audio(samples, rate_hz)) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((2, 0)),
        np.zeros((2, 48_000)),
        0.5 * np.ones((1, 48_000 * 4 // 10 - 1)),
        np.full((1, 48_000), 1e-5),
    ],
)
def test_null_when_too_short_or_below_the_gate(samples: NDArray[np.float64]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert integrated_lufs(Audio(samples.astype(np.float32), 48_000)) is None


def test_exactly_one_block_is_enough() -> None:
    assert lufs(sine(-20.0, duration_s=0.4)) == pytest.approx(-23.0, abs=0.2)


def test_silence_after_sound_costs_no_more_than_sound() -> None:
    """The filters' memory would decay into denormal numbers, which take the processor many times longer."""
    sound = sine(-20.0, duration_s=60.0)
    half_silent = np.concatenate([sound[: 48_000 * 2], np.zeros(48_000 * 58, np.float32)])

    def best_of_three(signal: NDArray[np.float32]) -> float:
        times = []
        for _ in range(3):
            started = time.process_time()
            lufs(signal)
            times.append(time.process_time() - started)
        return min(times)

    assert best_of_three(half_silent) < 2.5 * best_of_three(sound)
