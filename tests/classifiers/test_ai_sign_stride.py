"""The stride: lines at exact multiples of one rate are found, beats and held pitches are not taken for it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.ai.degrade import CODECS, resample, through_codec
from classifiers.ai.listening import listen
from classifiers.ai.sign_checks import RATE_HZ, SignChecks
from classifiers.ai.sign_stride import (
    BEATS_HZ,
    MARGIN,
    MOST_FALL,
    Lattice,
    Stride,
    explain,
    fall,
    lattice_of,
    lines_of,
    search,
    swelling,
)
from classifiers.audio import Audio

BIN_HZ = 1 / 60
SECONDS = 20


class TestStride(SignChecks):
    sign = Stride()


def upsampled(
    *, stride: int, seconds: int = SECONDS, seed: int = 0, pattern: float = 0.3
) -> NDArray[np.float32]:
    """Noise whose samples are weighted by their place in the stride, as a transposed convolution does.

    pattern: of what it adds to each stride besides, its bias, over the noise.
    """
    random = np.random.default_rng(seed)
    count = seconds * RATE_HZ // stride
    weights = 1 + 0.25 * random.standard_normal(stride)
    noise = random.standard_normal(count * stride) * np.tile(weights, count)
    bias = np.tile(pattern * random.standard_normal(stride), count)
    return (0.1 * (noise + bias)).astype(np.float32)[None]


def found(samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Lattice:
    return Stride().find(listen(Audio(samples, rate_hz)))


def test_a_stride_is_found_with_its_rate() -> None:
    lattice = found(upsampled(stride=256))
    assert lattice.strength > 30
    assert lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.01)
    assert len(lattice.on_hz) > 0.9 * lattice.lines


@pytest.mark.parametrize("speed", [0.93, 1.07])
def test_a_change_of_speed_moves_it_and_hides_nothing(speed: float) -> None:
    lattice = found(resample(upsampled(stride=256), rate_hz=RATE_HZ * speed, to_hz=RATE_HZ))
    assert lattice.strength > 30
    assert lattice.spacing_hz == pytest.approx(RATE_HZ / 256 * speed, rel=1e-3)


@pytest.mark.parametrize("codec", ["mp3-128k", "opus-96k"])
def test_a_codec_hides_nothing(codec: str) -> None:
    samples, rate_hz = through_codec(upsampled(stride=256, seconds=10), rate_hz=RATE_HZ, codec=CODECS[codec])
    assert found(samples, rate_hz).strength > 20


@pytest.mark.parametrize("codec", [None, "mp3-64k", "mp3-128k", "opus-48k", "aac-128k", "vorbis-96k"])
def test_codecs_leave_no_stride_of_their_own(codec: str | None) -> None:
    noise = (0.1 * np.random.default_rng(1).standard_normal((1, 10 * RATE_HZ))).astype(np.float32)
    if codec is None:
        assert found(noise).strength == 0
    else:
        assert found(*through_codec(noise, rate_hz=RATE_HZ, codec=CODECS[codec])).strength == 0


def test_a_held_chord_is_no_stride() -> None:
    """Sixty exact harmonics for twenty seconds beat with each other at multiples of their pitch."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    random = np.random.default_rng(2)
    tone = sum(np.sin(2 * np.pi * (116.54 * k * time_s + random.random())) / k for k in range(1, 61))
    noise = 0.02 * random.standard_normal(time_s.size)
    assert found((0.1 * tone + noise).astype(np.float32)[None]).strength == 0


def test_a_beat_that_is_exact_to_the_sample_is_no_stride() -> None:
    """The same drum four times a second: its lines at 24 and 28 Hz belong to those at 4 Hz."""
    random = np.random.default_rng(3)
    step = RATE_HZ // 4
    drum = random.standard_normal(step) * np.exp(-np.arange(step) / 400)
    music = np.tile(drum, 4 * SECONDS) + 0.05 * random.standard_normal(4 * SECONDS * step)
    assert found((0.1 * music).astype(np.float32)[None]).strength == 0


def lattice_lines(spacing_hz: float, *, count: int, others: int) -> NDArray[np.float64]:
    random = np.random.default_rng(4)
    on_hz = spacing_hz * random.choice(
        np.arange(3000 // spacing_hz, 14000 // spacing_hz), count, replace=False
    )
    at_hz = np.concatenate((on_hz, random.uniform(3000, 14000, others)))
    return np.stack((at_hz, np.full(at_hz.size, 50.0)), axis=1)


def test_strength_grows_with_the_lines_on_it() -> None:
    few, many = (explain(lattice_lines(200.0, count=count, others=4), bin_hz=BIN_HZ) for count in (6, 12))
    assert 5 < few.strength < many.strength
    assert many.spacing_hz == pytest.approx(200.0)
    assert (len(many.on_hz), many.lines) == (12, 16)


def test_chance_makes_no_lattice() -> None:
    for seed in range(20):
        at_hz = np.random.default_rng(seed).uniform(3000, 14_000, 12)
        assert explain(np.stack((at_hz, at_hz), axis=1), bin_hz=BIN_HZ).strength < 5


def test_a_lattice_among_many_other_lines_does_not_count() -> None:
    assert explain(lattice_lines(200.0, count=8, others=40), bin_hz=BIN_HZ).strength == 0


@pytest.mark.parametrize("spacing_hz", [400.0, 689.0625, 750.0])
def test_the_lattice_of_a_codecs_filter_bank_does_not_count(spacing_hz: float) -> None:
    assert explain(lattice_lines(spacing_hz, count=10, others=1), bin_hz=BIN_HZ).strength == 0


def ticking(*, ticks_hz: int, seconds: int = 60) -> NDArray[np.float32]:
    """As chips play: noise that opens and shuts with every tick, over an arpeggio of square waves."""
    count = seconds * RATE_HZ
    tick = np.arange(count) * ticks_hz // RATE_HZ
    noise = np.random.default_rng(6).standard_normal(count) * (0.5 + 0.5 * (tick % 2))
    pitch_hz = 220.0 * np.array([1.0, 1.26, 1.5])[tick % 3]
    square = np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ))
    return (0.1 * noise + 0.02 * square).astype(np.float32)


@pytest.mark.parametrize("ticks_hz", [150, 200, 300])
def test_what_a_tick_does_is_no_stride(ticks_hz: int) -> None:
    """Its lines make a lattice beyond all chance; what tells is that they fall."""
    samples = ticking(ticks_hz=ticks_hz)
    bin_hz = RATE_HZ / samples.size
    power = swelling(samples, rate_hz=RATE_HZ)
    lattice = explain(lines_of(power, bin_hz=bin_hz), bin_hz=bin_hz)
    assert lattice.strength > 10
    assert fall(power, spacing_hz=lattice.spacing_hz, bin_hz=bin_hz) > MOST_FALL
    assert search(samples, rate_hz=RATE_HZ)[0].strength == 0


@pytest.mark.parametrize("stride", [256, 512, 1764])
def test_a_stride_does_not_fall(stride: int) -> None:
    """Among them those of 86 and 25 Hz, which a tracker could tick at."""
    samples = upsampled(stride=stride)[0]
    power = swelling(samples, rate_hz=RATE_HZ)
    assert fall(power, spacing_hz=RATE_HZ / stride, bin_hz=RATE_HZ / samples.size) < MOST_FALL
    assert found(samples[None]).strength > 10


@pytest.mark.parametrize("stride", [256, 882])
def test_a_lattice_whose_sound_has_no_tones_is_a_codecs(stride: int) -> None:
    """At 882 samples the rate of Opus' frames, which swell and add nothing of their own."""
    alone, whole = upsampled(stride=stride, pattern=0.0), upsampled(stride=stride)
    bin_hz = RATE_HZ / alone.shape[1]
    lattice = lattice_of(swelling(alone[0], rate_hz=RATE_HZ), bin_hz=bin_hz)[0]
    assert lattice.strength > 30
    assert lattice.spacing_hz == pytest.approx(RATE_HZ / stride, abs=0.01)
    assert found(alone).strength == 0
    assert found(whole).strength > 30


def test_a_held_pitch_has_too_few_tones() -> None:
    """The first partials of a pitch that is held, where a decoder has its tones all through."""
    swells = upsampled(stride=256, pattern=0.0)[0]
    time_s = np.arange(swells.size) / RATE_HZ
    partials = [np.sin(2 * np.pi * RATE_HZ / 256 * number * time_s) / number for number in range(1, 17)]
    bin_hz = RATE_HZ / swells.size
    held = (swells + 0.01 * np.sum(partials, axis=0)).astype(np.float32)
    assert lattice_of(swelling(held, rate_hz=RATE_HZ), bin_hz=bin_hz)[0].strength > 30
    assert found(held[None]).strength == 0


@pytest.mark.parametrize("bit_rate", [24, 32, 48])
def test_opus_leaves_no_stride_in_quiet_notes(bit_rate: int) -> None:
    """Sparse, soft notes at a low rate: where Opus' frames show most."""
    codec = replace(CODECS["opus-48k"], name=f"opus-{bit_rate}k", bit_rate=1000 * bit_rate)
    samples, rate_hz = through_codec(0.02 * played(seconds=30), rate_hz=RATE_HZ, codec=codec)
    assert found(samples, rate_hz).strength == 0


@pytest.mark.parametrize("spacing_hz", [25.0, 43.066, 50.0, 60.0, 86.133])
def test_lattices_of_decoders_count(spacing_hz: float) -> None:
    assert explain(lattice_lines(spacing_hz, count=20, others=1), bin_hz=BIN_HZ).strength > 10


def test_a_slow_lattice_is_a_beat() -> None:
    assert BEATS_HZ[1] > 9.07
    assert MARGIN > 1
    assert explain(lattice_lines(9.07, count=30, others=2), bin_hz=BIN_HZ).strength == 0


def test_nothing_to_hear_has_no_lines() -> None:
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    assert swelling(silence, rate_hz=RATE_HZ).size == 0
    assert lines_of(np.ones(2000, dtype=np.float32), bin_hz=1.0).shape == (0, 2)


def test_each_look_is_asked_whether_the_lines_stand_there_too() -> None:
    """A stride in the first half only, of a piece that is noise all through."""
    samples = upsampled(stride=256)
    half = samples.shape[1] // 2
    samples[:, half:] = 0.1 * np.random.default_rng(5).standard_normal(samples.shape[1] - half)
    listening = listen(Audio(samples, RATE_HZ))
    assert Stride().find(listening).strength > 20
    there = Stride().present(listening).tolist()
    assert there[0] and not there[-1]
    assert there == sorted(there, reverse=True)  # once gone, they do not come back


def played(*, seconds: int = SECONDS) -> NDArray[np.float32]:
    """Notes that change ten times a second, sixty partials each, none on a grid."""
    random = np.random.default_rng(8)
    music = np.zeros(seconds * RATE_HZ)
    at = 0
    while at < music.size:
        length = min(int(RATE_HZ * random.uniform(0.06, 0.14)), music.size - at)
        time_s = np.arange(length) / RATE_HZ
        pitch_hz = 110.0 * 2 ** random.uniform(0, 2)
        partials = np.arange(1, min(int(14_000 / pitch_hz), 60))[:, None]
        waves = np.sin(2 * np.pi * (pitch_hz * partials * time_s + random.random(partials.shape)))
        music[at : at + length] += waves.sum(axis=0) * np.exp(-time_s * random.uniform(5, 30))
        at += length
    return music.astype(np.float32)[None]


def test_the_second_look_finds_what_is_played_over() -> None:
    music = played()
    assert found(music).strength == 0
    stride = upsampled(stride=256)
    over = 0.25 * stride / stride.std() + music[:, : stride.shape[1]] / music.std()
    plain = swelling(over[0], rate_hz=RATE_HZ)
    bin_hz = RATE_HZ / over.shape[1]
    assert explain(lines_of(plain, bin_hz=bin_hz), bin_hz=bin_hz).strength < 10
    lattice = found(over)
    assert lattice.evened
    assert lattice.strength > 30
    assert lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.01)


@pytest.mark.parametrize("length", [1, 100, 3000])
def test_a_moment_is_too_short_to_have_lines(length: int) -> None:
    noise = np.random.default_rng(9).standard_normal(length).astype(np.float32)
    assert search(noise, rate_hz=RATE_HZ)[0].strength == 0


def test_the_place_names_rate_lines_and_chance() -> None:
    words = Stride().place(listen(Audio(upsampled(stride=256), RATE_HZ)))
    assert "multiples of 172.27 Hz" in words
    assert "0–20 s" in words
    assert "once in 10^" in words
    assert re.search(r"At \d+% of the multiples the sound itself holds a tone", words)
