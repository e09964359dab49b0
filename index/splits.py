"""Who gets which part: exact decimals that sum to exactly 1.

Money follows these numbers, so no binary float takes part. A split is rounded by the method of the
largest remainder: everybody first gets the share rounded down, then the parts that are left over go,
one each, to the largest remainders (between equal remainders: to the first in the order of names). No
party is ever more than one part away from its exact share.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, TypeVar

from soundalike.errors import CatalogError

SHARE_DECIMALS = 12
"""A part is 10^-12 of the whole: of a billion euros, a tenth of a cent."""

Party = TypeVar("Party", bound=Hashable)


@dataclass(frozen=True, slots=True)
class UsedWork:
    """One work that an upload uses: for how many seconds, and who holds it (shares sum to 1)."""

    track_id: str
    matched_s: float
    shares: Mapping[str, Decimal]


def apportion(weights: Mapping[Party, Fraction], *, decimals: int = SHARE_DECIMALS) -> dict[Party, Decimal]:
    """Shares in proportion to `weights`, which sum to exactly 1; keys keep their order.

    >>> apportion({"A": Fraction(1), "B": Fraction(1), "C": Fraction(1)}, decimals=2)
    {'A': Decimal('0.34'), 'B': Decimal('0.33'), 'C': Decimal('0.33')}

    Raises CatalogError if there are no parties, a weight is negative or all are zero.
    """
    total = sum(weights.values(), Fraction(0))
    if total <= 0 or any(weight < 0 for weight in weights.values()):
        raise CatalogError(f"can't split among {dict(weights)}: weights must not be negative, nor all zero")
    parts = 10**decimals
    exact = {party: weight / total * parts for party, weight in weights.items()}
    given = {party: int(share) for party, share in exact.items()}
    by_remainder: list[Any] = sorted(exact, key=lambda party: (given[party] - exact[party], str(party)))
    for party in by_remainder[: parts - sum(given.values())]:
        given[party] += 1
    return {party: Decimal(count).scaleb(-decimals) for party, count in given.items()}


def pro_rata(works: Sequence[UsedWork]) -> dict[str, Decimal]:
    """The split per rightsholder of an upload that uses several works: by matched seconds, then by share.

    Shares sum to exactly 1. Seconds are taken as the exact value of the float that is handed in.
    Raises CatalogError if there is no work, or no second is matched.
    """
    weights: dict[str, Fraction] = {}
    for work in works:
        check_sum(work.shares, of=work.track_id)
        for rightsholder, share in work.shares.items():
            weight = Fraction(work.matched_s) * Fraction(share)
            weights[rightsholder] = weights.get(rightsholder, Fraction(0)) + weight
    return apportion(weights)


def parse_share(text: str) -> Fraction:
    """`0.25`, `.25` or `1/4`: more than 0, at most 1. Raises CatalogError for anything else."""
    try:
        numerator, slash, denominator = text.strip().partition("/")
        share = Fraction(int(numerator), int(denominator)) if slash else Fraction(Decimal(numerator))
    except (ValueError, InvalidOperation, OverflowError, ZeroDivisionError) as error:
        raise CatalogError(f"{text.strip()!r} is not a share; write 0.25 or 1/4") from error
    if not 0 < share <= 1:
        raise CatalogError(f"the share {text.strip()} is not between 0 and 1; write 0.25 or 1/4")
    return share


def check_sum(shares: Mapping[str, Decimal] | Mapping[str, Fraction], *, of: str) -> None:
    """Raises CatalogError unless the shares of the work `of` sum to exactly 1."""
    total = sum((Fraction(share) for share in shares.values()), Fraction(0))
    if total != 1:
        listed = " + ".join(f"{name} {_readable(share)}" for name, share in shares.items())
        raise CatalogError(
            f"the shares of {of} sum to {_readable(total)}, not to 1 ({listed or 'nobody holds any'});"
            " thirds can be written 1/3"
        )


def format_share(share: Decimal) -> str:
    """As the attribution events want it: plain decimals, no exponent, no trailing zeros."""
    text = f"{share:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _readable(share: Decimal | Fraction) -> str:
    """Exact where a short decimal is, else the fraction."""
    exact = Fraction(share)
    decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
    return format_share(decimal) if Fraction(decimal) == exact else str(exact)
