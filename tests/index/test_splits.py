"""Splits: exact, complete and fair to the smallest part."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.splits import UsedWork, apportion, check_sum, format_share, parse_share, pro_rata
from soundalike.errors import CatalogError

weights = st.dictionaries(
    st.text(min_size=1, max_size=5), st.fractions(min_value=0, max_value=1000), min_size=1, max_size=12
).filter(lambda found: sum(found.values()) > 0)


@given(weights, st.integers(min_value=0, max_value=15))
def test_shares_sum_to_exactly_one_and_are_within_one_part_of_fair(
    found: dict[str, Fraction], decimals: int
) -> None:
    shares = apportion(found, decimals=decimals)
    assert list(shares) == list(found)
    assert sum(map(Fraction, shares.values())) == 1
    total = sum(found.values())
    for party, share in shares.items():
        assert abs(Fraction(share) - found[party] / total) < Fraction(1, 10**decimals)
        assert share >= 0


@given(weights)
def test_the_order_of_parties_does_not_change_what_they_get(found: dict[str, Fraction]) -> None:
    assert apportion(dict(reversed(found.items())), decimals=2) == apportion(found, decimals=2)


@given(weights)
def test_nobody_with_a_larger_weight_gets_less(found: dict[str, Fraction]) -> None:
    shares = apportion(found, decimals=3)
    ranked = sorted(found, key=lambda party: found[party])
    for smaller, larger in pairwise(ranked):
        if found[smaller] < found[larger]:
            assert shares[smaller] <= shares[larger]


def test_thirds_leave_the_last_part_to_the_first_name() -> None:
    thirds = {"C": Fraction(1), "A": Fraction(1), "B": Fraction(1)}
    assert apportion(thirds, decimals=2) == {"C": Decimal("0.33"), "A": Decimal("0.34"), "B": Decimal("0.33")}


@pytest.mark.parametrize("bad", [{}, {"A": Fraction(0)}, {"A": Fraction(2), "B": Fraction(-1)}])
def test_nothing_to_split_is_refused(bad: dict[str, Fraction]) -> None:
    with pytest.raises(CatalogError, match="weights"):
        apportion(bad)


def test_several_works_are_split_by_matched_seconds() -> None:
    works = [
        UsedWork("one", 30.0, {"Label": Decimal("0.5"), "Verlag": Decimal("0.5")}),
        UsedWork("two", 10.0, {"Label": Decimal(1)}),
    ]
    assert pro_rata(works) == {"Label": Decimal("0.625"), "Verlag": Decimal("0.375")}


@given(st.lists(st.floats(min_value=0.02, max_value=3600), min_size=1, max_size=8))
def test_any_seconds_split_to_exactly_one(seconds: list[float]) -> None:
    works = [
        UsedWork(f"t{i}", matched_s, {f"H{i % 3}": Decimal("0.7"), "Verlag": Decimal("0.3")})
        for i, matched_s in enumerate(seconds)
    ]
    split = pro_rata(works)
    assert sum(map(Fraction, split.values())) == 1
    assert abs(split["Verlag"] - Decimal("0.3")) <= Decimal("1e-12")


def test_a_work_whose_shares_do_not_sum_is_named() -> None:
    with pytest.raises(CatalogError, match=r"shares of two sum to 0\.9, not to 1 \(Label 0\.9\)"):
        pro_rata([UsedWork("two", 1.0, {"Label": Decimal("0.9")})])
    with pytest.raises(CatalogError, match="weights"):
        pro_rata([])


@pytest.mark.parametrize(
    ("text", "share"), [("0.25", "1/4"), (".25", "1/4"), ("1/3", "1/3"), (" 1 ", "1"), ("1e-1", "1/10")]
)
def test_shares_are_read_exactly(text: str, share: str) -> None:
    assert parse_share(text) == Fraction(share)


@pytest.mark.parametrize(
    "text", ["", "half", "0", "1.01", "-0.5", "1/0", "2/1", "nan", "inf", "50%", "1/2/3", "0x1"]
)
def test_other_shares_are_refused(text: str) -> None:
    with pytest.raises(CatalogError, match=r"write 0\.25 or 1/4"):
        parse_share(text)


def test_shares_must_sum_exactly() -> None:
    check_sum({"A": Fraction(1, 3), "B": Fraction(2, 3)}, of="t")
    with pytest.raises(CatalogError, match="2/3"):
        check_sum({"A": Fraction(1, 3), "B": Fraction(1, 3)}, of="t")
    with pytest.raises(CatalogError, match=r"sum to 0\.99"):
        check_sum({"A": Decimal("0.33"), "B": Decimal("0.66")}, of="t")


@pytest.mark.parametrize(
    ("share", "text"),
    [("0.500000000000", "0.5"), ("1.000", "1"), ("1E-7", "0.0000001"), ("0", "0"), ("10", "10")],
)
def test_shares_are_written_plainly(share: str, text: str) -> None:
    assert format_share(Decimal(share)) == text
