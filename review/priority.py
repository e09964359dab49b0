"""How urgent a case is: expected harm in points, plus age. One pure file, so that it can be argued about.

    harm = certainty 30 + amount 20 + artist's reach 20 + upload's reach 15 + uploader's record 15   (of 100)
    priority = harm + 10 points for every SLA period that the case has waited

Age is linear and without a cap. So the order of two cases never changes while they wait, and the queue
sorts by a stored number, `rank = harm − 10 · opened / SLA`, with an index; and no case can starve: one of
least harm overtakes a fresh one of greatest harm after ten periods.

The weights are a first judgement by reasoning, not measured; `soundalike review export` yields the data to
fit them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

CERTAINTY_POINTS = 30.0
AMOUNT_POINTS = 20.0
ARTIST_REACH_POINTS = 20.0
UPLOAD_REACH_POINTS = 15.0
RECORD_POINTS = 15.0
AGE_POINTS = 10.0

FULL_ARTIST_LISTENERS = 100_000_000.0
"""Monthly listeners that earn all points: the reach of the best-known artists on the large services."""
FULL_UPLOAD_PLAYS = 1_000_000.0

UNKNOWN_REACH = 0.3
"""Of full reach, where nobody said: about 250 listeners or 60 plays. Not zero, or withholding would pay."""

CERTAIN_FALSE_POSITIVE_RATE = 1e-4
"""A match as rare as this among unrelated uploads is as certain as one gets: scores are calibrated on some
thousands of unrelated uploads, and rates below the inverse of that count are extrapolation."""

RECORD_PRIOR = (1.0, 4.0)
"""Beta prior of an uploader's confirmed share: one confirmed in four, so that one case condemns nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """What the harm is computed from. None: unknown."""

    false_positive_rate: float | None
    ai_probability: float | None
    coverage: float | None
    monthly_listeners: int | None
    plays: int | None
    uploader_confirmed: int
    uploader_decided: int


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the table that the case shows."""

    name: str
    points: float
    of: float
    detail: str


def parts(stakes: Stakes) -> tuple[Part, ...]:
    """The addends of harm, with the words that explain each."""
    return (
        _certainty(stakes),
        _amount(stakes),
        _reach("artist's reach", stakes.monthly_listeners, FULL_ARTIST_LISTENERS, ARTIST_REACH_POINTS,
               unit="monthly listeners"),
        _reach("upload's reach", stakes.plays, FULL_UPLOAD_PLAYS, UPLOAD_REACH_POINTS, unit="plays"),
        _record(stakes),
    )  # fmt: skip


def harm(stakes: Stakes) -> float:
    """Expected harm, 0..1."""
    return sum(part.points for part in parts(stakes)) / 100.0


def rank(harm_share: float, opened_at: datetime, *, sla_s: float) -> float:
    """Sorts the queue, highest first; differs from `priority` by the same number for all cases."""
    return 100.0 * harm_share - AGE_POINTS * opened_at.timestamp() / sla_s


def priority(harm_share: float, opened_at: datetime, now: datetime, *, sla_s: float) -> float:
    """Points at `now`, as shown."""
    return rank(harm_share, opened_at, sla_s=sla_s) + AGE_POINTS * now.timestamp() / sla_s


def _certainty(stakes: Stakes) -> Part:
    match, texts = 0.0, []
    if stakes.false_positive_rate is not None:
        rate = min(1.0, max(CERTAIN_FALSE_POSITIVE_RATE, stakes.false_positive_rate))
        match = math.log(rate) / math.log(CERTAIN_FALSE_POSITIVE_RATE)
        texts.append(f"best match: reached by {stakes.false_positive_rate:.2%} of unrelated uploads")
    ai = stakes.ai_probability or 0.0
    if stakes.ai_probability is not None:
        texts.append(f"AI probability {stakes.ai_probability:.0%}")
    points = CERTAINTY_POINTS * max(match, ai)
    return Part("certainty", points, CERTAINTY_POINTS, "; ".join(texts) or "no match and no AI finding")


def _amount(stakes: Stakes) -> Part:
    if stakes.coverage is None:
        return Part("amount reused", 0.0, AMOUNT_POINTS, "nothing matched")
    detail = f"{stakes.coverage:.0%} of the upload"
    return Part("amount reused", AMOUNT_POINTS * stakes.coverage, AMOUNT_POINTS, detail)


def _reach(name: str, count: int | None, full: float, points: float, *, unit: str) -> Part:
    if count is None:
        return Part(name, UNKNOWN_REACH * points, points, f"{unit} unknown: counted as {UNKNOWN_REACH:.0%}")
    share = min(1.0, math.log1p(max(count, 0)) / math.log1p(full))
    return Part(name, share * points, points, f"{count:,} {unit}")


def _record(stakes: Stakes) -> Part:
    confirmed, weight = RECORD_PRIOR
    share = (stakes.uploader_confirmed + confirmed) / (stakes.uploader_decided + weight)
    detail = f"{stakes.uploader_confirmed} of {stakes.uploader_decided} decided flags confirmed"
    return Part("uploader's record", RECORD_POINTS * share, RECORD_POINTS, detail)
