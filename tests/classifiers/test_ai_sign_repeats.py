"""Repeats: what a sampler plays again is found again, what is only alike is not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from classifiers.ai.degrade import CODECS, through_codec
from classifiers.ai.listening import listen
from classifiers.ai.sign_checks import RATE_HZ, SignChecks
from classifiers.ai.sign_repeats import AN_OCTAVE, RETURNED, Repeats, Repetition, counted, search, worth
from classifiers.audio import Audio

SECONDS = 30


class TestRepeats(SignChecks):
    sign = Repeats()


def drums(*, sampled: bool, seconds: int = SECONDS, seed: int = 0) -> NDArray[np.float32]:
    """A stroke every 0.4 s on a bed of noise 20 dB below: one of three, or each drawn anew."""
    random = np.random.default_rng(seed)
    length = RATE_HZ // 5
    fall = np.exp(-np.arange(length) / (0.03 * RATE_HZ))
    kit = random.standard_normal((3, length)) * fall
    samples = 0.02 * random.standard_normal(seconds * RATE_HZ)
    for number, start in enumerate(range(0, samples.size - length, int(0.4 * RATE_HZ))):
        stroke = kit[number % 3] if sampled else random.standard_normal(length) * fall
        samples[start + number % 7 : start + number % 7 + length] += 0.2 * stroke
    return samples.astype(np.float32)[None]


def found(samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Repetition:
    return Repeats().find(listen(Audio(samples, rate_hz)))


def test_sampled_strokes_come_back() -> None:
    repetition = found(drums(sampled=True))
    assert (repetition.likeness > RETURNED).all()
    assert repetition.value > 2.0
    apart = np.abs(repetition.at_s - repetition.again_s)
    assert np.abs(apart / 0.4 - np.round(apart / 0.4)).max() < 0.01


def test_strokes_that_are_only_alike_do_not() -> None:
    repetition = found(drums(sampled=False))
    assert not (repetition.likeness > RETURNED).any()
    assert repetition.value < 0.0


@pytest.mark.parametrize("codec", ["mp3-64k", "opus-48k", "aac-128k"])
def test_codecs_hide_little_of_it(codec: str) -> None:
    coded = [
        found(*through_codec(drums(sampled=sampled), rate_hz=RATE_HZ, codec=CODECS[codec]))
        for sampled in (True, False)
    ]
    assert coded[0].value > coded[1].value + 1.0


@pytest.mark.parametrize("seconds", [5, 10, 20])
def test_a_few_seconds_show_it_too(seconds: int) -> None:
    sampled, drawn = (found(drums(sampled=one, seconds=seconds)) for one in (True, False))
    assert sampled.value > 1.5 > 0.3 > drawn.value
    assert sampled.worth == worth(seconds)


def test_less_is_worth_less_and_never_more_than_all() -> None:
    assert worth(5.0) == pytest.approx(0.5)
    assert worth(4.5) < worth(10.0) < worth(20.0) == worth(60.0) == 1.0


def test_a_value_is_that_of_a_minute() -> None:
    """Four times the same bars hold nothing new: only what half as long would show less is made up for."""
    bar = drums(sampled=True, seconds=15)[0]
    short, long = (search(np.tile(bar, times), rate_hz=RATE_HZ) for times in (2, 4))
    assert short.value - long.value == pytest.approx(AN_OCTAVE, abs=0.35)
    inside = np.clip(long.likeness, 0.03, 0.985)
    assert long.value == pytest.approx(float(np.log(inside / (1 - inside)).mean()), abs=1e-4)


def test_what_repeats_least_is_not_held_against_anybody() -> None:
    assert counted(np.array([-3.0, -0.4, 1.0])).tolist() == [-0.4, -0.4, 1.0]
    assert np.isnan(counted(np.array([np.nan]))).all()


def test_it_says_where() -> None:
    listening = listen(Audio(drums(sampled=True), RATE_HZ))
    assert "strokes come back, the closest" in Repeats().place(listening)


@pytest.mark.parametrize(
    "samples",
    [
        drums(sampled=True, seconds=2),
        np.zeros((1, SECONDS * RATE_HZ), dtype=np.float32),
    ],
    ids=["too short", "silence"],
)
def test_without_strokes_nothing_is_known(samples: NDArray[np.float32]) -> None:
    listening = listen(Audio(samples, RATE_HZ))
    assert np.isnan(Repeats().find(listening).value)
    assert Repeats().place(listening) == ""
    assert not Repeats().measure(listening).any()
