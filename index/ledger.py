"""The ledger of licensed uses: what each licensed verdict credited, and whether the verdict still stands.

It is noted from the topics `verdicts` and `attributions`, beside the catalog: no generation is raised. Each
event is kept once by its id. The verdicts of an upload are kept from its first licence on, so that a later
one that takes the licence back is known too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, select

from index.consents import IDS_PER_QUERY
from index.database import Database
from index.tables import attribution_terms, attributions, judgements

LICENSED = "licensed"


@dataclass(frozen=True, slots=True)
class Judged:
    """One verdict on an upload. judged_at: the time of its event."""

    event_id: str
    upload_id: str
    judged_at: datetime
    verdict: str
    generation: int


@dataclass(frozen=True, slots=True)
class TermUsed:
    """That a rightsholder of a used track allowed it by this version of this term."""

    track_id: str
    rightsholder: str
    term_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Credit:
    """One attribution event. document: its payload, as it was told. verdict_id: the verdict it belongs to."""

    event_id: str
    verdict_id: str
    upload_id: str
    judged_at: datetime
    document: dict[str, Any]
    terms: tuple[TermUsed, ...] = ()


@dataclass(frozen=True, slots=True)
class Month:
    """What a month's statement rests on. missing: uploads that count but whose credit is not there."""

    credits: tuple[Credit, ...]
    missing: tuple[str, ...]


class Ledger:
    """Of one catalog; `index.catalog.Catalog.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note_verdicts(self, judged: Iterable[Judged]) -> int:
        """Keeps those that are licensed, or that follow a licence of the same upload; returns how many."""
        kept = 0
        with self._database.note() as connection:
            for one in judged:
                if _has(connection, judgements, one.event_id):
                    continue
                known = select(judgements.c.event_id).where(judgements.c.upload_id == one.upload_id)
                if one.verdict != LICENSED and connection.execute(known).first() is None:
                    continue
                connection.execute(
                    judgements.insert().values(
                        event_id=one.event_id,
                        upload_id=one.upload_id,
                        judged_at=one.judged_at,
                        verdict=one.verdict,
                        generation=one.generation,
                    )
                )
                kept += 1
        return kept

    def note_credits(self, credited: Iterable[Credit]) -> int:
        """Keeps each once; returns how many were new."""
        kept = 0
        with self._database.note() as connection:
            for one in credited:
                if _has(connection, attributions, one.event_id):
                    continue
                connection.execute(
                    attributions.insert().values(
                        event_id=one.event_id,
                        verdict_id=one.verdict_id,
                        upload_id=one.upload_id,
                        judged_at=one.judged_at,
                        document=one.document,
                    )
                )
                rows = {(used.track_id, used.rightsholder, used.term_id): used.version for used in one.terms}
                if rows:
                    connection.execute(
                        attribution_terms.insert(),
                        [
                            {
                                "event_id": one.event_id,
                                "track_id": track_id,
                                "rightsholder": rightsholder,
                                "term_id": term_id,
                                "version": version,
                            }
                            for (track_id, rightsholder, term_id), version in rows.items()
                        ],
                    )
                kept += 1
        return kept

    def standing(self, *, term_id: str | None = None, track_id: str | None = None) -> Iterator[Credit]:
        """Credits of the licensed verdicts that stand today, oldest first.

        With a term or a track: those that rest on it.
        """
        query = select(attributions).order_by(attributions.c.judged_at, attributions.c.event_id)
        if term_id is not None or track_id is not None:
            resting = select(attribution_terms.c.event_id)
            if term_id is not None:
                resting = resting.where(attribution_terms.c.term_id == term_id)
            if track_id is not None:
                resting = resting.where(attribution_terms.c.track_id == track_id)
            query = query.where(attributions.c.event_id.in_(resting))
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            newest = _newest_verdicts(connection, {row.upload_id for row in rows})
            for row in rows:
                if newest.get(row.upload_id, row.verdict_id) == row.verdict_id:
                    yield _to_credit(connection, row)

    def month(self, year: int, month: int) -> Month:
        """The uploads that count in a calendar month (UTC), each with the credit that counts.

        An upload counts once: in the first month at whose end it stands licensed, by its last verdict of
        that month. What happens later never changes a month that is over.
        """
        begin = datetime(year, month, 1, tzinfo=UTC)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        judged_then = select(judgements.c.upload_id).where(
            judgements.c.judged_at >= begin, judgements.c.judged_at < end
        )
        query = (
            select(judgements)
            .where(judgements.c.upload_id.in_(judged_then), judgements.c.judged_at < end)
            .order_by(judgements.c.upload_id, judgements.c.judged_at, judgements.c.event_id)
        )
        with self._database.read() as connection:
            counted = {
                upload_id: verdict_id
                for upload_id, rows in groupby(connection.execute(query), key=lambda row: row.upload_id)
                if (verdict_id := _counting_verdict(list(rows), begin)) is not None
            }
            found = {
                credit.upload_id: credit
                for chunk in _chunks(sorted(counted.values()))
                for row in connection.execute(
                    select(attributions).where(attributions.c.verdict_id.in_(chunk))
                ).all()
                for credit in [_to_credit(connection, row)]
            }
        return Month(
            credits=tuple(found[upload_id] for upload_id in sorted(found)),
            missing=tuple(sorted(counted.keys() - found.keys())),
        )


def _counting_verdict(rows: list[Row[Any]], begin: datetime) -> str | None:
    """The id of the verdict by which the upload counts in the month that begins then; None if it does not."""
    for (year, month), verdicts in groupby(rows, key=lambda row: (row.judged_at.year, row.judged_at.month)):
        last = list(verdicts)[-1]
        if last.verdict == LICENSED:
            return str(last.event_id) if (year, month) == (begin.year, begin.month) else None
    return None


def _newest_verdicts(connection: Connection, upload_ids: Collection[str]) -> dict[str, str]:
    """Upload → id of its newest verdict, for those of which any is known."""
    newest: dict[str, str] = {}
    for chunk in _chunks(sorted(upload_ids)):
        query = (
            select(judgements.c.upload_id, judgements.c.event_id)
            .where(judgements.c.upload_id.in_(chunk))
            .order_by(judgements.c.judged_at, judgements.c.event_id)
        )
        newest.update({row.upload_id: row.event_id for row in connection.execute(query)})
    return newest


def _has(connection: Connection, table: Any, event_id: str) -> bool:
    return (
        connection.execute(select(table.c.event_id).where(table.c.event_id == event_id)).first() is not None
    )


def _to_credit(connection: Connection, row: Row[Any]) -> Credit:
    used = connection.execute(select(attribution_terms).where(attribution_terms.c.event_id == row.event_id))
    terms = tuple(TermUsed(one.track_id, one.rightsholder, one.term_id, one.version) for one in used)
    return Credit(row.event_id, row.verdict_id, row.upload_id, row.judged_at, row.document, terms)


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), IDS_PER_QUERY):
        yield items[start : start + IDS_PER_QUERY]
