"""Where a decoder's lattice is: found in a section of a song, wherever that lies, and nowhere else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from scipy.signal import lfilter

from classifiers.ai.blurred_lattice import MOMENTS
from classifiers.ai.levelled_spectrum import typical_power
from classifiers.ai.listening import SEGMENT_S, Float, Listening, listen
from classifiers.ai.stride_along import MOST_DECADES, Along, find, short_power, windows
from classifiers.audio import Audio

RATE_HZ = 44_100
SONG_S = 150
STRIDE = 512


@cache
def song(rate_hz: int = RATE_HZ) -> Float:
    """Noise in bursts, loud at the bottom: nothing in it keeps one rate."""
    random = np.random.default_rng(0)
    noise = lfilter([0.6], [1.0, -0.9], random.standard_normal(SONG_S * rate_hz))
    changes_s = np.arange(0, SONG_S + 1, 0.13)
    level = 0.2 + np.abs(
        np.interp(np.arange(noise.size) / rate_hz, changes_s, random.standard_normal(changes_s.size))
    )
    return np.asarray(0.05 * level * noise, dtype=np.float32)


def with_section(start_s: float, end_s: float, *, rate_hz: int = RATE_HZ) -> Float:
    """With the bias of a decoder from one second to another."""
    samples = song(rate_hz).copy()
    start, end = round(start_s * rate_hz), round(end_s * rate_hz)
    bias = 0.004 * np.random.default_rng(1).standard_normal(STRIDE)
    samples[start:end] += np.resize(bias, end - start).astype(np.float32)
    return samples


def heard(samples: Float, *, rate_hz: int = RATE_HZ, workers: int = 2) -> Along:
    with ThreadPoolExecutor(workers) as cores:
        return find(listen(Audio(samples[None], rate_hz)), cores=cores)


@pytest.mark.parametrize("start_s", [5.0, 62.0, 65.0, 125.0])
def test_a_section_of_twenty_seconds(start_s: float) -> None:
    along = heard(with_section(start_s, start_s + 20))
    starts_s = SEGMENT_S * np.arange(along.decades.size)
    inside = (starts_s >= start_s) & (starts_s + SEGMENT_S <= start_s + 20)
    far = (starts_s + SEGMENT_S <= start_s - 5) | (starts_s >= start_s + 25)
    assert (along.decades[inside] > 0).mean() > 0.7
    assert along.spacings_hz[along.decades > 0] == pytest.approx(RATE_HZ / STRIDE, rel=1e-3)
    assert not along.decades[far].any()
    assert not along.spacings_hz[along.decades == 0].any()


@pytest.mark.parametrize("rate_hz", [22_050, 32_000, 48_000])
def test_at_every_rate(rate_hz: int) -> None:
    along = heard(with_section(40, 80, rate_hz=rate_hz), rate_hz=rate_hz)
    assert (along.decades[9:15] > 0).sum() >= 4
    assert along.spacings_hz[9:15].max() == pytest.approx(rate_hz / STRIDE, rel=1e-3)


def test_music_has_none() -> None:
    assert not heard(song()).decades.any()


def test_a_note_is_no_decoder() -> None:
    """A buzz on an A that comes for twenty seconds, as loud high up as below."""
    start, end = 40 * RATE_HZ, 60 * RATE_HZ
    samples = song().copy()
    samples[start:end:401] += 0.2  # 109.98 Hz, a third of a cent from it
    assert not heard(samples).decades.any()


def test_it_counts_as_much_as_a_clip_at_most() -> None:
    along = heard(with_section(0, SONG_S))
    assert along.decades.max() == MOST_DECADES


def test_it_is_the_same_on_one_core() -> None:
    samples = with_section(60, 100)
    one, two = (heard(samples, workers=workers) for workers in (1, 2))
    assert np.array_equal(one.decades, two.decades)
    assert np.array_equal(one.spacings_hz, two.spacings_hz)


@pytest.mark.parametrize("rate_hz", [3_000, 8_000])
def test_a_rate_without_highs_says_nothing(rate_hz: int) -> None:
    samples = np.random.default_rng(0).standard_normal(30 * rate_hz).astype(np.float32)
    assert not heard(samples, rate_hz=rate_hz).decades.any()


def test_silence_says_nothing() -> None:
    assert not heard(np.zeros(60 * RATE_HZ, dtype=np.float32)).decades.any()


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("tone_hz", [500.0, 3_333.0, 9_999.0])
def test_a_tone_lies_at_its_frequency(rate_hz: int, tone_hz: float) -> None:
    samples = 0.1 * np.sin(2 * np.pi * tone_hz * np.arange(60 * rate_hz) / rate_hz)
    listening = listen(Audio(samples[None].astype(np.float32), rate_hz))
    power, bin_hz = short_power(listening, _typical(listening), first=3, end=5)
    assert len(power) == 2
    assert power.argmax(axis=1) * bin_hz == pytest.approx(tone_hz, abs=bin_hz)
    assert bin_hz == pytest.approx(40 / MOMENTS, rel=1e-3)


@pytest.mark.parametrize(("looks", "look_s"), [(36, 60 / 36), (12, 5.0), (4, 5.0), (1, 5.0), (200, 1.6)])
def test_windows_cover_all(looks: int, look_s: float) -> None:
    asked = windows(looks, look_s=look_s)
    assert {look for first, end in asked for look in range(first, end)} == set(range(looks))
    widths = {end - first for first, end in asked}
    assert len(widths) == 1
    assert widths.pop() == min(max(round(6.7 / look_s), 2), looks)


def _typical(listening: Listening) -> Float:
    return typical_power(listening.mid[:, ::8].reshape(-1, listening.mid.shape[2]))
