"""The bench of terms records what it says and looks up what it recorded."""

from __future__ import annotations

from pathlib import Path

from bench.terms import measure
from index.catalog import Catalog


def test_a_small_year_is_recorded_and_looked_up(tmp_path: Path) -> None:
    result = measure(tmp_path, terms=520, tracks_in_all=50, look_ups=5, url=None)
    assert (result["terms"], result["tracks"], result["database"]) == (520, 50, "sqlite")
    with Catalog.open(tmp_path) as catalog:
        history = catalog.terms(history=True)
        assert len(history) >= 520
        assert max(term.version for term in history) > 1
        assert len(catalog.tracks()) == 50
    for look_up in ("look_up_now", "look_up_then", "withdraw"):
        measured = result[look_up]
        assert isinstance(measured, dict)
        assert 0 < measured["p50_ms"] <= measured["p99_ms"] <= measured["max_ms"]
