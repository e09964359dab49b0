"""The stride: a decoder's lattice is found, no codec, beat, tick or held pitch is taken for it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.ai.degrade import CODECS, resample, through_codec
from classifiers.ai.lattice import Lattice, explain
from classifiers.ai.listening import listen
from classifiers.ai.sign_checks import RATE_HZ, SignChecks
from classifiers.ai.sign_stride import (
    LEAST_TONE,
    LOOKS,
    LOWEST_TONE_HZ,
    MOST_FALL,
    MOST_PITCH,
    NARROW_TONE,
    Found,
    Signal,
    Stride,
    cents_from_a_note,
    confirmed,
    fall,
    in_blocks,
    pitch,
    search_in,
)
from classifiers.ai.stride_band import Band
from classifiers.audio import Audio

SECONDS = 20


class TestStride(SignChecks):
    sign = Stride()


def upsampled(
    *, stride: int, seconds: int = SECONDS, seed: int = 0, pattern: float = 0.07
) -> NDArray[np.float32]:
    """Noise whose samples are weighted by their place in the stride, as a transposed convolution does.

    pattern: of what it adds to each stride besides, its bias, over the noise; at all strides its tones stand
    out alike.
    """
    random = np.random.default_rng(seed)
    count = seconds * RATE_HZ // stride
    weights = 1 + 0.25 * random.standard_normal(stride)
    noise = random.standard_normal(count * stride) * np.tile(weights, count)
    bias = np.tile(pattern * np.sqrt(stride / 256) * random.standard_normal(stride), count)
    return (0.1 * (noise + bias)).astype(np.float32)[None]


def found(samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Found:
    return Stride().find(listen(Audio(samples, rate_hz)))


def band_of(samples: NDArray[np.float32]) -> Band:
    band = Band.of(samples[0], rate_hz=RATE_HZ)
    assert band is not None
    return band


def of_tones(samples: NDArray[np.float32]) -> Lattice:
    band = band_of(samples)
    tones = band.tones(least=LEAST_TONE, narrow=NARROW_TONE, from_hz=LOWEST_TONE_HZ)
    return explain(tones[:, 0], most=LOOKS[0], bin_hz=band.bin_hz)


def test_a_stride_is_found_with_its_rate() -> None:
    said = found(upsampled(stride=256))
    assert said.strength > 30
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)
    assert len(said.lattice.on_hz) > 0.9 * said.lattice.peaks


@pytest.mark.parametrize("speed", [0.93, 1.07])
def test_a_change_of_speed_moves_it_and_hides_nothing(speed: float) -> None:
    said = found(resample(upsampled(stride=256), rate_hz=RATE_HZ * speed, to_hz=RATE_HZ))
    assert said.strength > 30
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256 * speed, rel=1e-3)


@pytest.mark.parametrize("codec", ["mp3-128k", "opus-96k"])
def test_a_codec_hides_nothing(codec: str) -> None:
    samples, rate_hz = through_codec(upsampled(stride=256), rate_hz=RATE_HZ, codec=CODECS[codec])
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
    """Nor would it be with a decoder's tones over it: it swells, and far beyond chance, but it falls."""
    samples = ticking(ticks_hz=ticks_hz)
    stride = 2 * RATE_HZ // ticks_hz  # the noise opens with every second tick
    bias = np.resize(np.random.default_rng(12).standard_normal(stride), samples.size)
    with_tones = (samples + 0.005 * bias).astype(np.float32)
    assert of_tones(with_tones[None]).spacing_hz == pytest.approx(ticks_hz / 2, abs=0.001)
    band = band_of(with_tones[None])
    power = band.swelling(without_hz=ticks_hz / 2)
    at = band.multiples(ticks_hz / 2, least_hz=500.0, most_hz=14_000.0)
    assert power[at].mean() > 3
    assert fall(power, spacing_hz=ticks_hz / 2, bin_hz=band.bin_hz) > MOST_FALL
    assert not confirmed(band, ticks_hz / 2)
    assert search_in(Signal(with_tones, rate_hz=RATE_HZ)).strength == 0
    assert search_in(Signal(samples, rate_hz=RATE_HZ)).strength == 0


@pytest.mark.parametrize("stride", [256, 512, 1764])
def test_a_stride_does_not_fall(stride: int) -> None:
    """Among them those of 86 and 25 Hz, which a tracker could tick at."""
    samples = upsampled(stride=stride, seconds=56)[0]
    power = band_of(samples[None]).swelling(without_hz=RATE_HZ / stride)
    assert fall(power, spacing_hz=RATE_HZ / stride, bin_hz=RATE_HZ / samples.size) < MOST_FALL
    assert found(samples[None]).strength > 10


def test_a_narrow_band_has_no_later_multiples_to_fall_to() -> None:
    """A recording at 5.5 kHz: swelling ends at 1.6 kHz, and nothing is confirmed by what is not there."""
    rate_hz = 5_500
    random = np.random.default_rng(14)
    noise = random.standard_normal(SECONDS * rate_hz) * np.resize(
        1 + 0.3 * random.standard_normal(110), SECONDS * rate_hz
    )
    bias = np.resize(0.05 * random.standard_normal(110), noise.size)
    band = Band.of((0.1 * (noise + bias)).astype(np.float32), rate_hz=rate_hz)
    assert band is not None
    assert fall(band.swelling(without_hz=50.0), spacing_hz=50.0, bin_hz=band.bin_hz) == np.inf
    assert not confirmed(band, 50.0)


@pytest.mark.parametrize("stride", [256, 882])
def test_a_lattice_whose_sound_has_no_tones_is_a_codecs(stride: int) -> None:
    """At 882 samples the rate of Opus' frames, which swell and add nothing of their own."""
    alone, whole = upsampled(stride=stride, pattern=0.0), upsampled(stride=stride)
    assert confirmed(band_of(alone), RATE_HZ / stride)
    assert found(alone).strength == 0
    assert found(whole).strength > 30


@pytest.mark.parametrize("bit_rate", [24, 32, 48])
def test_opus_leaves_no_stride_in_quiet_notes(bit_rate: int) -> None:
    """Sparse, soft notes at a low rate: where Opus' frames show most."""
    codec = replace(CODECS["opus-48k"], name=f"opus-{bit_rate}k", bit_rate=1000 * bit_rate)
    samples, rate_hz = through_codec(0.02 * played(seconds=30), rate_hz=RATE_HZ, codec=codec)
    assert found(samples, rate_hz).strength == 0


def test_nothing_to_hear_has_no_tones() -> None:
    silence = np.zeros(RATE_HZ, dtype=np.float32)
    assert Band.of(silence, rate_hz=RATE_HZ) is None
    assert search_in(Signal(silence, rate_hz=RATE_HZ)).strength == 0


def test_each_look_is_asked_whether_the_tones_stand_there_too() -> None:
    """A stride in the first half only, of a piece that is noise all through."""
    samples = upsampled(stride=256, seconds=40)
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


def test_channels_in_opposition_leave_nothing_to_hear() -> None:
    """What a codec writes into the silence between them is 60 dB down and nobody's."""
    stride = upsampled(stride=256)
    loud = 0.1 * np.random.default_rng(13).standard_normal(stride.shape)
    opposed = np.concatenate((loud + 0.001 * stride, 0.001 * stride - loud)).astype(np.float32)
    assert found(stride).strength > 30
    assert found(opposed).strength == 0


def apart(*, bias: NDArray[np.float32], music: NDArray[np.float32]) -> NDArray[np.float32]:
    """Two channels: music in both alike, and what each of them has against the other."""
    return np.concatenate((music + bias, music - bias)).astype(np.float32)


def test_what_the_channels_share_hides_no_tones_of_their_difference() -> None:
    """Loud music in the middle, over a stride 25 dB under it that each channel has of its own."""
    bias = 0.02 * upsampled(stride=256, seconds=40)
    music = 0.1 * np.random.default_rng(14).standard_normal(bias.shape)
    listening = listen(Audio(apart(bias=bias, music=music), RATE_HZ))
    assert search_in(Signal(listening.stretch, rate_hz=RATE_HZ)).strength == 0
    said = Stride().find(listening)
    assert said.side
    assert said.strength > 30
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)
    assert Stride().present(listening).all()
    assert "strongest tones of the channels' difference" in Stride().place(listening)


def test_what_is_sure_in_the_middle_is_not_sought_in_the_difference() -> None:
    stride = upsampled(stride=256)
    said = found(apart(bias=0.5 * upsampled(stride=128), music=stride))
    assert not said.side
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)


@pytest.mark.parametrize("codec", ["mp3-64k", "mp3-128k", "opus-48k", "aac-64k", "aac-128k", "vorbis-96k"])
@pytest.mark.parametrize("width", [0.03, 0.3])
def test_codecs_leave_no_stride_in_what_they_write_of_a_difference(codec: str, width: float) -> None:
    """Of a narrow one above all: joint stereo has few bits left for it."""
    random = np.random.default_rng(15)
    music = played()
    wide = apart(bias=0.1 * width * random.standard_normal(music.shape), music=0.1 * music / music.std())
    assert found(*through_codec(wide, rate_hz=RATE_HZ, codec=CODECS[codec])).strength == 0


@pytest.mark.parametrize("length", [1, 100, 3000])
def test_a_moment_is_too_short_to_have_tones(length: int) -> None:
    noise = np.random.default_rng(9).standard_normal(length).astype(np.float32)
    assert search_in(Signal(noise, rate_hz=RATE_HZ)).strength == 0


def test_what_is_played_over_hides_no_tones() -> None:
    """The tones of its bias are there all the time."""
    music = played()
    assert found(music).strength == 0
    stride = upsampled(stride=256, pattern=0.3)
    over = 0.25 * stride / stride.std() + music[:, : stride.shape[1]] / music.std()
    said = found(over)
    assert said.strength > 30
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)


def test_what_is_loud_now_and_then_hides_no_tones() -> None:
    """A loud tenth of every second, 30 dB over the rest: in one long spectrum it buries all of the bias."""
    samples = upsampled(stride=256, pattern=0.05)
    bursts = np.where(np.arange(samples.shape[1]) % RATE_HZ < RATE_HZ // 10, 30.0, 0.0)
    loud = 0.1 * bursts * np.random.default_rng(16).standard_normal(samples.shape)
    both = (0.1 * (samples + loud)).astype(np.float32)
    assert of_tones(both).strength == 0
    said = found(both)
    assert said.strength > 15
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)


def test_a_few_tones_that_stand_above_all_others_are_enough() -> None:
    """Eight of the strongest lie on the lattice, and sixty a little weaker, of the music, do not."""
    samples = upsampled(stride=256, pattern=0.0, seconds=60)
    random = np.random.default_rng(15)
    time_s = np.arange(samples.shape[1]) / RATE_HZ
    bias_hz = RATE_HZ / 256 * random.choice(np.arange(24, 80), 8, replace=False)
    music_hz = random.uniform(4_000, 14_000, 60)
    tones = sum(np.sin(2 * np.pi * hz * time_s) for hz in bias_hz)
    music = sum(np.sin(2 * np.pi * hz * time_s) for hz in music_hz)
    both = (samples + 0.003 * tones + 0.002 * music).astype(np.float32)
    assert of_tones(both).strength == 0
    said = found(both)
    assert said.strength > 10
    assert said.lattice.peaks == LOOKS[1]
    assert said.lattice.spacing_hz == pytest.approx(RATE_HZ / 256, abs=0.001)
    assert found((samples + 0.002 * tones + 0.003 * music).astype(np.float32)).strength == 0
    short = both[:, : 50 * RATE_HZ]  # a loop of a few notes has as few tones: these alone prove nothing then
    assert found(short).strength == 0


def one_pitch(*, pitch_hz: float, shape: str, gated: bool, seconds: int = SECONDS) -> NDArray[np.float32]:
    """A synthesiser that stays on one exact pitch all the time, over hiss: a drone, or eighth notes."""
    time_s = np.arange(seconds * RATE_HZ) / RATE_HZ
    numbers = range(1, int(18_000 / pitch_hz) + 1)
    loudness = (lambda number: 1 / number) if shape == "saw" else (lambda number: 0.2)
    wave = sum(loudness(number) * np.cos(2 * np.pi * number * pitch_hz * time_s) for number in numbers)
    if gated:
        wave = wave * np.exp(-(time_s % 0.24) / 0.1)
    hiss = 0.01 * np.random.default_rng(10).standard_normal(time_s.size)
    return (0.2 * wave / np.abs(wave).max() + hiss).astype(np.float32)[None]


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("shape", ["saw", "buzz"])
@pytest.mark.parametrize("pitch_hz", [55.0, 65.406, 98.0])
def test_a_pitch_that_is_held_all_the_time_is_no_stride(pitch_hz: float, shape: str, gated: bool) -> None:
    """Its partials are as exact as a decoder's tones, and reach as high. But they are loud at the bottom."""
    samples = one_pitch(pitch_hz=pitch_hz, shape=shape, gated=gated)
    lattice = of_tones(samples)
    assert lattice.strength > 30
    assert lattice.spacing_hz == pytest.approx(pitch_hz, abs=0.001)
    assert pitch(band_of(samples), pitch_hz) > MOST_PITCH
    assert found(samples).strength == 0


@pytest.mark.parametrize("note_hz", [51.9131, 97.9989, 110.0, 116.5409, 440.0])
def test_notes_are_known(note_hz: float) -> None:
    assert cents_from_a_note(note_hz) < 0.01


def test_a_note_of_half_a_minute_is_no_stride_whatever_else_speaks_for_it() -> None:
    """As quiet as a decoder's bias, with noise that swells at its rate, but the scale's: A, 110 Hz."""
    stride = round(RATE_HZ / 110.0)
    short, long = (upsampled(stride=stride, seconds=seconds) for seconds in (30, 56))
    assert of_tones(short).spacing_hz == pytest.approx(110.0, abs=0.05)
    assert pitch(band_of(short), RATE_HZ / stride) < MOST_PITCH
    assert found(short).strength == 0
    assert found(long).strength > 30


@pytest.mark.parametrize("rate_hz", [21.533, 25.0, 43.066, 46.875, 50.0, 75.0, 86.133, 93.75, 100.0, 200.0])
def test_the_rates_of_latents_are_no_notes(rate_hz: float) -> None:
    assert cents_from_a_note(rate_hz) > 20


@pytest.mark.parametrize("rate_hz", [46.875, 93.75, 187.5, 46.9])
def test_blocks_at_48_khz_are_known(rate_hz: float) -> None:
    assert in_blocks(rate_hz)


@pytest.mark.parametrize("rate_hz", [21.533, 25.0, 43.066, 47.0, 50.0, 75.0, 86.133, 100.0, 150.0, 200.0])
def test_the_rates_of_latents_are_no_blocks(rate_hz: float) -> None:
    assert not in_blocks(rate_hz)


@pytest.mark.parametrize("rate_hz", [49.99, 60.01])
def test_hum_with_all_of_its_multiples_is_no_stride(rate_hz: float) -> None:
    """The same sound, once a twentieth faster, where no grid is."""
    samples = upsampled(stride=882)
    hum = RATE_HZ * rate_hz / 50.0
    assert found(samples, round(1.05 * hum)).strength > 30
    assert found(samples, round(hum)).strength == 0


def test_what_works_in_blocks_of_1024_samples_at_48_khz_is_no_stride() -> None:
    """The same sound, once at a rate of its own."""
    samples = upsampled(stride=512)
    assert found(samples, 47_000).strength > 30
    assert found(samples, 48_000).strength == 0


def test_the_aliases_of_a_naive_square_wave_are_no_stride() -> None:
    """At 220 Hz and 44.1 kHz they lie at the multiples of 20 Hz, through MP3 as well; its volume steps."""
    random = np.random.default_rng(17)
    time_s = np.arange(60 * RATE_HZ) / RATE_HZ
    volume = random.random(60 * 75)[(75 * time_s).astype(int)]
    square = np.sign(np.sin(2 * np.pi * 220.0 * time_s)) * volume + 0.005 * random.standard_normal(
        time_s.size
    )
    samples = (0.3 * square).astype(np.float32)[None]
    assert found(samples).strength == 0
    assert found(*through_codec(samples, rate_hz=RATE_HZ, codec=CODECS["mp3-64k"])).strength == 0


def test_25_hz_may_be_notes_in_less_than_a_minute() -> None:
    assert found(upsampled(stride=1764, seconds=40)).strength == 0
    assert found(upsampled(stride=1764, seconds=56)).strength > 30


def test_tones_between_which_nothing_swells_are_no_stride() -> None:
    """As quiet as a bias and all through the band, but added to the sound and nothing done to it."""
    random = np.random.default_rng(11)
    noise = random.standard_normal(SECONDS * RATE_HZ)
    bias = np.resize(0.1 * random.standard_normal(512), noise.size)
    samples = (0.1 * (noise + bias)).astype(np.float32)[None]
    assert of_tones(samples).strength > 10
    assert pitch(band_of(samples), RATE_HZ / 512) < MOST_PITCH
    assert found(samples).strength == 0


def test_without_its_tones_a_pitch_does_not_swell() -> None:
    samples = one_pitch(pitch_hz=98.0, shape="buzz", gated=False)
    band = band_of(samples)
    at = band.multiples(98.0, least_hz=500.0, most_hz=14_000.0)
    plain, between = band.swelling(without_hz=20_000.0), band.swelling(without_hz=98.0)
    assert plain[at].mean() > 3
    assert between[at].mean() < 2


def test_multiples_stay_in_the_band() -> None:
    band = band_of(upsampled(stride=256))
    bins = band.multiples(100.0, least_hz=1000.0, most_hz=2000.0)
    assert bins.tolist() == [round(100 * number / band.bin_hz) for number in range(10, 21)]
    assert band.multiples(1e6).size == 0


def test_the_place_names_rate_peaks_and_chance() -> None:
    words = Stride().place(listen(Audio(upsampled(stride=256), RATE_HZ)))
    assert "multiples of 172.27 Hz" in words
    assert "0–20 s" in words
    assert "once in 10^" in words
    assert re.search(r"\d+% of all its multiples hold a tone", words)
