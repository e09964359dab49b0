from __future__ import annotations

import numpy as np
import pytest

from classifiers.ai.ground import LEAST_BAND_HZ, LEAST_S, fit_familiarity, no_ground
from classifiers.ai.listening import ANALYSED_S, BIN_HZ, BINS, LEAST_LOOK_S, SEGMENT_S, listen
from classifiers.ai.scorer import ENVELOPE
from classifiers.ai.scorer_training import fit_scorer
from classifiers.audio import Audio


def noise(duration_s: float, *, rate_hz: int = 44_100, channels: int = 2, level: float = 0.1) -> Audio:
    random = np.random.default_rng(0)
    samples = level * random.standard_normal((channels, round(duration_s * rate_hz)))
    return Audio(samples.astype(np.float32), rate_hz)


def tone(frequency_hz: float, *, rate_hz: int) -> Audio:
    time_s = np.arange(6 * rate_hz) / rate_hz
    return Audio((0.5 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)[None], rate_hz)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_a_tone_stands_in_the_same_bin_at_every_rate(rate_hz: int) -> None:
    listening = listen(tone(3000.0, rate_hz=rate_hz))
    assert listening.mid_db.shape[2] == BINS
    assert abs(int(listening.mid_db.mean(axis=(0, 1)).argmax()) - round(3000 / BIN_HZ)) <= 1


@pytest.mark.parametrize(("duration_s", "looks"), [(0.3, 1), (5.0, 1), (9.9, 1), (10.0, 2), (180.0, 36)])
def test_segments_cover_the_recording_without_gaps(duration_s: float, looks: int) -> None:
    listening = listen(noise(duration_s, rate_hz=16_000))
    assert listening.looks == looks
    assert listening.edges_s[0][0] == 0.0
    assert listening.edges_s[-1][1] == pytest.approx(duration_s)
    assert all(a[1] == b[0] for a, b in zip(listening.edges_s, listening.edges_s[1:], strict=False))


def test_work_is_bounded() -> None:
    for duration_s in (20.0, 60.0, 180.0):
        listening = listen(noise(duration_s, rate_hz=16_000))
        look_s = listening.samples.shape[2] / 16_000
        assert LEAST_LOOK_S - 0.01 <= look_s <= SEGMENT_S + 0.01
        assert look_s * listening.looks <= ANALYSED_S + 1


def test_a_look_lies_inside_its_segment() -> None:
    samples = np.zeros((1, 40 * 8000), dtype=np.float32)
    samples[0, 10 * 8000 : 15 * 8000] = 0.5  # third segment
    loud = listen(Audio(samples, 8000), look_s=2.0).loudness_db
    assert loud.argmax() == 2
    assert np.sum(loud > -20) == 1


def limited_noise(highest_hz: float) -> Audio:
    audio = noise(6.0, rate_hz=44_100)
    spectrum = np.fft.rfft(audio.samples)
    spectrum[:, round(highest_hz * 6.0) :] = 0
    return Audio(np.fft.irfft(spectrum, n=audio.samples.shape[1]).astype(np.float32), 44_100)


def test_the_band_limit_is_found() -> None:
    limited = limited_noise(9000.0)
    assert listen(limited).band_limit_hz == pytest.approx(9000, abs=300)  # the window spreads a little


def test_one_channel_is_mono_and_two_equal_ones_too() -> None:
    one = noise(6.0, channels=1)
    assert listen(one).mono
    assert listen(Audio(np.repeat(one.samples, 2, axis=0), 44_100)).mono
    assert not listen(noise(6.0)).mono


class TestGround:
    def test_too_short(self) -> None:
        audio = noise(LEAST_S - 0.1)
        assert "too short" in str(no_ground(listen(audio), duration_s=audio.duration_s))

    def test_too_quiet(self) -> None:
        audio = noise(10.0, level=1e-4)
        assert "too quiet" in str(no_ground(listen(audio), duration_s=10.0))

    def test_telephone(self) -> None:
        audio = noise(10.0, rate_hz=8000)
        reason = no_ground(listen(audio), duration_s=10.0)
        assert reason is not None
        assert "band-limited" in reason
        assert LEAST_BAND_HZ > 4000

    @pytest.mark.parametrize(("highest_hz", "heard"), [(3_400.0, False), (4_700.0, False), (5_500.0, True)])
    def test_soft_music_without_highs_has_ground_and_a_telephone_none(
        self, highest_hz: float, *, heard: bool
    ) -> None:
        reason = no_ground(listen(limited_noise(highest_hz)), duration_s=6.0)
        assert (reason is None) == heard

    def test_full_band_noise_has_ground(self) -> None:
        assert no_ground(listen(noise(6.0)), duration_s=6.0) is None

    def test_what_lies_far_out_is_strange(self) -> None:
        random = np.random.default_rng(1)
        known = random.standard_normal((500, 6)).astype(np.float32) @ random.standard_normal((6, 6))
        familiarity = fit_familiarity(known.astype(np.float32), weights=np.ones(500))
        assert (familiarity.distance(known) <= familiarity.limit).mean() >= 0.99
        assert familiarity.distance(10 * known[:5]).min() > familiarity.limit * 0.9


class TestScorer:
    def test_it_learns_what_is_there_and_stays_within_its_envelope(self) -> None:
        random = np.random.default_rng(2)
        made = np.arange(300) % 2 == 1
        features = random.standard_normal((300, 5)).astype(np.float32)
        features[made, 2] += 2.5
        scorer = fit_scorer(features, machine_made=made, weights=np.ones(300, dtype=np.float32))
        odds = scorer(features)
        assert np.mean((odds > 0) == made) > 0.85
        wild = scorer(np.full((1, 5), 1e9, dtype=np.float32))
        assert np.isfinite(wild).all()
        assert np.abs(wild).max() <= ENVELOPE

    def test_chance_is_not_learnt(self) -> None:
        random = np.random.default_rng(3)
        features = random.standard_normal((400, 5)).astype(np.float32)
        made = random.random(400) < 0.5
        weights = np.ones(200, dtype=np.float32)
        scorer = fit_scorer(features[:200], machine_made=made[:200], weights=weights)
        assert abs(np.mean((scorer(features[200:]) > 0) == made[200:]) - 0.5) < 0.12
