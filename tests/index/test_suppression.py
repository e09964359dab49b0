"""What is left of a match, and the store of suppressions, quarantines and sightings on both databases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.catalog import Catalog
from index.suppression import SHORTEST_PIECE_S, Kind, Suppression, cut
from index.suppressions import Flood, FloodRule, Sighting
from soundalike.errors import CatalogError, UnknownTrack

MODEL = "a" * 64
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
RULE = FloodRule(least=3, factor=10.0)


def suppression(start_s: float | None = None, end_s: float | None = None, **more: Any) -> Suppression:
    given_fields = {
        "suppression_id": "s", "track_id": "alp", "kind": Kind.SUPPRESSED, "reason": "loop",
        "recorded_by": "me", "recorded_at": NOW, "start_s": start_s, "end_s": end_s,
    }  # fmt: skip
    return Suppression(**(given_fields | more))


def test_what_lies_outside_of_the_span_is_left_along_the_line() -> None:
    # 30 s of the upload on 60 s of the reference, of which 20 to 40 are suppressed.
    pieces, by = cut((5.0, 35.0), (10.0, 70.0), [suppression(20.0, 40.0)])
    assert by is not None
    found = [(p.query_start_s, p.query_end_s, p.reference_start_s, p.reference_end_s) for p in pieces]
    assert found == [(5.0, 10.0, 10.0, 20.0), (20.0, 35.0, 40.0, 70.0)]
    assert [round(piece.part, 6) for piece in pieces] == [round(1 / 6, 6), 0.5]


def test_a_whole_reference_and_a_short_rest_leave_nothing() -> None:
    assert cut((0.0, 30.0), (0.0, 30.0), [suppression()])[0] == []
    assert cut((0.0, 6.0), (3.0, 9.0), [suppression(0.0, 8.0)])[0] == []


def test_the_suppression_that_took_most_is_named() -> None:
    short, long = suppression(0.0, 2.0, suppression_id="z"), suppression(5.0, 20.0, suppression_id="a")
    assert cut((0.0, 30.0), (0.0, 30.0), [short, long])[1] == long


seconds = st.floats(min_value=0.0, max_value=100.0)
spans = st.lists(st.tuples(st.none() | seconds, st.none() | seconds), max_size=4)


@given(start=seconds, length=st.floats(1.5, 90.0), tempo=st.floats(0.5, 2.0), taken=spans)
def test_pieces_and_suppressed_seconds_share_the_match_between_them(
    start: float, length: float, tempo: float, taken: list[tuple[float | None, float | None]]
) -> None:
    query, reference = (7.0, 7.0 + length), (start, start + length * tempo)
    suppressions = [suppression(low, high) for low, high in taken]
    pieces, by = cut(query, reference, suppressions)
    for piece in pieces:
        assert query[0] - 1e-6 <= piece.query_start_s < piece.query_end_s <= query[1] + 1e-6
        middle = (piece.reference_start_s + piece.reference_end_s) / 2
        assert not any(one.span_s[0] < middle < one.span_s[1] for one in suppressions)
        assert math.isclose(
            piece.part, (piece.query_end_s - piece.query_start_s) / length, rel_tol=1e-6, abs_tol=1e-9
        )
        assert piece.query_end_s - piece.query_start_s >= min(SHORTEST_PIECE_S, length) - 1e-6
    if by is None:
        assert sum(piece.part for piece in pieces) == 1.0
    # Every second that no suppression speaks of is in a piece, unless its run is too short to be one.
    for tenth in range(1, 10):
        at = reference[0] + (reference[1] - reference[0]) * tenth / 10
        free = not any(one.span_s[0] <= at <= one.span_s[1] for one in suppressions)
        inside = any(piece.reference_start_s <= at <= piece.reference_end_s for piece in pieces)
        run = _run_around(at, reference, suppressions) / tempo
        if free and run > SHORTEST_PIECE_S + 1e-6:
            assert inside


def _run_around(at: float, reference: tuple[float, float], suppressions: Iterable[Suppression]) -> float:
    low, high = reference
    for one in suppressions:
        start, end = one.span_s
        if start < end:
            low = max(low, end) if end <= at else low
            high = min(high, start) if start >= at else high
    return high - low


# The store


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog], clock: Clock, make_track: Any, tiny_print: Any) -> Catalog:
    catalog = open_catalog(clock=clock)
    catalog.add(make_track("alp", duration_s=60.0), tiny_print(1), model_sha256=MODEL)
    return catalog


def test_a_suppression_is_a_generation_and_its_end_is_history(catalog: Catalog, clock: Clock) -> None:
    made = catalog.suppressions.add("alp", reason="stock loop", by="ida", start_s=0.0, end_s=5.0)
    assert catalog.generation() == 2
    assert catalog.suppressions_of(["alp", "other"]) == (made,)
    clock.now += timedelta(days=1)
    ended = catalog.suppressions.end(made.suppression_id, reason="a mistake", by="bo")
    assert catalog.suppressions_of(["alp"]) == ()
    assert ended == replace(made, ended_reason="a mistake", ended_by="bo", ended_at=clock.now)
    assert catalog.suppressions.list() == []
    assert catalog.suppressions.list(ended=True) == [ended]
    with pytest.raises(CatalogError, match=r"was ended at 2026-06-02 12:00 UTC by .* already"):
        catalog.suppressions.end(made.suppression_id, reason="again", by="bo")


@pytest.mark.parametrize(
    ("given_fields", "message"),
    [
        ({"reason": " "}, "is no reason"),
        ({"reason": "two\nlines"}, "is no reason"),
        ({"by": ""}, "who suppresses"),
        ({"start_s": 60.0}, "lies behind its end"),
        ({"start_s": 5.0, "end_s": 5.0}, "no span"),
        ({"start_s": -1.0}, "no span"),
        ({"end_s": math.nan}, "no span"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    catalog: Catalog, given_fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        catalog.suppressions.add("alp", **({"reason": "loop", "by": "ida"} | given_fields))
    assert catalog.generation() == 1


def test_a_track_that_is_not_there_is_not_suppressed(catalog: Catalog) -> None:
    with pytest.raises(UnknownTrack):
        catalog.suppressions.add("nowhere", reason="loop", by="ida")
    assert catalog.suppressions.quarantine("nowhere", reason="floods") is None


def seen(*numbers: int, ago: timedelta = timedelta(minutes=5), accuses: bool = True) -> list[Sighting]:
    return [Sighting("alp", f"up-{n}", f"{n:064d}", NOW - ago, accuses) for n in numbers]


def test_a_sudden_flood_is_found_once_per_recording(catalog: Catalog) -> None:
    store = catalog.suppressions
    store.note(seen(1, 2))
    store.note(seen(1, 2))  # delivered again
    # One copy under many ids is one recording: a spammer can't free the reference.
    store.note([replace(one, audio_sha256="f" * 64) for one in seen(*range(10, 20))])
    assert store.flooding(["alp"], rule=FloodRule(least=4), now=NOW) == {}
    found = store.flooding(["alp", "other"], rule=RULE, now=NOW)
    assert found == {
        "alp": "3 different recordings were flagged for it within 60 minutes, where 0.0 are usual"
    }


def test_what_is_usual_is_no_flood(catalog: Catalog) -> None:
    store = catalog.suppressions
    # 168 hours of memory less one: one recording an hour before, then three within the last.
    store.note([s for n in range(167) for s in seen(1000 + n, ago=timedelta(hours=n, minutes=61))])
    store.note(seen(1, 2, 3))
    assert store.flooding(["alp"], rule=RULE, now=NOW) == {}
    assert "alp" in store.flooding(["alp"], rule=replace(RULE, factor=2.9), now=NOW)


def test_matches_that_accused_nobody_are_no_flood(catalog: Catalog) -> None:
    catalog.suppressions.note(seen(1, 2, 3, 4, accuses=False))
    assert catalog.suppressions.flooding(["alp"], rule=RULE, now=NOW) == {}


def test_a_person_releases_a_quarantine_and_learns_what_went_by(catalog: Catalog, clock: Clock) -> None:
    store = catalog.suppressions
    made = store.quarantine("alp", reason="floods")
    assert made is not None
    assert store.quarantine("alp", reason="floods") is None
    store.note(seen(1, ago=timedelta(minutes=1), accuses=False))  # before it began
    store.note(seen(2, 3, ago=-timedelta(minutes=1), accuses=False))
    clock.now += timedelta(hours=1)
    assert store.flood(made.suppression_id) == Flood(accused=(), set_aside=("up-2", "up-3"))
    ended, missed = store.release(made.suppression_id, reason="a hit", by="ida")
    assert missed == ("up-2", "up-3")
    assert ended.ended_by == "ida"
    assert catalog.suppressions_of(["alp"]) == ()
    # It is left alone for a week.
    store.note(seen(*range(20, 30), ago=-timedelta(minutes=50)))
    assert store.flooding(["alp"], rule=RULE, now=clock.now) == {}
    week_later = clock.now + timedelta(days=8)
    store.note(seen(*range(20, 30), ago=NOW - week_later + timedelta(minutes=5)))
    assert "alp" in store.flooding(["alp"], rule=RULE, now=week_later)


def test_the_uploads_behind_a_quarantine_are_told_also_after_its_end(catalog: Catalog, clock: Clock) -> None:
    store = catalog.suppressions
    store.note(seen(1, ago=timedelta(minutes=90)))  # too early to have caused it
    store.note([*seen(2, ago=timedelta(minutes=30)), *seen(3, ago=timedelta(minutes=5))])
    made = store.quarantine("alp", reason="floods")
    assert made is not None
    store.note([*seen(4, ago=-timedelta(minutes=1)), *seen(5, ago=-timedelta(minutes=2), accuses=False)])
    clock.now += timedelta(hours=1)
    store.release(made.suppression_id, reason="a hit", by="ida")
    store.note(seen(6, ago=-timedelta(minutes=90)))
    assert store.get(made.suppression_id).ended_by == "ida"
    assert store.flood(made.suppression_id) == Flood(("up-2", "up-3", "up-4"), ("up-5",))
    with pytest.raises(CatalogError, match="there is no suppression or quarantine 'x'"):
        store.flood("x")


def test_a_person_confirms_a_quarantine_for_the_span_that_floods(catalog: Catalog) -> None:
    store = catalog.suppressions
    made = store.quarantine("alp", reason="floods")
    assert made is not None
    kept = store.confirm(made.suppression_id, reason="silent intro", by="ida", end_s=4.0)
    assert catalog.suppressions_of(["alp"]) == (kept,)
    assert (kept.kind, kept.end_s, kept.recorded_by) == (Kind.SUPPRESSED, 4.0, "ida")
    with pytest.raises(CatalogError, match="is no quarantine"):
        store.release(kept.suppression_id, reason="x", by="ida")


def test_old_sightings_are_forgotten_but_for_references_that_wait(catalog: Catalog) -> None:
    store = catalog.suppressions
    store.note(seen(1, ago=timedelta(days=9)))
    made = store.quarantine("alp", reason="floods")
    assert store.forget(before=NOW - timedelta(days=8)) == 0
    assert made is not None
    store.release(made.suppression_id, reason="fine", by="ida")
    assert store.forget(before=NOW - timedelta(days=8)) == 1


def test_noting_raises_no_generation(catalog: Catalog) -> None:
    catalog.suppressions.note(seen(1))
    assert catalog.generation() == 1
