"""Every sign that ships has a picture, whatever the recording is."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from classifiers.ai import detector
from classifiers.ai.sign_checks import odd_inputs
from classifiers.ai.sign_drawing import draw_signs
from classifiers.audio import Audio


def shipped() -> list[str]:
    return [sign.name for sign in (*detector.SIGNS, detector.STRIDE, detector.REPEATS)]


def test_every_shipped_sign_is_drawn_with_words() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 44_100 * 4)).astype(np.float32)
    pictures = draw_signs(Audio(noise, 44_100), [*shipped(), "no such sign"])
    assert set(pictures) == set(shipped())
    for name, picture in pictures.items():
        image = Image.open(io.BytesIO(picture.png)).convert("L")
        assert image.size == (900, 420)
        assert np.asarray(image).std() > 5, f"the picture of {name} is empty"
        assert picture.caption.endswith(".")
    assert len({picture.png for picture in pictures.values()}) == len(pictures)


@pytest.mark.parametrize("name", sorted(odd_inputs()))
def test_odd_recordings_are_drawn_without_a_warning(name: str) -> None:
    assert set(draw_signs(odd_inputs()[name], shipped())) == set(shipped())
