"""What was allowed, to whom, when, and by what was known: through the catalog, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from index.catalog import Catalog
from index.findings import NOBODY
from index.terms import Decision, Term, Use
from index.tracks import Right, Role
from soundalike.errors import CatalogError, UnknownTrack

MODEL = "a" * 64
START = datetime(2026, 1, 1, tzinfo=UTC)
FIRN = Right("Firn Records", Decimal("0.5"), Role.LABEL)
VERLAG = Right("Verlag", Decimal("0.5"), Role.PUBLISHER)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def wait(self, **passed: float) -> datetime:
        self.now += timedelta(**passed)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog], clock: Clock, make_track: Any, tiny_print: Any) -> Catalog:
    """One track, `alp`, held by a label and a publisher."""
    catalog = open_catalog(clock=clock)
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=(FIRN, VERLAG))
    return catalog


def term(term_id: str, decision: str = "allow", *, holder: str = "Firn Records", **more: Any) -> Term:
    return Term(
        **{
            "term_id": term_id,
            "rightsholder": holder,
            "use": Use.AI_DERIVATIVE,
            "decision": Decision(decision),
            "valid_from": START,
        }
        | more
    )


def answers(catalog: Catalog, uploader: str = "studio-x", **more: Any) -> dict[str, tuple[str, str | None]]:
    found = catalog.findings("alp", "ai_derivative", uploader=uploader, **more)
    return {finding.rightsholder: (finding.decision.value, finding.term_id) for finding in found}


def test_every_rightsholder_is_asked_and_silence_is_a_no(catalog: Catalog) -> None:
    assert answers(catalog) == {"Firn Records": ("deny", None), "Verlag": ("deny", None)}
    catalog.record_terms([term("t1")])
    assert answers(catalog) == {"Firn Records": ("allow", "t1"), "Verlag": ("deny", None)}


def test_a_track_that_nobody_holds_is_denied_by_name(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    catalog.add(make_track("orphan"), tiny_print(2), model_sha256=MODEL)
    (finding,) = catalog.findings("orphan", Use.VERBATIM_USE, uploader="x")
    assert (finding.rightsholder, finding.decision, finding.own) == (NOBODY, Decision.DENY, False)


def test_an_id_that_never_was_is_refused_but_a_removed_track_still_answers(catalog: Catalog) -> None:
    with pytest.raises(UnknownTrack):
        catalog.findings("nowhere", Use.VERBATIM_USE, uploader="x")
    catalog.record_terms([term("t1")])
    catalog.remove("alp")
    assert answers(catalog)["Firn Records"] == ("allow", "t1")


def test_terms_come_back_as_they_were_recorded(catalog: Catalog, clock: Clock) -> None:
    given = term(
        "t1", "deny", track_id="alp", territories=("DE", "FR"), licensee="licence:L1",
        valid_until=START + timedelta(days=9, microseconds=1), reference="contract 17, § 3",
    )  # fmt: skip
    now = clock.wait(hours=1)
    (recorded,) = catalog.record_terms([given])
    assert recorded == replace(given, version=1, recorded_at=now)
    assert catalog.terms() == [recorded]


def test_licensees_territories_and_uses_are_told_apart(catalog: Catalog) -> None:
    catalog.record_terms(
        [
            term("account", licensee="studio-x", territories=("DE",)),
            term("quoted", holder="Verlag", licensee="licence:L1"),
        ]
    )
    assert answers(catalog, territory="DE")["Firn Records"] == ("allow", "account")
    assert answers(catalog, territory="FR")["Firn Records"] == ("deny", None)
    assert answers(catalog)["Firn Records"] == ("deny", None)
    assert answers(catalog, "stranger", territory="DE")["Firn Records"] == ("deny", None)
    assert answers(catalog, "stranger", licences=["L1"])["Verlag"] == ("allow", "quoted")
    assert answers(catalog, "licence:L1")["Verlag"] == ("deny", None)
    training = catalog.findings("alp", Use.AI_TRAINING, uploader="studio-x", territory="DE")
    assert {finding.decision for finding in training} == {Decision.DENY}


def test_what_was_allowed_at_a_time_can_be_asked_as_it_was_known_then(catalog: Catalog, clock: Clock) -> None:
    """Agreed in January, withdrawn in March, and found in May to have been void from February on."""
    catalog.record_terms([term("t1")])
    march = clock.wait(days=60)
    catalog.withdraw_term("t1")
    may = clock.wait(days=60)
    february = START + timedelta(days=31)
    catalog.record_terms([term("t1", valid_until=february)], supersede=True)

    def firn(*, at: datetime, known_at: datetime | None = None) -> str:
        return answers(catalog, at=at, known_at=known_at)["Firn Records"][0]

    in_february = february + timedelta(days=5)
    assert firn(at=in_february, known_at=march - timedelta(seconds=1)) == "allow"
    assert firn(at=march + timedelta(days=1), known_at=march - timedelta(seconds=1)) == "allow"
    assert firn(at=in_february, known_at=march + timedelta(days=1)) == "allow"
    assert firn(at=march + timedelta(days=1), known_at=march + timedelta(days=1)) == "deny"
    assert firn(at=in_february, known_at=may) == "deny"
    assert firn(at=february - timedelta(days=1)) == "allow"
    assert [found.version for found in catalog.terms(history=True)] == [1, 2, 3]
    assert [found.version for found in catalog.terms(known_at=march)] == [2]


def test_a_withdrawal_takes_effect_at_once(catalog: Catalog, clock: Clock) -> None:
    catalog.record_terms([term("t1")])
    assert answers(catalog)["Firn Records"] == ("allow", "t1")
    clock.wait(seconds=1)
    ended = catalog.withdraw_term("t1")
    assert (ended.version, ended.valid_until) == (2, clock.now)
    assert answers(catalog)["Firn Records"] == ("deny", None)


def test_a_term_withdrawn_before_it_began_never_holds(catalog: Catalog, clock: Clock) -> None:
    later = START + timedelta(days=10)
    catalog.record_terms([term("t1", valid_from=later)])
    catalog.withdraw_term("t1")
    for days in (9, 10, 11):
        assert answers(catalog, at=START + timedelta(days=days))["Firn Records"] == ("deny", None)


def test_withdrawing_never_prolongs_a_term(catalog: Catalog, clock: Clock) -> None:
    end = START + timedelta(days=1)
    catalog.record_terms([term("t1", valid_until=end)])
    clock.wait(days=5)
    assert catalog.withdraw_term("t1").valid_until == end


def test_an_id_is_taken_once_and_a_new_version_keeps_what_it_is_about(catalog: Catalog) -> None:
    catalog.record_terms([term("t1")])
    with pytest.raises(CatalogError, match="there is a term t1 already"):
        catalog.record_terms([term("t1", "deny")])
    for change in ({"holder": "Verlag"}, {"track_id": "alp"}, {"use": Use.VERBATIM_USE}):
        with pytest.raises(CatalogError, match="must keep its rightsholder"):
            catalog.record_terms([term("t1", **change)], supersede=True)
    (second,) = catalog.record_terms([term("t1", "deny", licensee="studio-x")], supersede=True)
    assert second.version == 2
    assert answers(catalog)["Firn Records"] == ("deny", "t1")


def test_a_batch_is_recorded_whole_or_not_at_all(catalog: Catalog) -> None:
    before = catalog.generation()
    for bad in (term("x", territories=("XX",)), term("t0"), term("y", valid_until=START - timedelta(days=1))):
        with pytest.raises(CatalogError):
            catalog.record_terms([term("t0"), bad])
    assert catalog.terms() == []
    assert catalog.generation() == before
    many = [term(f"t{number}", licensee=f"studio-{number}") for number in range(1200)]
    assert len(catalog.record_terms(many)) == 1200
    assert catalog.generation() == before + 1
    assert catalog.record_terms([]) == []
    assert catalog.generation() == before + 1
    again = catalog.record_terms(many, supersede=True)
    assert {found.version for found in again} == {2}


def test_an_account_speaks_from_its_link_to_its_end(catalog: Catalog, clock: Clock) -> None:
    linked = clock.wait(days=1)
    catalog.link_account("firn-uploads", rightsholder="Firn Records")
    own = {f.rightsholder: f.own for f in catalog.findings("alp", Use.VERBATIM_USE, uploader="firn-uploads")}
    assert own == {"Firn Records": True, "Verlag": False}
    assert catalog.is_own_upload("alp", "firn-uploads")
    assert not catalog.is_own_upload("alp", "stranger")
    assert not catalog.is_own_upload("alp", "Firn Records")
    with pytest.raises(CatalogError, match="already speaks"):
        catalog.link_account("firn-uploads", rightsholder="Firn Records")
    ended = clock.wait(days=1)
    catalog.unlink_account("firn-uploads", rightsholder="Firn Records")
    assert not catalog.is_own_upload("alp", "firn-uploads")
    assert catalog.accounts() == []
    with pytest.raises(CatalogError, match="does not speak"):
        catalog.unlink_account("firn-uploads", rightsholder="Firn Records")
    for instant, speaks in ((linked - timedelta(seconds=1), False), (linked, True), (ended, False)):
        assert catalog.is_own_upload("alp", "firn-uploads", known_at=instant) is speaks
    catalog.link_account("firn-uploads", rightsholder="Firn Records")
    assert [account.recorded_at for account in catalog.accounts()] == [ended]


def test_a_publisher_does_not_deliver_the_recording(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    catalog.link_account("verlag-uploads", rightsholder="Verlag")
    assert not catalog.is_own_upload("alp", "verlag-uploads")
    sole = Right("Verlag", Decimal(1), Role.PUBLISHER)
    catalog.add(make_track("sole"), tiny_print(3), model_sha256=MODEL, rights=(sole,))
    assert catalog.is_own_upload("sole", "verlag-uploads")


def test_terms_may_come_before_their_track(catalog: Catalog, make_track: Any, tiny_print: Any) -> None:
    catalog.record_terms([term("t1", holder="Newcomer", track_id="later")])
    assert catalog.is_rightsholder("Newcomer")
    assert not catalog.is_rightsholder("Nobody")
    right = Right("Newcomer", Decimal(1))
    catalog.add(make_track("later"), tiny_print(2), model_sha256=MODEL, rights=(right,))
    (finding,) = catalog.findings("later", Use.AI_DERIVATIVE, uploader="x")
    assert (finding.decision, finding.term_id, finding.version) == (Decision.ALLOW, "t1", 1)


def test_share_terms_are_kept_exactly_and_by_version(catalog: Catalog) -> None:
    asked = term("t", revenue_share=Decimal("0.175"), share_terms="paid quarterly", reference="contract 17")
    catalog.record_terms([asked])
    catalog.record_terms([replace(asked, revenue_share=Decimal("0.2"), share_terms="")], supersede=True)
    first, second = catalog.terms(history=True)
    assert (first.revenue_share, first.share_terms, first.reference) == (
        Decimal("0.175"),
        "paid quarterly",
        "contract 17",
    )
    assert (second.version, second.revenue_share, second.share_terms) == (2, Decimal("0.2"), "")


def test_an_ai_tool_and_a_distributor_are_asked_for_by_name(catalog: Catalog) -> None:
    catalog.record_terms(
        [term("a", licensee="ai-tool:Loom"), term("b", holder="Verlag", licensee="distributor:Cargo")]
    )

    def said(**who: str) -> list[str]:
        found = catalog.findings("alp", Use.AI_DERIVATIVE, uploader="me", at=START, **who)
        return [finding.decision.value for finding in found]

    assert said() == ["deny", "deny"]
    assert said(ai_tool="Loom") == ["allow", "deny"]
    assert said(ai_tool="Loom", distributor="Cargo") == ["allow", "allow"]
    assert said(ai_tool="Cargo", distributor="Loom") == ["deny", "deny"]
