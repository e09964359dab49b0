"""The evidence record: the names that everybody relies on, and values that can't be nonsense."""

import math
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.evidence import AudioFacts, Evidence, IndexRef, Match, PolicyRef, Verdict

FIELDS: dict[str, set[str]] = {
    "": {
        "upload_id", "verdict", "rule", "reason", "audio", "matches", "ai", "consent", "policy", "index",
        "models",
    },
    "audio": {
        "uri", "sha256", "codec", "container", "sample_rate_hz", "channels", "duration_s", "loudness_lufs",
    },
    "matches": {
        "track_id", "title", "kind", "query_start_s", "query_end_s", "reference_start_s", "reference_end_s",
        "shift_semitones", "tempo_ratio", "coverage", "score", "false_positive_rate",
    },
    "ai": {"probability", "low", "high", "known", "segments", "signs", "provenance"},
    "policy": {"version", "hash"},
    "index": {"generation", "tracks"},
}  # fmt: skip
"""As the design fixes them: names may be added, never renamed."""

MATCH: dict[str, Any] = {
    "track_id": "t",
    "title": "T",
    "query_start_s": 0.0,
    "query_end_s": 1.0,
    "reference_start_s": 0.0,
    "reference_end_s": 1.0,
    "shift_semitones": 0.0,
    "tempo_ratio": 1.0,
    "coverage": 0.5,
    "score": 1.0,
    "false_positive_rate": 0.001,
}


def record(**changes: Any) -> Evidence:
    return Evidence(
        **{
            "upload_id": "u",
            "verdict": Verdict.CLEAR,
            "rule": "r",
            "reason": "s",
            "audio": AudioFacts(uri="file:///a"),
            "matches": (Match(**MATCH),),
            "policy": PolicyRef(version="1", hash="h"),
            "index": IndexRef(generation=1, tracks=1),
            **changes,
        }
    )


@pytest.mark.parametrize("part", FIELDS)
def test_the_names_are_a_contract(part: str) -> None:
    document = record().model_dump(mode="json")
    found = document if not part else document[part]
    assert set(found[0] if isinstance(found, list) else found) >= FIELDS[part]


def test_what_is_not_known_is_null_and_not_left_out() -> None:
    document = record().model_dump(mode="json")
    assert document["ai"] == {
        "probability": None, "low": None, "high": None, "known": False, "reason": "",
        "false_positive_rate": None, "grounds": [], "segments": [], "signs": [], "provenance": [],
    }  # fmt: skip
    assert document["audio"]["duration_s"] is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("coverage", 1.1),
        ("coverage", -0.1),
        ("false_positive_rate", math.nan),
        ("score", math.inf),
        ("tempo_ratio", 0.0),
        ("query_start_s", -1.0),
        ("kind", "smell"),
    ],
)
def test_impossible_matches_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        Match(**{**MATCH, field: value})


def test_a_record_can_not_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record().verdict = Verdict.FLAGGED  # type: ignore[misc]


def test_a_newer_records_fields_are_ignored() -> None:
    document = record().model_dump(mode="json") | {"mood": "calm"}
    assert Evidence.model_validate(document) == record()
