"""Parts and layers: what makes a recording mixed, and what is said of it."""

from __future__ import annotations

import numpy as np
import pytest

from classifiers.ai.listening import SEGMENT_S
from classifiers.ai.mixed import LAYERED, SOUNDS_LIKE_PEOPLE, Segment, layers, parts, runs


def along(*probabilities: float) -> tuple[Segment, ...]:
    return tuple(
        (at * SEGMENT_S, (at + 1) * SEGMENT_S, probability) for at, probability in enumerate(probabilities)
    )


@pytest.mark.parametrize(
    ("probabilities", "said"),
    [
        ((0.1, 0.1, 0.9, 0.9), "10–20 s"),
        ((0.9, 0.9, 0.1, 0.25, 0.8, 0.75), "0–10 s, 20–30 s"),
        ((0.1, 0.1, 0.9, 0.1, 0.1), None),  # one segment is no part
        ((0.9, 0.9, 0.9, 0.1, 0.9), None),
        ((0.9,) * 6, None),
        ((0.1,) * 6, None),
        ((0.5, 0.5, 0.9, 0.9), None),  # nothing in it sounds like people
        ((), None),
    ],
)
def test_parts_of_both_kinds(probabilities: tuple[float, ...], said: str | None) -> None:
    text = parts(along(*probabilities), np.zeros(len(probabilities), dtype=np.float32))
    assert text == (said and f"{said} sound machine-made; other parts human")


def test_the_lattice_of_the_parts_is_named() -> None:
    """By what most of their segments have; what others have is not theirs."""
    spacings_hz = np.array([46.6, 46.6, 0.0, 100.0, 100.0, 99.9], dtype=np.float32)
    text = parts(along(0.1, 0.1, 0.9, 0.9, 0.9, 0.9), spacings_hz)
    assert text is not None
    assert "at multiples of 100.00 Hz" in text


@pytest.mark.parametrize(
    ("learnt", "returning", "said"),
    [
        (SOUNDS_LIKE_PEOPLE + 1, LAYERED + 0.1, None),
        (SOUNDS_LIKE_PEOPLE + 1, LAYERED, "strokes that come back"),
        (SOUNDS_LIKE_PEOPLE, 0.0, "sounds like people's music"),
    ],
)
def test_layers(learnt: float, returning: float, said: str | None) -> None:
    text = layers(learnt=learnt, returning=returning)
    assert (text is None) == (said is None)
    assert said is None or said in str(text)


def test_runs() -> None:
    there = np.array([True, True, False, True, False, True, True, True])
    assert runs(there) == [(0, 2), (5, 8)]
    assert runs(there, least=1) == [(0, 2), (3, 4), (5, 8)]
    assert runs(~there) == []
    assert runs(np.zeros(0, dtype=bool)) == []
