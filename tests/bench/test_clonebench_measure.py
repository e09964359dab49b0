"""Thresholds, intervals and aggregates of CloneBench, by hand-made answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from bench.clonebench.measure import Answer, Threshold, system_numbers, thresholds, wilson
from bench.clonebench.report import table, write
from bench.clonebench.systems import Hit
from bench.conditions import CONDITIONS


def answer(
    *,
    score: float | None,
    track: str | None = "a",
    said: str = "a",
    condition: str = "clean",
    query_s: float = 1.0,
    reference_s: float = 31.0,
    shift: float | None = 0.0,
    tempo: float | None = 1.0,
    rate: float | None = None,
) -> Answer:
    top = None if score is None else Hit(said, score, query_s, reference_s, shift, tempo, rate)
    return Answer(CONDITIONS[condition], track, 30.0, top, 0.01)


def negatives(count: int) -> list[Answer]:
    """Scores 0, 1, … count − 1."""
    return [answer(score=float(number), track=None) for number in range(count)]


def by_name(found: list[Threshold]) -> dict[str, Threshold]:
    return {threshold.name: threshold for threshold in found}


def test_measured_thresholds_let_through_just_the_allowed_share() -> None:
    rows = negatives(2000)
    found = by_name(thresholds(rows))
    for name, allowed in (("1% FP", 20), ("0.1% FP", 2)):
        assert sum(found[name].accepts(row) for row in rows) == allowed
        assert "2000 distractor queries" in found[name].origin


def test_ties_never_exceed_the_allowed_share() -> None:
    rows = [answer(score=7.0, track=None) for _ in range(200)] + negatives(7)
    assert not any(by_name(thresholds(rows))["1% FP"].accepts(row) for row in rows)


def test_too_few_distractor_queries_are_called_too_few() -> None:
    found = by_name(thresholds(negatives(40)))
    assert found["1% FP"].value > 39.0
    assert "too few to show 1 %" in found["1% FP"].origin


def test_a_silent_system_gets_a_threshold_that_any_hit_passes() -> None:
    found = by_name(thresholds([answer(score=None, track=None) for _ in range(50)]))
    assert found["1% FP"].value == -math.inf
    assert found["1% FP"].accepts(answer(score=-3.0))
    assert not found["1% FP"].accepts(answer(score=None))


def test_a_stated_false_positive_rate_gives_shipped_thresholds() -> None:
    found = by_name(thresholds([answer(score=1.0, track=None, rate=0.5)]))
    assert found["shipped 1%"].accepts(answer(score=1.0, rate=0.01))
    assert not found["shipped 0.1%"].accepts(answer(score=99.0, rate=0.01))
    assert set(by_name(thresholds(negatives(3)))) == {"1% FP", "0.1% FP"}


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval(hits: int, n: int, low: float, high: float) -> None:
    assert wilson(hits, n) == pytest.approx((low, high), abs=0.0001)


def test_wilson_of_nothing_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def example() -> dict[str, Any]:
    rows = [
        *negatives(100),
        answer(score=200.0),
        answer(score=150.0, reference_s=31.4, tempo=1.02),
        answer(score=50.0),
        answer(score=300.0, said="b"),
        answer(score=None),
        answer(score=200.0, condition="pitch+2", shift=1.8),
        answer(score=200.0, condition="pitch+2", shift=1.7),
    ]
    return system_numbers(rows)


def test_numbers_by_condition() -> None:
    numbers = example()
    clean = numbers["conditions"]["clean"]
    assert clean["n"] == 5
    assert clean["top1"] == 3 / 5
    assert clean["recall"]["1% FP"]["recall"] == 2 / 5  # one right hit is too weak, one is wrong, one absent
    assert clean["recall"]["1% FP"]["low"] < 2 / 5 < clean["recall"]["1% FP"]["high"]
    assert clean["median_start_error_s"] == pytest.approx(0.0)
    assert clean["right_tempo"] == pytest.approx(2 / 3)
    assert clean["right_transposition"] == 1.0
    assert numbers["conditions"]["pitch+2"]["right_transposition"] == 0.5
    assert numbers["mean_recall"]["1% FP"] == pytest.approx((2 / 5 + 1.0) / 2)
    assert numbers["false_positives"]["1% FP"] | {"low": 0, "high": 0} == {
        "n": 100, "false_positives": 1, "rate": 0.01, "low": 0, "high": 0,
    }  # fmt: skip


def test_what_a_system_does_not_say_is_null() -> None:
    numbers = system_numbers([*negatives(5), answer(score=9.0, shift=None, tempo=None)])
    assert numbers["conditions"]["clean"]["right_transposition"] is None
    assert numbers["conditions"]["clean"]["right_tempo"] is None


def test_start_error_follows_the_time_map() -> None:
    quoted = answer(score=1.0, condition="dj-quote-5s", query_s=12.0, reference_s=32.25)
    assert quoted.start_error_s == pytest.approx(0.25)
    slower = answer(score=1.0, condition="tempo-0.8", query_s=5.0, reference_s=34.0)
    assert slower.start_error_s == pytest.approx(0.0)


def test_report_is_strict_json_and_names_missing_peers(tmp_path: Path) -> None:
    silent = system_numbers(
        [answer(score=None, track=None), answer(score=None), answer(score=None, condition="pitch+2")]
    )
    results = {
        "run": {
            "catalog_tracks": 2, "queries": 5, "negatives_a_condition": 50, "query_s": 10.0, "seed": 0,
            "conditions": ["clean", "pitch+2"], "left_out": {"broken.ogg": "can't be decoded"},
        },
        "systems": {
            "soundalike": {"version": "test", **example()},
            "audfprint": {"version": "1", **silent},
            "chromaprint": {"missing": "chromaprint: `fpcalc` is not on the PATH; install it with apt-get"},
        },
    }  # fmt: skip
    write(results, tmp_path)
    parsed = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert parsed["systems"]["audfprint"]["thresholds"][0]["value"] is None
    text = (tmp_path / "table.md").read_text()
    assert text == table(results)
    assert "| clean | 40 / 40 | 0 / 0 |" in text
    assert "## chromaprint: missing" in text
    assert "install it with apt-get" in text
    assert "broken.ogg" in text
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
