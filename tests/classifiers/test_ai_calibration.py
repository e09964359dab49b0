from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.ai.calibration import (
    ACCUSING,
    FALSE_POSITIVES,
    SCORES,
    Calibration,
    calibrate,
    conformal_rate,
    group_weights,
)


def sample(*, human: int = 400, machine: int = 200, apart: float = 3.0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    scores = np.concatenate((random.normal(-apart / 2, 1, human), random.normal(apart / 2, 1, machine)))
    made = np.arange(human + machine) >= human
    groups = np.array([f"{'ai' if m else 'hu'}{i % 8}" for i, m in enumerate(made)])
    return {"scores": scores, "machine_made": made, "groups": groups}


def test_curves_rise_and_the_rate_falls() -> None:
    calibration = calibrate(**sample())
    for curve in (calibration.probability, calibration.low, calibration.high):
        assert np.all(np.diff(curve) >= -1e-9)
    assert np.all(np.diff(calibration.false_positive_rate) <= 1e-12)
    assert np.all(calibration.low <= calibration.high)


def test_the_conformal_rate_holds_on_fresh_recordings() -> None:
    random = np.random.default_rng(11)
    rates = []
    for _ in range(200):
        known, fresh = random.normal(size=300), random.normal(size=300)
        at = SCORES[np.flatnonzero(conformal_rate(known, SCORES) <= FALSE_POSITIVES)[0]]
        rates.append((fresh >= at).mean())
    assert np.mean(rates) <= FALSE_POSITIVES


def test_the_rate_is_never_zero() -> None:
    assert conformal_rate(np.zeros(99), np.array([50.0]))[0] == pytest.approx(0.01)


def test_too_few_humans_allow_no_accusation() -> None:
    calibration = calibrate(**sample(human=50, apart=8.0))
    assert calibration.threshold == float("inf")
    assert calibration.read(6.0).low < ACCUSING


def test_no_accusation_below_the_conformal_threshold() -> None:
    calibration = calibrate(**sample(apart=6.0))
    assert calibration.read(calibration.threshold - 0.05).low < ACCUSING


@settings(max_examples=50, deadline=None)
@given(score=st.floats(-1e3, 1e3))
def test_a_reading_is_ordered(score: float) -> None:
    reading = READ_ONCE.read(score)
    assert 0 <= reading.low <= reading.probability <= reading.high <= 1
    assert 0 < reading.false_positive_rate <= 1


def test_written_and_read_back() -> None:
    before = calibrate(**sample())
    after = Calibration.from_document(json.loads(json.dumps(before.to_document())))
    assert after.threshold == before.threshold
    assert after.read(0.7).probability == pytest.approx(before.read(0.7).probability, abs=1e-4)


def test_curves_of_another_length_are_refused() -> None:
    document = calibrate(**sample()).to_document() | {"low": [0.0, 1.0]}
    with pytest.raises(ValueError, match="121"):
        Calibration.from_document(document)


def test_classes_weigh_the_same_and_large_groups_less_than_their_size() -> None:
    groups = np.array(["a"] * 90 + ["b"] * 10 + ["m"] * 5)
    made = groups == "m"
    weights = group_weights(groups, machine_made=made)
    assert weights[made].sum() == pytest.approx(weights[~made].sum())
    ratio = weights[groups == "a"].sum() / weights[groups == "b"].sum()
    assert ratio == pytest.approx(3.0)


READ_ONCE = calibrate(**sample())
