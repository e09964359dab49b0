"""What a month of licensed uses owes to whom: exact totals per rightsholder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from index.ledger import Credit
from index.splits import SHARE_DECIMALS

PRECISION = 60
"""Digits in sums: no month has so many uploads that one of them would be rounded."""

TermShares = Mapping[tuple[str, int], Decimal | None]
"""(term id, version) → the part of the revenue that it asks for, None where none was agreed."""


@dataclass(frozen=True, slots=True)
class Line:
    """One rightsholder's month.

    uploads, works: how many it takes part in. matched_s: seconds of uploads, times its share of each work.
    upload_shares: the sum of its splits; over all rightsholders that is the number of uploads.
    revenue_share: of each upload's revenue, what the terms ask for its part, summed over the uploads whose
        terms say so; without_revenue_share: works whose term leaves that open.
    """

    month: str
    rightsholder: str
    uploads: int
    works: int
    matched_s: Decimal
    upload_shares: Decimal
    revenue_share: Decimal
    without_revenue_share: int
    terms: str


def statement(month: str, credits: Iterable[Credit], *, term_shares: TermShares) -> list[Line]:
    """One line for each rightsholder, by name."""
    totals: dict[str, _Total] = {}
    with localcontext() as context:
        context.prec = PRECISION
        for credit in credits:
            _add(totals, credit.document, term_shares)
        return [
            Line(
                month=month,
                rightsholder=name,
                uploads=total.uploads,
                works=len(total.works),
                matched_s=total.matched_s.quantize(Decimal("0.001")),
                upload_shares=total.upload_shares,
                revenue_share=total.revenue_share.quantize(Decimal(1).scaleb(-SHARE_DECIMALS)),
                without_revenue_share=total.without,
                terms=" ".join(sorted(total.terms)),
            )
            for name, total in sorted(totals.items())
        ]


class _Total:
    def __init__(self) -> None:
        self.uploads = 0
        self.works: set[str] = set()
        self.matched_s = Decimal(0)
        self.upload_shares = Decimal(0)
        self.revenue_share = Decimal(0)
        self.without = 0
        self.terms: set[str] = set()


def _add(totals: dict[str, _Total], document: Mapping[str, Any], term_shares: TermShares) -> None:
    for split in document["splits"]:
        total = totals.setdefault(split["rightsholder"], _Total())
        total.uploads += 1
        total.upload_shares += Decimal(split["share"])
    for work in document.get("works") or ():
        terms = {term["rightsholder"]: (term["term_id"], term["term_version"]) for term in work["terms"]}
        for split in work["splits"]:
            total = totals.setdefault(split["rightsholder"], _Total())
            share = Decimal(split["share"])
            total.works.add(work["track_id"])
            total.matched_s += Decimal(str(work["matched_s"])) * share
            term = terms.get(split["rightsholder"])
            asked = None if term is None else term_shares.get(term)
            if asked is None:
                total.without += 1
            else:
                total.revenue_share += Decimal(work["share"]) * share * asked
            if term is not None:
                total.terms.add(f"{term[0]}@{term[1]}")
