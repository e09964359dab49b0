"""Which term decides: the documented table, and properties over everything that can be said."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.terms import (
    SILENCE,
    Decision,
    Term,
    TermDecision,
    Use,
    check_term,
    decide,
    licensees_of,
    newest_versions,
)
from soundalike.errors import CatalogError

DOCUMENT = Path(__file__).parents[2] / "docs" / "catalog.md"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CASE: dict[str, Any] = {
    "rightsholder": "Firn",
    "track_id": "alp",
    "use": Use.AI_DERIVATIVE,
    "licensees": frozenset({"studio-x"}),
    "territory": "DE",
    "at": NOON,
}


def term(term_id: str, decision: str = "allow", **more: Any) -> Term:
    given = {"rightsholder": "Firn", "use": Use.AI_DERIVATIVE, "valid_from": datetime(2026, 1, 1, tzinfo=UTC)}
    return Term(term_id=term_id, decision=Decision(decision), **(given | more))


instants = st.sampled_from([NOON + timedelta(days=days) for days in (-3, -1, 0, 1, 3)])
terms_strategy = st.builds(
    Term,
    term_id=st.sampled_from("abcdef"),
    version=st.integers(min_value=1, max_value=3),
    rightsholder=st.sampled_from(["Firn", "Verlag"]),
    use=st.sampled_from([Use.AI_DERIVATIVE, Use.VERBATIM_USE]),
    decision=st.sampled_from(Decision),
    valid_from=instants,
    valid_until=st.none() | instants,
    track_id=st.sampled_from([None, "alp", "other"]),
    territories=st.sampled_from([(), ("DE",), ("FR",), ("DE", "FR")]),
    licensee=st.sampled_from([None, "studio-x", "licence:L1", "stranger"]),
    recorded_at=instants,
)
lists_of_terms = st.lists(terms_strategy, max_size=8, unique_by=lambda found: (found.term_id, found.version))
cases = st.fixed_dictionaries(
    {
        "rightsholder": st.just("Firn"),
        "track_id": st.just("alp"),
        "use": st.just(Use.AI_DERIVATIVE),
        "licensees": st.sampled_from(
            [frozenset({"studio-x"}), frozenset({"studio-x", "licence:L1"}), frozenset({"x"})]
        ),
        "territory": st.sampled_from([None, "DE", "FR", "US"]),
        "at": instants,
        "known_at": st.none() | instants,
    }
)


def fresh(found: Term, others: list[Term]) -> Term:
    """The same term under an id of its own, so that it supersedes nothing."""
    assert all(other.term_id != "new" for other in others)
    return replace(found, term_id="new", version=1, recorded_at=None)


@given(lists_of_terms, cases)
def test_an_answer_rests_on_a_term_that_says_so(found: list[Term], case: dict[str, Any]) -> None:
    answer = decide(found, **case)
    if answer == SILENCE:
        return
    deciding = next(t for t in found if (t.term_id, t.version) == (answer.term_id, answer.version))
    assert deciding.decision is answer.decision
    assert deciding.rightsholder == "Firn"
    assert deciding.use is Use.AI_DERIVATIVE
    assert deciding.track_id in (None, "alp")
    assert deciding.licensee is None or deciding.licensee in case["licensees"]
    assert deciding.valid_from <= case["at"]
    assert deciding.valid_until is None or case["at"] < deciding.valid_until
    if deciding.decision is Decision.ALLOW:
        assert not deciding.territories or case["territory"] in deciding.territories


@given(lists_of_terms, cases, st.randoms(use_true_random=False))
def test_the_order_of_terms_means_nothing(found: list[Term], case: dict[str, Any], random: Any) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)
    assert decide(shuffled, **case) == decide(found, **case)


@given(lists_of_terms, terms_strategy, cases)
def test_an_added_deny_never_allows_and_an_added_allow_never_denies(
    found: list[Term], added: Term, case: dict[str, Any]
) -> None:
    before = decide(found, **case).decision
    after = decide([*found, fresh(added, found)], **case).decision
    assert after in (before, added.decision)


@given(lists_of_terms, cases)
def test_the_most_specific_deny_cannot_be_overridden(found: list[Term], case: dict[str, Any]) -> None:
    territory = case["territory"] or "DE"
    deny = term(
        "new",
        "deny",
        track_id="alp",
        licensee=min(case["licensees"]),
        territories=(territory,),
        valid_from=case["at"],
    )
    assert decide([*found, deny], **case).decision is Decision.DENY


@given(lists_of_terms, cases)
def test_without_any_allow_the_answer_is_no(found: list[Term], case: dict[str, Any]) -> None:
    denials = [replace(t, decision=Decision.DENY) for t in found]
    assert decide(denials, **case).decision is Decision.DENY


@given(lists_of_terms, cases)
def test_superseded_versions_are_as_if_they_were_not(found: list[Term], case: dict[str, Any]) -> None:
    newest = newest_versions(found, known_at=case["known_at"])
    assert decide(newest, **case | {"known_at": None}) == decide(found, **case)
    assert len({t.term_id for t in newest}) == len(newest)


@given(lists_of_terms, cases)
def test_what_is_allowed_worldwide_is_allowed_everywhere(found: list[Term], case: dict[str, Any]) -> None:
    worldwide = decide(found, **case | {"territory": None})
    if worldwide.decision is Decision.ALLOW:
        for territory in ("DE", "FR", "US"):
            here = decide(found, **case | {"territory": territory})
            assert here.decision is Decision.ALLOW


def test_silence_is_a_deny_without_a_term() -> None:
    assert decide([], **CASE) == TermDecision(Decision.DENY, None, None)


def test_an_end_is_exclusive_and_a_beginning_inclusive() -> None:
    one_day = term("t", valid_from=NOON, valid_until=NOON + timedelta(days=1))
    at = {
        seconds: decide([one_day], **CASE | {"at": NOON + timedelta(seconds=seconds)})
        for seconds in (-1, 0, 86400)
    }
    assert [at[s].decision for s in (-1, 0, 86400)] == [Decision.DENY, Decision.ALLOW, Decision.DENY]
    assert at[0] == TermDecision(Decision.ALLOW, "t", 1)


def test_a_new_version_supersedes_even_where_it_no_longer_speaks() -> None:
    first = term("t", recorded_at=NOON - timedelta(days=2))
    ended = replace(
        first, version=2, valid_until=NOON - timedelta(days=1), recorded_at=NOON - timedelta(days=1)
    )
    assert decide([first, ended], **CASE) == SILENCE
    assert decide([first, ended], **CASE, known_at=NOON - timedelta(hours=36)).term_id == "t"


def test_equal_denials_are_reported_by_the_first_id_in_any_order() -> None:
    found = [term("c", "deny"), term("a", "deny"), term("b", "allow")]
    for order in permutations(found):
        assert decide(order, **CASE) == TermDecision(Decision.DENY, "a", 1)


def test_a_quoted_reference_never_passes_for_an_account() -> None:
    assert licensees_of("me", ["studio-x"]) == {"me", "licence:studio-x"}
    assert licensees_of("licence:L1", []) == frozenset()
    to_studio = term("t", licensee="studio-x")
    assert decide([to_studio], **CASE | {"licensees": licensees_of("me", ["studio-x"])}) == SILENCE
    to_reference = term("t", licensee="licence:L1")
    assert decide([to_reference], **CASE | {"licensees": licensees_of("licence:L1", [])}) == SILENCE
    assert (
        decide([to_reference], **CASE | {"licensees": licensees_of("me", ["L1"])}).decision is Decision.ALLOW
    )


def test_distributors_and_ai_tools_are_licensees_of_their_own_kind() -> None:
    whole = licensees_of("me", ["L1"], distributor="Cargo", ai_tool="Loom")
    assert whole == {"me", "licence:L1", "distributor:Cargo", "ai-tool:Loom"}
    for licensee, named in (
        ("distributor:Cargo", {"distributor": "Cargo"}),
        ("ai-tool:Loom", {"ai_tool": "Loom"}),
    ):
        allowing = term("t", licensee=licensee)
        asked = licensees_of("me", [], **named)
        assert decide([allowing], **CASE | {"licensees": asked}).decision is Decision.ALLOW
        # Neither an account nor another kind that carries the same name is let through.
        for posing in (
            licensees_of(licensee, []),
            licensees_of("me", [licensee]),
            licensees_of("Cargo", ["Loom"]),
        ):
            assert decide([allowing], **CASE | {"licensees": posing}) == SILENCE


def table_rows() -> list[tuple[str, ...]]:
    rows = re.findall(r"^\| (\d+ \|.*)\|$", DOCUMENT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [tuple(cell.strip() for cell in row.split("|")) for row in rows]


def documented_term(text: str, *, term_id: str) -> Term:
    """`allow · track · studio-x · DE` → the term; left-out words mean all works, anybody, the world."""
    decision, *narrowed = [word.strip() for word in text.split("·")]
    fields: dict[str, Any] = {}
    for word in narrowed:
        if word == "track":
            fields["track_id"] = "alp"
        elif re.fullmatch("[A-Z]{2}", word):
            fields["territories"] = (word,)
        else:
            fields["licensee"] = word
    return term(term_id, decision, **fields)


@pytest.mark.parametrize("row", table_rows(), ids=lambda row: row[0])
def test_the_table_in_the_document_is_true(row: tuple[str, ...]) -> None:
    _number, listed, territory, expected, _because = row
    texts = [] if listed == "(none)" else [text.strip(" `") for text in listed.split("<br>")]
    terms = [documented_term(text, term_id=str(i)) for i, text in enumerate(texts)]
    answer = decide(terms, **CASE | {"territory": None if territory == "world" else territory})
    decision, _, by = expected.partition(" by ")
    assert answer.decision.value == decision.strip("* ")
    if by:
        assert answer.term_id == str(texts.index(by.strip(" `")))


def test_the_document_has_a_table() -> None:
    assert len(table_rows()) >= 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"valid_until": datetime(2025, 1, 1, tzinfo=UTC)}, "before it begins"),
        ({"territories": ("DE", "XX")}, "'XX' is no territory"),
        ({"territories": ("de",)}, "did you mean DE"),
        ({"territories": ("UK",)}, "'UK' is no territory"),
        ({"rightsholder": ""}, "the rightsholder of term"),
        ({"licensee": " padded"}, "the licensee of term"),
        ({"track_id": "x" * 201}, "the track id of term"),
        ({"valid_from": datetime(2026, 1, 1)}, "no time zone"),
        ({"licensee": "ai-tool:"}, "names nobody"),
        ({"revenue_share": Decimal("1.01")}, "asks for 1.01 of the revenue"),
        ({"revenue_share": Decimal("-0.1")}, "a part from 0 to 1"),
        ({"revenue_share": Decimal("NaN")}, "a part from 0 to 1"),
        ({"revenue_share": Decimal("1e-50")}, "more digits than can be kept"),
        ({"share_terms": "x" * 2001}, "2000 characters at most"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        check_term(replace(term("t"), **change))
    check_term(term("t", territories=("DE", "GB", "US"), valid_until=datetime(2026, 1, 1, tzinfo=UTC)))
