"""A lattice in short spectra: found behind a phase vocoder and in a few seconds, told from pitches."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.signal import lfilter

from bench.effects import warp
from classifiers.ai.blurred_lattice import (
    BETWEEN,
    NONE,
    Blurred,
    between,
    common_hz,
    evenness,
    find,
    one_of_a_beat,
    prominence,
)
from classifiers.ai.degrade import CODECS, through_codec
from classifiers.ai.listening import Float, listen
from classifiers.ai.sign_drawing import draw_signs
from classifiers.ai.sign_stride import (
    DECADES_A_DEVIATION,
    LEAST_HEIGHT,
    MOST_BLURRED,
    Found,
    Signal,
    Stride,
)
from classifiers.ai.stride_band import to_band
from classifiers.ai.stride_training import LEAST_DECADES
from classifiers.audio import Audio

RATE_HZ = 44_100
SECONDS = 30
SEMITONES = 2.0
RATIO = 2 ** (SEMITONES / 12)


@cache
def music(*, seed: int = 0) -> Float:
    """Noise in bursts, loud at the bottom, over tones that glide: nothing in it keeps one rate."""
    random = np.random.default_rng(seed)
    noise = lfilter([0.6], [1.0, -0.9], random.standard_normal(SECONDS * RATE_HZ))
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    changes_s = np.arange(0, SECONDS + 1, 0.13)
    level = 0.2 + np.abs(np.interp(time_s, changes_s, random.standard_normal(changes_s.size)))
    glide = sum(
        np.sin(2 * np.pi * np.cumsum(hz * (1 + 0.01 * np.sin(2 * np.pi * 5.3 * time_s + hz))) / RATE_HZ)
        for hz in (233.0, 517.0, 1_290.0, 3_110.0)
    )
    return np.asarray(0.05 * level * (noise + glide), dtype=np.float32)


@cache
def decoded() -> Float:
    """With the bias of a decoder of 512 samples a stride, 86.13 Hz."""
    bias = 0.006 * np.random.default_rng(1).standard_normal(512)
    return np.asarray(music() + np.resize(bias, SECONDS * RATE_HZ), dtype=np.float32)


@cache
def shifted(*, machine: bool) -> Float:
    samples = decoded() if machine else music()
    return np.asarray(warp.transpose(samples[None], rate_hz=RATE_HZ, semitones=SEMITONES)[0])


def heard(samples: Float, *, rate_hz: int = RATE_HZ) -> Blurred:
    signal = Signal(samples, rate_hz=rate_hz)
    return find(signal.spots)


def stride_of(samples: Float, *, rate_hz: int = RATE_HZ) -> Found:
    return Stride().find(listen(Audio(samples[None], rate_hz)))


def multiple_of(spacing_hz: float, base_hz: float) -> float:
    """Off the nearest of `base_hz`, its first multiples and its simple parts, relative."""
    parts = np.array([base_hz * times for times in (1 / 3, 1 / 2, 1, 2, 3)])
    return float(np.abs(spacing_hz / parts - 1).min())


def test_it_is_found_behind_a_shift_of_pitch() -> None:
    said = stride_of(shifted(machine=True))
    assert said.strength == 0
    assert said.blurs
    assert said.blurred.height > LEAST_HEIGHT + 2
    assert multiple_of(said.blurred.spacing_hz, RATE_HZ / 512 * RATIO) < 1e-3


@pytest.mark.parametrize("codec", ["mp3-128k", "opus-48k"])
def test_also_through_a_codec(codec: str) -> None:
    samples, rate_hz = through_codec(shifted(machine=True)[None], rate_hz=RATE_HZ, codec=CODECS[codec])
    said = heard(samples[0], rate_hz=rate_hz)
    assert said.height > LEAST_HEIGHT
    assert multiple_of(said.spacing_hz, RATE_HZ / 512 * RATIO) < 1e-3


@pytest.mark.parametrize("seconds", [5, 10])
def test_a_few_seconds_show_what_they_do_not_show_exactly(seconds: int) -> None:
    """A bias so soft that none of its tones stands out by itself."""
    soft = np.asarray(music() + 0.4 * (decoded() - music()), dtype=np.float32)[: seconds * RATE_HZ]
    said = stride_of(soft)
    assert said.strength == 0
    assert said.blurs
    assert multiple_of(said.blurred.spacing_hz, RATE_HZ / 512) < 1e-3
    assert not stride_of(music()[: seconds * RATE_HZ]).blurs


@pytest.mark.parametrize("codec", [None, "mp3-64k", "mp3-128k", "opus-48k", "aac-128k"])
def test_music_has_none(codec: str | None) -> None:
    """Nor has it a codec's grid, nor a vocoder's behind which it was shifted."""
    for samples in (music()[None], shifted(machine=False)[None]):
        heard_as, rate_hz = samples, RATE_HZ
        if codec is not None:
            heard_as, rate_hz = through_codec(samples, rate_hz=RATE_HZ, codec=CODECS[codec])
        assert heard(heard_as[0], rate_hz=rate_hz).height < LEAST_HEIGHT


@pytest.mark.parametrize("pitch_hz", [87.3, 110.0, 196.0])
def test_a_pitch_stands_out_at_the_bottom(pitch_hz: float) -> None:
    """A saw held all through, a shade of vibrato over it: as blurred as a decoder's, and loud low down."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    turns = np.cumsum(pitch_hz * (1 + 2e-4 * np.sin(2 * np.pi * 4.7 * time_s))) / RATE_HZ
    saw = sum(np.sin(2 * np.pi * number * turns) / number for number in range(1, int(14_000 / pitch_hz)))
    samples = np.asarray(music() + 0.05 * saw, dtype=np.float32)
    assert stride_of(samples).decades == 0
    assert multiple_of(heard(samples).spacing_hz, pitch_hz) > 1e-3 or heard(samples).height < LEAST_HEIGHT


@pytest.mark.parametrize(
    ("every", "least", "most"), [(1, 0.9, 1.1), (2, -0.1, 0.1), (4, -0.1, 0.1), (9, -0.1, 0.1)]
)
def test_multiples_stand_out_alike_or_not(every: int, least: float, most: float) -> None:
    """Of 100 Hz all, every second, every fourth, every ninth: bins of 1 Hz."""
    over = np.zeros(16_000, dtype=np.float32)
    over[:: 100 * every] = 3.0
    assert least < evenness(over, 1.0, 100.0) < most


@pytest.mark.parametrize("beats_hz", [9.0, 13.5, 20.9])
@pytest.mark.parametrize("seconds", [10, SECONDS])
def test_what_is_sequenced_to_the_sample_is_a_beats(beats_hz: float, seconds: int) -> None:
    """The same click again and again: all multiples of the beat stand out, so those of 40 to 340 Hz do."""
    click = 0.02 * np.random.default_rng(6).standard_normal(200) * np.linspace(1, 0, 200)
    sequenced = music()[: seconds * RATE_HZ].copy()
    for at in np.arange(0, sequenced.size - click.size, RATE_HZ / beats_hz).astype(int):
        sequenced[at : at + click.size] += click.astype(np.float32)
    assert stride_of(sequenced).decades == 0


@pytest.mark.parametrize("rate_hz", [59.98, 99.97])
def test_hum_in_the_highs_is_none(rate_hz: float) -> None:
    """As soft as a decoder's bias, and at the same rate once exact: then it counts."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ

    def tones(of_hz: float) -> Float:
        phases = 6 * np.random.default_rng(7).random(400)
        multiples = range(int(2_000 / of_hz), int(14_000 / of_hz))
        lines = sum(np.sin(2 * np.pi * of_hz * number * time_s + phases[number]) for number in multiples)
        return np.asarray(music() + 1.2e-4 * lines, dtype=np.float32)

    assert heard(tones(round(rate_hz / 10) * 10)).height > LEAST_HEIGHT
    assert heard(tones(rate_hz)).height < LEAST_HEIGHT


@pytest.mark.parametrize(
    ("one_hz", "other_hz", "common"),
    [
        (50.0, 100.0, 50.0),
        (100.0, 50.0, 50.0),
        (50.0, 75.0, 25.0),
        (86.13, 43.065, 43.065),
        (83.7, 104.6, 0.0),  # four and five sixteenths of 20.9 a second
        (50.0, 66.7, 0.0),  # of 16.7
        (61.7, 100.3, 0.0),
    ],
)
def test_a_rate_that_two_lattices_share(one_hz: float, other_hz: float, common: float) -> None:
    assert common_hz(one_hz, other_hz) == pytest.approx(common)


def test_a_rival_is_high_and_no_relative() -> None:
    one = Blurred(83.7, 10.0)
    assert one_of_a_beat(one, [one, Blurred(104.6, 9.0)])
    assert not one_of_a_beat(one, [one, Blurred(104.6, 7.0)])
    assert not one_of_a_beat(one, [one, Blurred(167.4, 9.0), Blurred(41.85, 9.0)])


@pytest.mark.parametrize(
    ("beat_hz", "spacing_hz", "is_a_beats"), [(15.0, 60.0, True), (60.0, 60.0, False), (25.0, 50.0, False)]
)
def test_what_lies_between_tells_a_beat(beat_hz: float, spacing_hz: float, is_a_beats: bool) -> None:
    """25 Hz is a decoder's rate: what stands out at the odd multiples of it is no beat's."""
    over = np.zeros(16_000, dtype=np.float32)
    over[:: int(beat_hz)] = 3.0
    assert (between(over, 1.0, spacing_hz) > BETWEEN) == is_a_beats


def test_the_half_of_what_is_too_wide_is_none() -> None:
    """Tones 345 Hz apart, as a codec's bands may be: half of it would have every second multiple, 16 high."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    random = np.random.default_rng(5)
    tones = sum(np.sin(2 * np.pi * 345.0 * number * time_s + 6 * random.random()) for number in range(6, 42))
    assert heard(np.asarray(music() + 3e-4 * tones, dtype=np.float32)).height < LEAST_HEIGHT


@pytest.mark.parametrize("seconds", [5, 15, SECONDS])
def test_white_noise_has_none(seconds: int) -> None:
    noise = np.random.default_rng(2).standard_normal(seconds * RATE_HZ).astype(np.float32)
    assert heard(noise).height < LEAST_HEIGHT


@pytest.mark.parametrize("length", [1, 1_000, 20_000])
def test_too_little_to_average_says_nothing(length: int) -> None:
    samples = np.ones(length, dtype=np.float32)
    spots = to_band(samples, rate_hz=RATE_HZ)
    assert find(spots) == NONE


def test_a_rate_without_highs_says_nothing() -> None:
    samples = np.random.default_rng(3).standard_normal(SECONDS * 6_000).astype(np.float32)
    assert heard(samples, rate_hz=6_000) == NONE


def test_each_section_has_chance_for_its_measure() -> None:
    power, bin_hz = to_band(music(), rate_hz=RATE_HZ).short_power(32)
    over = prominence(power * np.float32(3.0), bin_hz=bin_hz)
    assert np.isfinite(over).all()
    assert over.mean() == pytest.approx(0.0, abs=0.02)
    assert over.std() == pytest.approx(1.0, abs=0.05)
    assert np.allclose(over, prominence(power, bin_hz=bin_hz), atol=1e-3)


@pytest.mark.parametrize(
    ("height", "strength", "decades"),
    [
        (LEAST_HEIGHT, 0.0, 0.0),
        (0.0, 0.0, 0.0),
        (LEAST_HEIGHT + 1, 0.0, DECADES_A_DEVIATION),
        (LEAST_HEIGHT + 50, 0.0, MOST_BLURRED),
        (LEAST_HEIGHT + 50, 4.0, 4.0),
    ],
)
def test_what_it_is_worth(height: float, strength: float, decades: float) -> None:
    lattice = stride_of(np.zeros(RATE_HZ, dtype=np.float32)).lattice
    said = Found(lattice, strength=strength, blurred=Blurred(100.0, height))
    assert said.decades == pytest.approx(decades)
    assert said.blurs == (decades > 0 and strength == 0)


def test_it_can_never_stand_alone() -> None:
    assert MOST_BLURRED < LEAST_DECADES


def test_the_sign_shows_it_in_words_and_as_a_picture() -> None:
    audio = Audio(shifted(machine=True)[None], RATE_HZ)
    listening = listen(audio)
    words = Stride().place(listening)
    assert f"{Stride().find(listening).blurred.spacing_hz:.2f} Hz stand out of short spectra" in words
    assert "accuse nobody" in words
    assert Stride().present(listening).all()
    picture = draw_signs(audio, ("stride",))["stride"]
    assert picture.png.startswith(b"\x89PNG")
    assert "short spectra" in picture.caption
