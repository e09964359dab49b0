"""The ledger of licensed uses: once each, the month that counts, and what a changed mind touches."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from index.affected import affected
from index.catalog import Catalog
from index.ledger import Credit, Judged, TermUsed
from index.statement import statement
from index.terms import Decision, Term, Use
from index.tracks import Right

MODEL = "a" * 64
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog], make_track: Any, tiny_print: Any) -> Catalog:
    """`alp`, held by Firn and Verlag by halves; both allow AI derivatives to studio-x."""
    catalog = open_catalog()
    halves = (Right("Firn", Decimal("0.5")), Right("Verlag", Decimal("0.5")))
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=halves)
    catalog.record_terms(
        [
            Term(
                term_id=f"t-{holder}", rightsholder=holder, use=Use.AI_DERIVATIVE, decision=Decision.ALLOW,
                valid_from=START, licensee="studio-x", revenue_share=share,
            )
            for holder, share in (("Firn", Decimal("0.3")), ("Verlag", None))
        ]
    )  # fmt: skip
    return catalog


def verdict(upload: str, at: datetime, kind: str = "licensed") -> Judged:
    return Judged(f"v-{upload}-{at:%m%d%H}-{kind}", upload, at, kind, 3)


def credit(upload: str, at: datetime, *, seconds: float = 30.0, uploader: str = "studio-x") -> Credit:
    halves = [{"rightsholder": name, "share": "0.5"} for name in ("Firn", "Verlag")]
    terms = [{"rightsholder": name, "term_id": f"t-{name}", "term_version": 1} for name in ("Firn", "Verlag")]
    work = {"track_id": "alp", "title": "Alp", "matched_s": seconds, "share": "1", "terms": terms}
    document = {
        "upload_id": upload, "use": "ai_derivative", "splits": halves, "uploader": uploader,
        "works": [work | {"splits": halves}],
    }  # fmt: skip
    used = tuple(TermUsed("alp", name, f"t-{name}", 1) for name in ("Firn", "Verlag"))
    return Credit(f"c-{upload}-{at:%m%d%H}", verdict(upload, at).event_id, upload, at, document, used)


def note(catalog: Catalog, upload: str, at: datetime, **more: Any) -> None:
    catalog.ledger.note_verdicts([verdict(upload, at)])
    catalog.ledger.note_credits([credit(upload, at, **more)])


def day(month: int, number: int) -> datetime:
    return datetime(2026, month, number, 12, tzinfo=UTC)


def counted(catalog: Catalog, month: int) -> list[str]:
    return [one.event_id for one in catalog.ledger.month(2026, month).credits]


def test_every_event_is_kept_once_and_raises_no_generation(catalog: Catalog) -> None:
    generation = catalog.generation()
    assert catalog.ledger.note_credits([credit("u", day(3, 1))] * 2) == 1
    assert catalog.ledger.note_credits([credit("u", day(3, 1))]) == 0
    assert catalog.ledger.note_verdicts([verdict("u", day(3, 1))]) == 1
    assert catalog.ledger.note_verdicts([verdict("u", day(3, 1))]) == 0
    assert catalog.ledger.note_verdicts([verdict("other", day(3, 1), "flagged")]) == 0
    assert catalog.generation() == generation


def test_an_upload_counts_once_by_the_last_verdict_of_its_first_month(catalog: Catalog) -> None:
    note(catalog, "u", day(3, 1))
    note(catalog, "u", day(3, 9))
    note(catalog, "u", day(4, 2))
    assert counted(catalog, 3) == ["c-u-030912"]
    assert counted(catalog, 4) == []
    assert counted(catalog, 2) == []


def test_a_licence_that_was_taken_back_within_the_month_does_not_count(catalog: Catalog) -> None:
    note(catalog, "u", day(3, 1))
    catalog.ledger.note_verdicts([verdict("u", day(3, 5), "flagged")])
    assert counted(catalog, 3) == []
    note(catalog, "u", day(4, 2))
    assert counted(catalog, 4) == ["c-u-040212"]


def test_what_happens_later_does_not_change_a_month_that_is_over(catalog: Catalog) -> None:
    note(catalog, "u", day(3, 1))
    catalog.ledger.note_verdicts([verdict("u", day(4, 5), "flagged")])
    assert counted(catalog, 3) == ["c-u-030112"]


def test_the_last_instant_of_december_is_december(catalog: Catalog) -> None:
    note(catalog, "u", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert len(counted(catalog, 12)) == 1
    assert catalog.ledger.month(2027, 1).credits == ()


def test_a_licence_without_its_credit_is_said(catalog: Catalog) -> None:
    catalog.ledger.note_verdicts([verdict("u", day(3, 1))])
    assert catalog.ledger.month(2026, 3).missing == ("u",)


def test_a_statement_is_exact(catalog: Catalog) -> None:
    for number in range(1, 4):
        note(catalog, f"u{number}", day(3, number), seconds=10.001)
    found = catalog.ledger.month(2026, 3).credits
    firn, verlag = statement("2026-03", found, term_shares=catalog.revenue_shares(found))
    assert (firn.rightsholder, firn.uploads, firn.works, firn.terms) == ("Firn", 3, 1, "t-Firn@1")
    assert firn.matched_s == Decimal("15.002")  # 3 times 10.001 by half is 15.0015
    assert firn.upload_shares + verlag.upload_shares == 3
    assert (firn.revenue_share, firn.without_revenue_share) == (Decimal("0.45"), 0)
    assert (verlag.revenue_share, verlag.without_revenue_share) == (Decimal(0), 3)


def test_a_withdrawal_lists_the_licences_that_rest_on_it(catalog: Catalog) -> None:
    note(catalog, "u1", day(3, 1))
    note(catalog, "u2", day(3, 2))
    catalog.ledger.note_verdicts([verdict("u2", day(3, 3), "flagged")])  # no longer licensed anyway
    assert [touched.is_allowed for touched in affected(catalog)] == [True]
    catalog.withdraw_term("t-Firn")
    (touched,) = affected(catalog, term_id="t-Firn")
    assert touched.credit.upload_id == "u1"
    assert [found.rightsholder for found in touched.denying] == ["Firn"]
    (other,) = affected(catalog, term_id="t-Verlag")
    assert not other.is_allowed
    assert list(affected(catalog, term_id="t-nobody")) == []
    assert list(affected(catalog, track_id="other")) == []


def test_a_narrower_denial_touches_past_licences_too(catalog: Catalog) -> None:
    note(catalog, "u1", day(3, 1))
    denial = Term(
        term_id="new", rightsholder="Verlag", use=Use.AI_DERIVATIVE, decision=Decision.DENY,
        valid_from=START, track_id="alp", licensee="studio-x",
    )  # fmt: skip
    catalog.record_terms([denial])
    (touched,) = affected(catalog)
    assert [(found.rightsholder, found.term_id) for found in touched.denying] == [("Verlag", "new")]
    before = datetime(2025, 12, 1, tzinfo=UTC)
    assert len(next(affected(catalog, at=before)).denying) == 2  # no term held then
