"""How well the desk decides: agreement, accuracy on golden cases, precision of the flags, overturns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Connection, desc, func, select

from pipeline.evidence import Evidence
from review.reasons import label_of
from review.tables import appeals, cases, flags, golden, opinions, outcomes


@dataclass(frozen=True, slots=True)
class Precision:
    """Of the decided flags that one rule raised. share is None when none was decided."""

    rule: str
    confirmed: int
    decided: int
    share: float | None


@dataclass(frozen=True, slots=True)
class ReasonPrecision:
    """How the decisions for one reason fared: those that still stand, of all that were made.

    overturned: by an appeal, or by a later decision of the other kind. share is None when none was made.
    """

    action: str
    code: str
    label: str
    decided: int
    overturned: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Workload:
    """One reviewer's judgements, and in how many of the second opinions they agreed."""

    reviewer: str
    judged: int
    in_pairs: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One reviewer on golden cases."""

    reviewer: str
    right: int
    answered: int


@dataclass(frozen=True, slots=True)
class Quality:
    """pairs: cases with two independent opinions. kappa: None with too few pairs, or all in one class."""

    pairs: int
    agreed: int
    kappa: float | None
    precision: tuple[Precision, ...]
    reasons: tuple[ReasonPrecision, ...]
    workload: tuple[Workload, ...]
    accuracy: tuple[Accuracy, ...]
    appeals: int
    overturned: int
    decisions: int


def measure(connection: Connection) -> Quality:
    judged = _judged_twice(connection)
    pairs = [(first.action, second.action) for first, second in judged]
    results = Counter(connection.execute(select(appeals.c.result)).scalars())
    return Quality(
        pairs=len(pairs),
        agreed=sum(first == second for first, second in pairs),
        kappa=cohens_kappa(pairs),
        precision=_precision(connection),
        reasons=_reasons(connection),
        workload=_workload(connection, judged),
        accuracy=_accuracy(connection),
        appeals=sum(results.values()),
        overturned=results["overturned"],
        decisions=connection.execute(
            select(func.count()).select_from(outcomes).where(outcomes.c.undone_at.is_(None))
        ).scalar_one(),
    )


def cohens_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen (1960): agreement beyond what the two raters' own rates would give by chance.

    None without pairs, or when chance alone explains everything (both always said the same one thing).
    """
    if not pairs:
        return None
    count = len(pairs)
    observed = sum(first == second for first, second in pairs) / count
    firsts, seconds = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    chance = sum(firsts[name] * seconds[name] for name in firsts) / count**2
    return None if chance >= 1.0 else (observed - chance) / (1.0 - chance)


def labels(connection: Connection) -> Iterator[dict[str, JsonValue]]:
    """Labelled data for re-calibration: one document for each decided upload, by the decision that stands."""
    newest = (
        select(outcomes.c.upload_id, func.max(outcomes.c.revision).label("revision"))
        .where(outcomes.c.undone_at.is_(None), outcomes.c.decision != "escalate")
        .group_by(outcomes.c.upload_id)
        .subquery()
    )
    query = (
        select(outcomes, flags.c.evidence, flags.c.event_id)
        .join(
            newest, (newest.c.upload_id == outcomes.c.upload_id) & (newest.c.revision == outcomes.c.revision)
        )
        .join(cases, cases.c.case_id == outcomes.c.case_id)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .order_by(outcomes.c.created_at, outcomes.c.upload_id)
        .execution_options(yield_per=500)
    )
    with connection.execute(query) as rows:
        for row in rows:
            yield _label(row)


def _label(row: Any) -> dict[str, JsonValue]:
    evidence = Evidence.model_validate_json(row.evidence)
    return {
        "upload_id": row.upload_id,
        "flag_id": row.event_id,
        "label": "positive" if row.decision == "confirm" else "negative",
        "decision": row.decision,
        "reason_code": row.reason_code,
        "decided_at": row.created_at.isoformat(),
        "rule": evidence.rule,
        "audio_sha256": evidence.audio.sha256,
        "matches": [match.model_dump(mode="json") for match in evidence.matches],
        "ai_probability": evidence.ai.probability if evidence.ai.known else None,
        "policy": evidence.policy.model_dump(mode="json"),
        "index_generation": evidence.index.generation,
        "models": [model.model_dump(mode="json") for model in evidence.models],
    }


def _judged_twice(connection: Connection) -> list[tuple[Any, Any]]:
    """First and second opinion of every case that was judged twice; escalations are no judgement."""
    rows = connection.execute(
        select(opinions.c.case_id, opinions.c.round, opinions.c.action, opinions.c.reviewer)
        .where(opinions.c.undone_at.is_(None), opinions.c.action.in_(("confirm", "dismiss")))
        .where(opinions.c.round.in_(("first", "second")))
        .order_by(opinions.c.opinion_id)
    )
    judged: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in rows:
        judged[row.case_id][row.round] = row
    return [(both["first"], both["second"]) for both in judged.values() if len(both) == 2]


def _workload(connection: Connection, judged: Sequence[tuple[Any, Any]]) -> tuple[Workload, ...]:
    rows = connection.execute(
        select(opinions.c.reviewer, func.count().label("judged"))
        .where(opinions.c.undone_at.is_(None), opinions.c.round != "golden")
        .group_by(opinions.c.reviewer)
    ).all()
    in_pairs: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    for pair in judged:
        for opinion in pair:
            in_pairs[opinion.reviewer] += 1
            agreed[opinion.reviewer] += pair[0].action == pair[1].action
    return tuple(
        Workload(row.reviewer, int(row.judged), in_pairs[row.reviewer], agreed[row.reviewer])
        for row in sorted(rows, key=lambda row: (-row.judged, row.reviewer))
    )


def _reasons(connection: Connection) -> tuple[ReasonPrecision, ...]:
    """Every judgement is compared with what stands for its upload in the end."""
    stands: dict[str, str] = {}
    made: list[Any] = []
    rows = connection.execute(
        select(outcomes.c.upload_id, outcomes.c.decision, outcomes.c.reason_code)
        .where(outcomes.c.undone_at.is_(None), outcomes.c.decision.in_(("confirm", "dismiss", "overturn")))
        .order_by(outcomes.c.upload_id, outcomes.c.revision)
    )
    for row in rows:
        made.append(row)
        stands[row.upload_id] = _side(row.decision)
    decided: Counter[tuple[str, str]] = Counter()
    overturned: Counter[tuple[str, str]] = Counter()
    for row in made:
        reason = (_side(row.decision), row.reason_code)
        decided[reason] += 1
        overturned[reason] += stands[row.upload_id] != reason[0]
    return tuple(
        ReasonPrecision(
            action, code, label_of(action, code), count, overturned[action, code],
            (count - overturned[action, code]) / count,
        )
        for (action, code), count in sorted(decided.items())
    )  # fmt: skip


def _side(decision: str) -> str:
    return "confirm" if decision == "confirm" else "dismiss"


def _precision(connection: Connection) -> tuple[Precision, ...]:
    newest = (
        select(outcomes.c.upload_id, func.max(outcomes.c.revision).label("revision"))
        .where(outcomes.c.undone_at.is_(None), outcomes.c.decision != "escalate")
        .group_by(outcomes.c.upload_id)
        .subquery()
    )
    rows = connection.execute(
        select(cases.c.rule, outcomes.c.decision, func.count().label("uploads"))
        .join(
            newest, (newest.c.upload_id == outcomes.c.upload_id) & (newest.c.revision == outcomes.c.revision)
        )
        .join(cases, cases.c.case_id == outcomes.c.case_id)
        .group_by(cases.c.rule, outcomes.c.decision)
    )
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        counted[row.rule][row.decision] += row.uploads
    return tuple(
        Precision(rule, count["confirm"], count.total(), count["confirm"] / count.total())
        for rule, count in sorted(counted.items())
    )


def _accuracy(connection: Connection) -> tuple[Accuracy, ...]:
    rows = connection.execute(
        select(opinions.c.reviewer, opinions.c.action, golden.c.action.label("answer"))
        .join(cases, cases.c.case_id == opinions.c.case_id)
        .join(golden, golden.c.case_id == cases.c.golden_of)
        .where(opinions.c.round == "golden", opinions.c.undone_at.is_(None))
        .order_by(desc(opinions.c.opinion_id))
    )
    right: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    for row in rows:
        answered[row.reviewer] += 1
        right[row.reviewer] += row.action == row.answer
    return tuple(Accuracy(name, right[name], answered[name]) for name in sorted(answered))
