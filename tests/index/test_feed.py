"""The catalog as a stream keeps it: each revision once, in effect as if nothing ever came twice or late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from index.catalog import Catalog
from index.feed import Applied, Change
from index.terms import Decision, Term, Use
from index.tracks import Right
from soundalike.errors import CatalogError, CatalogUnavailable, UnknownTrack

MODEL = "a" * 64
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FIRN = (Right("Firn", Decimal(1)),)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog], clock: Clock) -> Catalog:
    return open_catalog(clock=clock)


@pytest.fixture
def put(catalog: Catalog, make_track: Any, tiny_print: Any) -> Callable[..., Applied]:
    def put_it(revision: int, *, audio: str = "one", rights: Any = FIRN, terms: Any = ()) -> Applied:
        return catalog.feed.put(
            change(revision), make_track("alp", audio=audio), tiny_print(1), model_sha256=MODEL,
            rights=rights, terms_of_track=terms,
        )  # fmt: skip

    return put_it


def change(revision: int, track_id: str = "alp") -> Change:
    return Change(track_id, revision, f"event-{revision}")


def term(term_id: str, version: int = 1, decision: str = "allow", **more: Any) -> Term:
    given = {
        "rightsholder": "Firn",
        "use": Use.AI_DERIVATIVE,
        "valid_from": NOW - timedelta(days=1),
        "track_id": "alp",
    }
    return Term(term_id=term_id, version=version, decision=Decision(decision), **(given | more))


def allowed(catalog: Catalog, **more: Any) -> bool:
    (finding,) = catalog.findings("alp", Use.AI_DERIVATIVE, uploader="x", **more)
    return finding.decision is Decision.ALLOW


def test_an_added_track_comes_with_its_terms_in_one_generation(catalog: Catalog, put: Any) -> None:
    assert put(1, terms=[term("t")]) is Applied.APPLIED
    assert catalog.generation() == 1
    assert allowed(catalog)


def test_the_same_revision_again_changes_nothing(catalog: Catalog, put: Any) -> None:
    put(3)
    assert [put(3), put(2, audio="two")] == [Applied.STALE, Applied.STALE]
    assert catalog.feed.is_stale(change(3), of_recording=True)
    assert catalog.generation() == 1
    assert len(catalog.tracks()) == 1


def test_a_replacement_keeps_the_shares_that_it_does_not_mention(catalog: Catalog, put: Any) -> None:
    put(1)
    assert put(2, audio="two", rights=()) is Applied.APPLIED
    assert catalog.rights_of("alp") == FIRN
    assert len(catalog.tracks()) == 1


def test_terms_are_the_whole_state_and_history_is_kept(catalog: Catalog, put: Any, clock: Clock) -> None:
    wide = term("wide", track_id=None, decision="deny")
    catalog.record_terms([wide])
    put(1, terms=[term("t"), term("u", use=Use.VERBATIM_USE)])
    clock.now += timedelta(hours=1)
    assert catalog.feed.change_terms(change(2), rights=(), terms_of_track=[term("t")]) is Applied.APPLIED
    newest = {one.term_id: one for one in catalog.terms()}
    assert newest["u"].valid_until == clock.now
    assert newest["t"].version == 1
    assert newest["wide"].valid_until is None  # all works of Firn are not this track's to withdraw
    catalog.feed.change_terms(change(3), rights=(), terms_of_track=[])
    assert not allowed(catalog)
    before = clock.now - timedelta(minutes=30)
    assert allowed(catalog, at=before, known_at=before)


def test_a_withdrawn_term_is_not_withdrawn_again(catalog: Catalog, put: Any, clock: Clock) -> None:
    put(1, terms=[term("t")])
    for revision in (2, 3):
        clock.now += timedelta(hours=1)
        catalog.feed.change_terms(change(revision), rights=(), terms_of_track=[])
    assert [one.version for one in catalog.terms(history=True)] == [1, 2]


def test_a_term_comes_back_with_a_later_version(catalog: Catalog, put: Any) -> None:
    put(1, terms=[term("t", 1)])
    catalog.feed.change_terms(change(2), rights=(), terms_of_track=[])  # writes version 2: its end
    catalog.feed.change_terms(change(3), rights=(), terms_of_track=[term("t", 7)])
    assert allowed(catalog)
    assert [one.version for one in catalog.terms(history=True)] == [1, 2, 7]


def test_the_same_audio_under_a_second_id_is_added_and_said(
    catalog: Catalog, put: Any, make_track: Any, tiny_print: Any
) -> None:
    put(1, audio="one")
    with capture_logs() as said:
        catalog.feed.put(
            change(1, "twin"), make_track("twin", audio="one"), tiny_print(1), model_sha256=MODEL,
            rights=FIRN, terms_of_track=(),
        )  # fmt: skip
    assert [(line["event"], line["track_id"], line["others"]) for line in said] == [
        ("same_audio_as", "twin", ("alp",))
    ]
    assert len(catalog.tracks()) == 2


def test_a_removed_track_is_gone_and_what_never_was_is_as_good(catalog: Catalog, put: Any) -> None:
    put(1)
    assert catalog.feed.remove(change(2)) is Applied.APPLIED
    assert catalog.tracks() == []
    assert put(1) is Applied.STALE
    assert catalog.feed.remove(change(1, "never")) is Applied.APPLIED


def test_a_recording_that_was_replayed_late_comes_with_todays_terms(catalog: Catalog, put: Any) -> None:
    put(1, terms=[term("t")])
    # Revision 2 brought other audio and failed; revision 3 withdrew the term; now 2 comes again.
    catalog.feed.change_terms(change(3), rights=(), terms_of_track=[])
    assert put(2, audio="two", terms=[term("t", 9)]) is Applied.APPLIED
    assert not allowed(catalog)
    assert put(2, audio="two") is Applied.STALE


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([term("t", track_id="other")], "speaks of other, not of alp"),
        ([term("t"), term("t")], "comes twice in one change"),
        ([term("t", territories=("XX",))], "no territory"),
        ([term("kept", rightsholder="Verlag")], "must keep its rightsholder"),
    ],
)
def test_what_cannot_be_meant_leaves_no_trace(
    catalog: Catalog, put: Any, terms: list[Term], message: str
) -> None:
    put(1, terms=[term("kept")])
    with pytest.raises(CatalogError, match=message) as raised:
        catalog.feed.change_terms(change(2), rights=(), terms_of_track=terms)
    assert not isinstance(raised.value, CatalogUnavailable)
    assert catalog.generation() == 1
    assert allowed(catalog)
    assert not catalog.feed.is_stale(change(2), of_recording=False)


def test_shares_of_a_track_that_is_not_there_are_refused(catalog: Catalog) -> None:
    with pytest.raises(UnknownTrack):
        catalog.feed.change_terms(change(1), rights=FIRN, terms_of_track=[])


def test_terms_may_come_before_their_track(catalog: Catalog, put: Any) -> None:
    catalog.feed.change_terms(change(1), rights=(), terms_of_track=[term("t")])
    put(2, terms=[replace(term("t"))])
    assert allowed(catalog)
