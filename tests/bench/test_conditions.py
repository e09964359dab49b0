"""Every condition renders what it promises: length, determinism, truth."""

from __future__ import annotations

import numpy as np
import pytest

from bench.conditions import CONDITIONS, Condition, Scene, chosen
from bench.effects import Samples
from soundalike.errors import SettingsError

RATE_HZ = 44_100
QUERY_S = 4.0


def arpeggio(seconds: float, *, seed: int) -> Samples:
    """One note every quarter second, none like the one before."""
    random = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE_HZ))
    times = np.arange(RATE_HZ // 4) / RATE_HZ
    for start in range(0, out.size - times.size, times.size):
        pitch_hz = 220.0 * 2 ** (random.integers(0, 36) / 12)
        note = sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in (1, 2, 3)) * np.exp(-8 * times)
        out[start : start + times.size] = 0.3 * note
    return np.stack([out, 0.8 * out]).astype(np.float32)


def scene(condition: Condition, *, seed: int = 11) -> Scene:
    return Scene(
        excerpt=arpeggio(condition.excerpt_s(QUERY_S), seed=1),
        other=arpeggio(condition.other_s(QUERY_S), seed=2),
        rate_hz=RATE_HZ,
        seed=seed,
    )


@pytest.mark.parametrize("name", CONDITIONS)
def test_renders_to_the_promised_length_within_full_scale_and_the_same_again(name: str) -> None:
    condition = CONDITIONS[name]
    out = condition.render(scene(condition))
    promised_s = condition.other_s(QUERY_S) if condition.quoted_from_s else condition.sounding_s(QUERY_S)
    assert out.dtype == np.float32
    assert out.shape == (2, pytest.approx(promised_s * RATE_HZ, abs=2))
    assert np.isfinite(out).all()
    assert 0.02 < float(np.abs(out).max()) <= 1.0
    np.testing.assert_array_equal(out, condition.render(scene(condition)))


def test_chance_follows_the_seed() -> None:
    noisy = CONDITIONS["noise+reverb-10db"]
    assert not np.array_equal(noisy.render(scene(noisy)), noisy.render(scene(noisy, seed=12)))


@pytest.mark.parametrize(
    ("name", "shift_semitones", "tempo_ratio"),
    [
        ("clean", 0.0, 1.0),
        ("pitch+2", 2.0, 1.0),
        ("pitch-50ct", -0.5, 1.0),
        ("tempo-1.25", 0.0, 1.25),
        ("nightcore", 3.863, 1.25),
        ("slowed+reverb", -3.863, 0.8),
        ("cascade", 2.0, 1.0),
    ],
)
def test_states_the_truth(name: str, shift_semitones: float, tempo_ratio: float) -> None:
    condition = CONDITIONS[name]
    assert condition.shift_semitones == pytest.approx(shift_semitones, abs=0.001)
    assert condition.tempo_ratio == tempo_ratio


@pytest.mark.parametrize("name", ["tempo-0.8", "tempo-1.25", "nightcore", "slowed+reverb", "dj-quote-5s"])
def test_time_map_points_at_the_second_that_sounds(name: str) -> None:
    """One loud second in the reference; where it sounds in the query, the map leads back to it."""
    condition = CONDITIONS[name]
    quiet = scene(condition)
    excerpt = quiet.excerpt * np.float32(0.02)
    marked_s = 0.6 * condition.excerpt_s(QUERY_S)
    mark = slice(round(marked_s * RATE_HZ), round((marked_s + 0.4) * RATE_HZ))
    excerpt[:, mark] = quiet.excerpt[:, mark]
    other = quiet.other * np.float32(0.02)
    out = condition.render(Scene(excerpt=excerpt, other=other, rate_hz=RATE_HZ, seed=1))
    if condition.quoted_from_s:
        start, end = (round((condition.quoted_from_s + part) * RATE_HZ) for part in (0.6, 4.4))
    else:
        start, end = 0, out.shape[1]
    loudness = np.abs(out[0, start:end])
    onset_s = (start + int(np.argmax(loudness > 0.5 * loudness.max()))) / RATE_HZ
    assert condition.reference_s(onset_s, excerpt_start_s=30.0) == pytest.approx(30.0 + marked_s, abs=0.3)


NAMED = """
clean mp3-32k opus-24k aac-48k lowpass-3k highpass-500 extreme-eq noise+reverb-10db noise+reverb-0db
pitch+1 pitch+3 pitch-3 pitch+50ct pitch-50ct tempo-0.8 tempo-1.25 speed-0.94 speed-1.06 nightcore
slowed+reverb voice-over-0db clean-2s clean-5s noise+reverb-10db-2s pitch+1-5s dj-quote-5s polarity
side-emphasis chorus flanger reversed-parts clipping music-over-0db cascade
"""


def test_the_conditions_that_the_published_table_names_are_all_there() -> None:
    assert set(NAMED.split()) <= set(CONDITIONS)


def test_choosing() -> None:
    assert [condition.name for condition in chosen(["pitch+1", "clean"])] == ["pitch+1", "clean"]
    assert len(chosen([])) == len(CONDITIONS)
    with pytest.raises(SettingsError, match=r"no condition is called pitch\+9; there are: clean"):
        chosen(["clean", "pitch+9"])
