"""What every sign must keep to; a new sign's test class inherits this and names the sign.

class TestComb(SignChecks):
    sign = Comb()
"""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np

from classifiers.ai.listening import listen
from classifiers.ai.signs import Features, Sign
from classifiers.ai.synthetic import RECIPES
from classifiers.audio import Audio

RATE_HZ: Final = 44_100
DURATION_S: Final = 11.0
LEVEL_TOLERANCE: Final = 0.02
"""Between full scale and 20 dB below it: only float32 rounding near the floor may differ."""


class SignChecks:
    """Inherit, and set `sign`. pytest collects the inherited tests under the new class's name."""

    sign: ClassVar[Sign]

    def test_names_are_stable_words(self) -> None:
        assert self.sign.name == self.sign.name.lower().strip()
        assert self.sign.describes
        assert len(set(self.sign.features)) == len(self.sign.features) > 0

    def test_one_finite_row_for_every_look(self) -> None:
        for name, audio in odd_inputs().items():
            features = self.sign.measure(listen(audio))
            assert features.dtype == np.float32, name
            assert features.shape == (2, len(self.sign.features)), name
            assert np.isfinite(features).all(), name

    def test_same_samples_give_the_same_numbers(self) -> None:
        audio = odd_inputs()["drone"]
        assert np.array_equal(self._of(audio), self._of(Audio(audio.samples.copy(), audio.sample_rate_hz)))

    def test_level_does_not_matter(self) -> None:
        audio = odd_inputs()["solo-synth"]
        quieter = Audio(audio.samples * np.float32(0.1), audio.sample_rate_hz)
        scale = np.abs(self._of(audio)) + 1.0
        assert np.all(np.abs(self._of(audio) - self._of(quieter)) <= LEVEL_TOLERANCE * scale)

    def test_polarity_does_not_matter(self) -> None:
        audio = odd_inputs()["drone"]
        turned = Audio(-audio.samples, audio.sample_rate_hz)
        assert np.allclose(self._of(audio), self._of(turned), atol=1e-3)

    def test_recordings_differ(self) -> None:
        inputs = odd_inputs()
        assert not np.allclose(self._of(inputs["chiptune"]), self._of(inputs["drone"]))

    def test_the_place_is_one_line(self) -> None:
        for audio in odd_inputs().values():
            assert "\n" not in self.sign.place(listen(audio))

    def _of(self, audio: Audio) -> Features:
        return self.sign.measure(listen(audio))


def odd_inputs() -> dict[str, Audio]:
    """By name: two segments each of what signs stumble over."""
    random = np.random.default_rng(7)
    count = round(DURATION_S * RATE_HZ)
    click = np.zeros((2, count), dtype=np.float32)
    click[:, count // 2] = 1.0
    inputs = {name: recipe(duration_s=DURATION_S, random=random) for name, recipe in RECIPES.items()}
    telephone = (0.1 * random.standard_normal((1, round(DURATION_S * 8000)))).astype(np.float32)
    return inputs | {
        "silence": Audio(np.zeros((2, count), dtype=np.float32), RATE_HZ),
        "click": Audio(click, RATE_HZ),
        "offset": Audio(np.full((2, count), 0.5, dtype=np.float32), RATE_HZ),
        "full-scale-square": Audio(
            np.sign(np.sin(np.arange(count) * 0.03))[None].astype(np.float32), RATE_HZ
        ),
        "out-of-phase": Audio(inputs["drone"].samples * np.array([[1], [-1]], dtype=np.float32), RATE_HZ),
        "telephone": Audio(telephone, 8000),
        "high-rate-surround": _high_rate(random),
    }


def _high_rate(random: np.random.Generator) -> Audio:
    count = round(DURATION_S * 96_000)
    return Audio((0.1 * random.standard_normal((6, count))).astype(np.float32), 96_000)
