from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from classifiers.fingerprint import LOWER, WHOLE, QueryPrint, ReferencePrint
from index.likeness import MOST_WINDOWS, WHOLE_ALONE, WITH_PARTS, likeness
from index.references import ReferencesInMemory

DIMENSION = 56
START_S = 7.0
"""Where in the reference the query begins."""


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def reference() -> ReferencePrint:
    vectors = unit(np.random.default_rng(1).standard_normal((60, DIMENSION)))
    return ReferencePrint(
        duration_s=30.0,
        vectors=np.round(127.0 * vectors).astype(np.int8),
        starts_s=np.arange(60, dtype=np.float32) / 2.0,
        contour=np.zeros((300, 19), dtype=np.uint8),
    )


def query(reference: ReferencePrint, *, cosine: float, seconds: float = 10.0) -> QueryPrint:
    """A window every half second whose cosine with the reference's from START_S on is `cosine`."""
    count = int(2 * seconds)
    first = int(2 * START_S)
    there = unit(reference.vectors[first : first + count].astype(np.float64))
    noise = np.random.default_rng(2).standard_normal(there.shape)
    noise -= np.einsum("wd,wd->w", noise, there)[:, None] * there
    return QueryPrint(
        duration_s=seconds,
        vectors=unit(cosine * there + np.sqrt(1.0 - cosine**2) * unit(noise)),
        starts_s=np.arange(count, dtype=np.float32) / 2.0,
        transpositions=np.zeros(count, dtype=np.float32),
        parts=np.full(count, WHOLE, dtype=np.int8),
        power_db=torch.zeros(152, int(50 * seconds)),
    )


def alike(
    asked: QueryPrint, reference: ReferencePrint, *, at_s: float = START_S, shift: float = 0.0
) -> float:
    return likeness(
        asked,
        ReferencesInMemory({"it": reference}),
        0,
        start_s=0.0,
        end_s=asked.duration_s,
        origin_s=at_s,
        tempo_ratio=1.0,
        shift_semitones=shift,
    )


@pytest.mark.parametrize(
    ("cosine", "expected"),
    [
        (WHOLE_ALONE.ordinary[1] - 0.03, 0.0),
        (WHOLE_ALONE.ordinary[1] + 0.1, WHOLE_ALONE.weight * 0.1),
        (0.9, WHOLE_ALONE.most),
    ],
)
def test_it_grows_with_the_cosine_from_nothing_to_its_limit(
    reference: ReferencePrint, cosine: float, expected: float
) -> None:
    assert alike(query(reference, cosine=cosine), reference) == pytest.approx(expected, abs=0.1)


def test_a_short_line_must_be_more_alike(reference: ReferencePrint) -> None:
    asked = query(reference, cosine=0.6, seconds=2.0)
    long = alike(query(reference, cosine=0.6), reference)
    assert 0.0 < alike(asked, reference) < long
    assert long == pytest.approx(WHOLE_ALONE.weight * (0.6 - WHOLE_ALONE.ordinary[1]), abs=0.1)


def test_another_place_of_the_reference_is_not_alike(reference: ReferencePrint) -> None:
    assert alike(query(reference, cosine=0.9), reference, at_s=START_S + 2.0) == 0.0


def test_past_the_end_of_the_reference_nothing_is_alike(reference: ReferencePrint) -> None:
    assert alike(query(reference, cosine=0.9), reference, at_s=40.0) == 0.0


def test_what_was_asked_in_parts_is_read_as_their_mean(reference: ReferencePrint) -> None:
    whole = query(reference, cosine=0.55)
    lower = query(reference, cosine=0.45)
    asked = replace(
        whole,
        vectors=np.concatenate([whole.vectors, lower.vectors]),
        starts_s=np.tile(whole.starts_s, 2),
        transpositions=np.tile(whole.transpositions, 2),
        parts=np.repeat(np.array([WHOLE, LOWER], dtype=np.int8), len(whole.starts_s)),
    )
    expected = WITH_PARTS.weight * (0.5 - WITH_PARTS.ordinary[1])
    assert 0.0 < expected < WITH_PARTS.most
    assert alike(asked, reference) == pytest.approx(expected, abs=0.2)


def test_only_windows_moved_as_the_line_says_are_asked(reference: ReferencePrint) -> None:
    asked = query(reference, cosine=0.9)
    count = len(asked.starts_s)
    both = replace(
        asked,
        vectors=np.concatenate([-asked.vectors, asked.vectors]),
        starts_s=np.tile(asked.starts_s, 2),
        transpositions=np.repeat(np.array([0.0, -3.0], dtype=np.float32), count),
        parts=np.tile(asked.parts, 2),
    )
    # The copy is three semitones higher: it was moved down by three to look like the reference.
    assert alike(both, reference, shift=3.0) == WHOLE_ALONE.most
    assert alike(both, reference, shift=0.0) == 0.0


def test_long_lines_are_asked_in_places_all_along(reference: ReferencePrint) -> None:
    counted: list[int] = []

    class Counting(ReferencesInMemory):
        def cosines(
            self, position: int, vectors: NDArray[np.float32], starts_s: NDArray[np.float64]
        ) -> NDArray[np.float32]:
            counted.append(len(vectors))
            assert starts_s[0] == pytest.approx(START_S)
            assert starts_s[-1] > START_S + 20.0
            return super().cosines(position, vectors, starts_s)

    asked = query(reference, cosine=0.9, seconds=22.0)
    line = {"start_s": 0.0, "end_s": 22.0, "origin_s": START_S, "tempo_ratio": 1.0, "shift_semitones": 0.0}
    assert likeness(asked, Counting({"it": reference}), 0, **line) == WHOLE_ALONE.most
    assert counted == [MOST_WINDOWS]
