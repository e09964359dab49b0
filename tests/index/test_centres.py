"""List centres in two levels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from index.centres import train


def clustered(count: int, *, centres: int = 200, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    middle = random.standard_normal((centres, 24))
    vectors = middle[random.integers(0, centres, count)] + 0.4 * random.standard_normal((count, 24))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("lists", [1, 2, 10, 300])
def test_there_are_as_many_unit_centres_as_asked_for(lists: int) -> None:
    found = train(clustered(3_000), lists)
    assert found.lists.shape == (lists, 24)
    assert found.first[0] == 0
    assert found.first[-1] == lists
    assert len(found.first) == len(found.groups) + 1
    assert np.allclose(np.linalg.norm(found.lists, axis=1), 1.0, atol=1e-4)


def test_the_short_way_nearly_always_finds_the_nearest_of_all() -> None:
    vectors = clustered(6_000)
    found = train(vectors, 300)
    near = found.nearest(vectors)
    cosines = vectors @ found.lists.T
    chosen = cosines[np.arange(len(vectors)), near]
    assert np.mean(chosen >= cosines.max(axis=1) - 1e-6) > 0.93
    assert (cosines.max(axis=1) - chosen).mean() < 0.005


def test_lists_are_of_like_size() -> None:
    vectors = clustered(6_000)
    sizes = np.bincount(train(vectors, 100).nearest(vectors), minlength=100)
    assert sizes.max() < 6 * sizes.mean()


def test_the_same_vectors_give_the_same_centres() -> None:
    vectors = clustered(2_000)
    assert np.array_equal(train(vectors, 40).lists, train(vectors, 40).lists)
