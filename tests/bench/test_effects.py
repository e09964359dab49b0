"""The effects do what their names say, by as much as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.effects import codecs, mixes, rooms, speech, tone, warp

RATE_HZ = 44_100


def chord(
    seconds: float, *, frequencies_hz: tuple[float, ...] = (220.0, 330.0, 523.0)
) -> NDArray[np.float32]:
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = [np.sin(2 * np.pi * frequency * times) for frequency in frequencies_hz]
    return np.stack([np.mean(tones, axis=0)] * 2).astype(np.float32) * np.float32(0.8)


def music(seconds: float = 6.0) -> NDArray[np.float32]:
    """Notes with attacks and overtones, different left and right: [2, samples]."""
    random = np.random.default_rng(3)
    out = np.zeros((2, round(seconds * RATE_HZ)), dtype=np.float64)
    times = np.arange(round(0.5 * RATE_HZ)) / RATE_HZ
    for onset in np.arange(0.0, seconds - 0.5, 0.21):
        pitch_hz = 110.0 * 2 ** (random.integers(0, 30) / 12)
        note = sum(np.sin(2 * np.pi * pitch_hz * k * times) / k for k in range(1, 6)) * np.exp(-6 * times)
        at = round(onset * RATE_HZ)
        out[:, at : at + times.size] += np.outer(random.uniform(0.05, 0.25, 2), note)
    return out.astype(np.float32)


def strongest_hz(samples: NDArray[np.float32], *, near_hz: float) -> float:
    middle = samples[0, samples.shape[1] // 4 : -samples.shape[1] // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size), n=1 << 19))
    frequencies = np.fft.rfftfreq(1 << 19, 1 / RATE_HZ)
    around = (frequencies > near_hz * 0.97) & (frequencies < near_hz * 1.03)
    return float(frequencies[around][spectrum[around].argmax()])


def purity(samples: NDArray[np.float32], frequencies_hz: list[float]) -> float:
    """Energy within 8 Hz of the frequencies, as a share of all."""
    middle = samples[0, samples.shape[1] // 4 : -samples.shape[1] // 4]
    power = np.abs(np.fft.rfft(middle * np.hanning(middle.size))) ** 2
    frequencies = np.fft.rfftfreq(middle.size, 1 / RATE_HZ)
    near = np.min([np.abs(frequencies - wanted) for wanted in frequencies_hz], axis=0) < 8.0
    return float(power[near].sum() / power.sum())


@pytest.mark.parametrize("semitones", [-3.0, -0.5, 1.0, 2.0])
def test_transposing_moves_every_partial_by_the_ratio_and_adds_nothing(semitones: float) -> None:
    original = chord(4.0)
    moved = warp.transpose(original, rate_hz=RATE_HZ, semitones=semitones)
    assert moved.shape == original.shape
    wanted = [frequency * 2 ** (semitones / 12) for frequency in (220.0, 330.0, 523.0)]
    for frequency in wanted:
        assert strongest_hz(moved, near_hz=frequency) == pytest.approx(frequency, rel=0.001)
    assert purity(moved, wanted) > 0.99


@pytest.mark.parametrize("ratio", [0.8, 0.9, 1.15, 1.25])
def test_stretching_keeps_the_pitch_and_moves_the_attacks(ratio: float) -> None:
    steady = warp.stretch(chord(4.0), rate_hz=RATE_HZ, tempo_ratio=ratio)
    assert steady.shape[1] == round(4.0 * RATE_HZ / ratio)
    assert strongest_hz(steady, near_hz=330.0) == pytest.approx(330.0, rel=0.001)
    assert purity(steady, [220.0, 330.0, 523.0]) > 0.99

    clicks = np.zeros((2, 6 * RATE_HZ), dtype=np.float32)
    burst = np.hanning(400).astype(np.float32)
    for second in (1, 2, 3, 4):
        clicks[:, second * RATE_HZ : second * RATE_HZ + 400] = burst
    stretched = warp.stretch(clicks, rate_hz=RATE_HZ, tempo_ratio=ratio)
    for second in (1, 2, 3, 4):
        expected = round((second * RATE_HZ + 200) / ratio)
        around = np.abs(stretched[0, expected - 8000 : expected + 8000])
        centre = float((around**2 @ np.arange(-8000, 8000)) / (around**2).sum())
        assert abs(centre) / RATE_HZ < 0.015


def test_stretching_keeps_level_and_stereo_picture() -> None:
    left_only = music() * np.array([[1.0], [0.25]], dtype=np.float32)
    stretched = warp.stretch(left_only, rate_hz=RATE_HZ, tempo_ratio=1.15)
    assert tone.level(stretched) == pytest.approx(tone.level(left_only), rel=0.15)
    for channel in (0, 1):
        before, after = (
            tone.level(left_only[channel : channel + 1]),
            tone.level(stretched[channel : channel + 1]),
        )
        assert after == pytest.approx(before, rel=0.2)


def test_speed_changes_pitch_and_length_together() -> None:
    fast = warp.speed(chord(4.0), rate_hz=RATE_HZ, ratio=1.25)
    assert fast.shape[1] == round(4.0 * RATE_HZ / 1.25)
    assert strongest_hz(fast, near_hz=412.5) == pytest.approx(412.5, rel=0.001)


@pytest.mark.parametrize(
    "codec",
    [codecs.MP3_32K, codecs.MP3_64K, codecs.OPUS_24K, codecs.AAC_48K, codecs.VORBIS_LOW, codecs.OPUS_96K],
    ids=lambda codec: f"{codec.encoder}-{codec.bit_rate}",
)
def test_codecs_keep_length_and_alignment_and_are_lossy(codec: codecs.Codec) -> None:
    original = music()
    coded = codecs.through(original, rate_hz=RATE_HZ, codec=codec)
    assert coded.shape == original.shape
    length = 2 * original.shape[1]
    cross = np.fft.irfft(np.conj(np.fft.rfft(original[0], length)) * np.fft.rfft(coded[0], length))
    lag = int(cross.argmax())
    lag = lag - length if lag > length // 2 else lag
    assert abs(lag) / RATE_HZ < 0.001
    error = tone.level(coded - original) / tone.level(original)
    assert 0.001 < error < 0.7


def test_flac_round_trip_is_within_16_bits() -> None:
    original = warp.resample(music(2.0), rate_hz=RATE_HZ, to_hz=48_000)
    data = codecs.encode(original, rate_hz=48_000, codec=codecs.FLAC)
    assert data[:4] == b"fLaC"
    restored = codecs.decode(data, rate_hz=48_000)
    assert restored.shape == original.shape
    assert np.abs(restored - original).max() < 1.5 / 32768


@pytest.mark.parametrize("snr_db", [10.0, 0.0])
def test_noise_has_the_asked_level_and_is_pink(snr_db: float) -> None:
    original = music()
    noise = (
        rooms.add_pink_noise(original, rate_hz=RATE_HZ, snr_db=snr_db, random=np.random.default_rng(0))
        - original
    )
    assert 20 * np.log10(tone.level(original) / tone.level(noise)) == pytest.approx(snr_db, abs=0.1)
    power = np.abs(np.fft.rfft(noise[0])) ** 2
    frequencies = np.fft.rfftfreq(noise.shape[1], 1 / RATE_HZ)
    octaves = [power[(frequencies >= low) & (frequencies < 2 * low)].sum() for low in (125, 1000, 8000)]
    assert max(octaves) / min(octaves) < 1.3


def test_reverberation_decays_by_60_db_in_its_time() -> None:
    response = rooms.room_response(rate_hz=RATE_HZ, t60_s=0.8, random=np.random.default_rng(1))
    energy = np.cumsum((response[0, ::-1].astype(np.float64)) ** 2)[::-1]
    decay_db = 10 * np.log10(energy / energy[0])
    fifth, thirty_fifth = int(np.argmax(decay_db < -5)), int(np.argmax(decay_db < -35))
    assert 2 * (thirty_fifth - fifth) / RATE_HZ == pytest.approx(0.8, rel=0.3)


def test_filters_stop_what_they_should() -> None:
    both = chord(2.0, frequencies_hz=(200.0, 6000.0))
    low = tone.low_pass(both, rate_hz=RATE_HZ, cutoff_hz=3000.0)
    high = tone.high_pass(both, rate_hz=RATE_HZ, cutoff_hz=500.0)
    assert purity(low, [200.0]) > 0.9999
    assert purity(high, [6000.0]) > 0.9999


def test_polarity_cancels_the_middle_and_side_emphasis_keeps_the_side() -> None:
    middle = chord(1.0)
    assert tone.level(tone.invert_right(middle).mean(axis=0, keepdims=True)) < 1e-6
    stereo = music(2.0)
    side = stereo[:1] - stereo[1:]
    emphasised = tone.emphasise_side(stereo, mid_db=-12.0)
    np.testing.assert_allclose(emphasised[:1] - emphasised[1:], side, atol=1e-6)
    assert tone.level(emphasised.mean(axis=0, keepdims=True)) == pytest.approx(
        tone.level(stereo.mean(axis=0, keepdims=True)) * 10 ** (-12 / 20), rel=0.01
    )


def test_reversed_parts_are_reversed_and_the_rest_untouched() -> None:
    original = music(3.0)
    out = tone.reverse_parts(original, rate_hz=RATE_HZ, part_s=0.3, every_s=1.0)
    first = round(0.7 * RATE_HZ)
    np.testing.assert_array_equal(out[:, :first], original[:, :first])
    inner = slice(first + 500, RATE_HZ - 500)
    mirrored = original[:, first:RATE_HZ][:, ::-1][:, 500 : RATE_HZ - 500 - first]
    np.testing.assert_allclose(out[:, inner], mirrored, atol=1e-6)


def test_clipping_flattens_the_peaks_and_keeps_the_peak_level() -> None:
    original = music(2.0)
    out = tone.clip(original, drive_db=18.0)
    peak = float(np.abs(original).max())
    assert float(np.abs(out).max()) == pytest.approx(peak, rel=1e-5)
    assert (np.abs(out) > 0.999 * peak).mean() > 0.02


def test_a_quote_lies_where_it_should_and_the_bed_returns() -> None:
    quoted, bed = chord(3.0, frequencies_hz=(880.0,)), chord(20.0, frequencies_hz=(200.0,))
    out = mixes.quote(quoted, bed, rate_hz=RATE_HZ, before_s=4.0, after_s=2.0)
    assert out.shape[1] == 9 * RATE_HZ
    assert purity(out[:, 4 * RATE_HZ : 7 * RATE_HZ], [880.0]) > 0.95
    assert purity(out[:, : 4 * RATE_HZ], [200.0]) > 0.999
    assert purity(out[:, 7 * RATE_HZ :], [200.0]) > 0.999


@pytest.mark.parametrize("ratio_db", [6.0, 0.0])
def test_overlay_mixes_at_the_asked_ratio(ratio_db: float) -> None:
    one, other = music(), chord(6.0)
    under = mixes.overlay(one, other, ratio_db=ratio_db) - one
    assert 20 * np.log10(tone.level(one) / tone.level(under)) == pytest.approx(ratio_db, abs=0.1)


def test_babble_talks_and_pauses_in_the_band_of_speech() -> None:
    voice = speech.babble(20 * RATE_HZ, rate_hz=RATE_HZ, random=np.random.default_rng(5))
    frames = np.abs(voice[: 20 * RATE_HZ].reshape(-1, RATE_HZ // 50)).max(axis=1)
    pauses = float((frames < 1e-4).mean())
    assert 0.05 < pauses < 0.5
    power = np.abs(np.fft.rfft(voice)) ** 2
    frequencies = np.fft.rfftfreq(voice.size, 1 / RATE_HZ)
    assert power[(frequencies > 80) & (frequencies < 4000)].sum() / power.sum() > 0.85


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2])
def test_silence_and_snippets_stay_finite(seconds: float) -> None:
    silence = np.zeros((2, max(1, round(seconds * RATE_HZ))), dtype=np.float32)
    random = np.random.default_rng(0)
    for out in (
        warp.stretch(silence, rate_hz=RATE_HZ, tempo_ratio=1.25),
        tone.clip(silence, drive_db=18.0),
        rooms.add_pink_noise(silence, rate_hz=RATE_HZ, snr_db=0.0, random=random),
        tone.chorus(silence, rate_hz=RATE_HZ, random=random),
        speech.talk_over(silence, rate_hz=RATE_HZ, ratio_db=0.0, random=random),
    ):
        assert np.isfinite(out).all()
        assert not out.any()
