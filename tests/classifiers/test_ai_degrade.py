from __future__ import annotations

import numpy as np
import pytest

from classifiers.ai.degrade import (
    CODECS,
    PUBLISHED_IN,
    Chain,
    apply_chain,
    draw_chain,
    draw_history,
    republish,
    through_codec,
    transpose,
)
from classifiers.audio import Audio


def music(*, rate_hz: int = 44_100, channels: int = 2, duration_s: float = 2.0) -> Audio:
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    wave = 0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.1 * np.sin(2 * np.pi * 1234 * time_s)
    return Audio(np.stack([wave, 0.8 * wave])[:channels].astype(np.float32), rate_hz)


@pytest.mark.parametrize("name", sorted(CODECS))
def test_every_codec_gives_the_tone_back(name: str) -> None:
    audio = music()
    samples, rate_hz = through_codec(audio.samples, rate_hz=44_100, codec=CODECS[name])
    assert samples.shape[0] == 2
    assert abs(samples.shape[1] / rate_hz - 2.0) < 0.15
    spectrum = np.abs(np.fft.rfft(samples[0]))
    peak_hz = spectrum.argmax() * rate_hz / samples.shape[1]
    assert peak_hz == pytest.approx(440, abs=3)


def test_long_vorbis_is_encoded_in_blocks() -> None:
    audio = music(duration_s=40.0)
    samples, rate_hz = through_codec(audio.samples, rate_hz=44_100, codec=CODECS["vorbis-96k"])
    assert samples.shape[1] / rate_hz == pytest.approx(40.0, abs=0.1)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("semitones", [-2.0, 0.06, 2.0])
def test_transposing_moves_pitch_and_keeps_length_and_channels(channels: int, semitones: float) -> None:
    audio = music(channels=channels, duration_s=4.0)
    out = transpose(audio.samples, rate_hz=44_100, semitones=semitones)
    assert out.shape[0] == channels
    assert out.shape[1] / 44_100 == pytest.approx(4.0, abs=0.1)
    peak_hz = np.abs(np.fft.rfft(out[0])).argmax() * 44_100 / out.shape[1]
    assert peak_hz == pytest.approx(440 * 2 ** (semitones / 12), rel=0.01)


def test_chains_are_drawn_alike_and_cover_every_codec() -> None:
    random = np.random.default_rng(5)
    drawn = [draw_chain(random) for _ in range(600)]
    assert {chain.last_codec for chain in drawn} == {None, *CODECS}
    assert draw_chain(np.random.default_rng(9)) == draw_chain(np.random.default_rng(9))


def test_the_same_chain_gives_the_same_samples() -> None:
    chain = Chain(noise_db=30.0, tilt_db=3.0, drive_db=6.0, band_limit_hz=9000.0, seed=4)
    first, second = apply_chain(music(), chain), apply_chain(music(), chain)
    assert np.array_equal(first.samples, second.samples)


def test_whatever_is_drawn_stays_finite_and_unclipped() -> None:
    random = np.random.default_rng(6)
    for _ in range(6):
        out = apply_chain(music(duration_s=3.0), draw_chain(random))
        assert np.isfinite(out.samples).all()
        assert np.abs(out.samples).max() <= 1.0
        assert out.duration_s == pytest.approx(3.0, rel=0.2)


def test_each_class_is_given_the_others_codecs() -> None:
    random = np.random.default_rng(3)
    human = {draw_history(vorbis=True, random=random) for _ in range(200)}
    machine = {draw_history(vorbis=False, random=random) for _ in range(200)}
    assert all(name in PUBLISHED_IN["other"] for history in human for name in history)
    assert () in human
    assert () in machine
    assert any(history and history[-1] in PUBLISHED_IN["other"] for history in machine)
    assert {history[0] for history in machine if history} == set(PUBLISHED_IN["vorbis"])


def test_hurried_encoding_keeps_rate_and_length() -> None:
    audio = music()
    slow, quick = (republish(audio, "mp3-128k", hurried=hurried) for hurried in (False, True))
    assert quick.sample_rate_hz == slow.sample_rate_hz
    assert quick.samples.shape == slow.samples.shape
    assert not np.array_equal(quick.samples, slow.samples)
