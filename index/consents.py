"""Terms, rightsholders and accounts in SQL: what was agreed, by whom, and who speaks for whom.

Functions over an open transaction of `index.database`; `index.catalog.Catalog` is their front. Nothing
recorded is ever changed: a new version of a term is a new row, and an unlinked account keeps its row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, or_, select

from index.database import Writing
from index.tables import accounts, rightsholders, terms
from index.terms import Decision, Term, Use, check_name, check_term, newest_versions
from soundalike.errors import CatalogError

IDS_PER_QUERY = 500
"""SQLite before 3.32 takes 999 parameters in one statement."""


@dataclass(frozen=True, slots=True)
class Account:
    """An uploader account that speaks for a rightsholder."""

    account: str
    rightsholder: str
    recorded_at: datetime


def rightsholder_ids(writing: Writing, names: Iterable[str]) -> dict[str, int]:
    """The numbers of the rightsholders; those of a new name are given one."""
    wanted = sorted(set(names))
    found: dict[str, int] = {}
    for chunk in _chunks(wanted):
        rows = writing.connection.execute(
            select(rightsholders.c.name, rightsholders.c.rightsholder_id).where(
                rightsholders.c.name.in_(chunk)
            )
        )
        found.update({row.name: row.rightsholder_id for row in rows})
    for name in wanted:
        if name not in found:
            key = writing.connection.execute(
                rightsholders.insert().values(name=name, recorded_at=writing.at)
            ).inserted_primary_key
            assert key is not None
            found[name] = key[0]
    return found


def record_terms(writing: Writing, new: Sequence[Term], *, supersede: bool) -> list[Term]:
    """Records the terms as they are, or with `supersede` as the next version of those that exist.

    A version may change everything but whom and what the term is about (rightsholder, track, use): that would
    be another term. Raises CatalogError, and then nothing is recorded.
    """
    seen: set[str] = set()
    for term in new:
        check_term(term)
        if term.term_id in seen:
            raise CatalogError(f"term {term.term_id} comes twice in one batch; give each term its own id")
        seen.add(term.term_id)
    existing = {term.term_id: term for term in newest_versions(with_ids(writing.connection, sorted(seen)))}
    recorded = [
        replace(term, version=_next_version(term, existing, supersede=supersede), recorded_at=writing.at)
        for term in new
    ]
    insert_versions(writing, recorded)
    return recorded


def insert_versions(writing: Writing, recorded: Sequence[Term]) -> None:
    """Writes the terms with the versions that they carry."""
    holders = rightsholder_ids(writing, (term.rightsholder for term in recorded))
    if recorded:
        writing.connection.execute(
            terms.insert(), [_to_row(term, rightsholder_id=holders[term.rightsholder]) for term in recorded]
        )


def withdraw_term(writing: Writing, term_id: str, *, at: datetime) -> Term:
    """Ends the term at `at` by a new version; one that had not begun yet never begins."""
    found = newest_versions(with_ids(writing.connection, [term_id]))
    if not found:
        raise CatalogError(f"there is no term {term_id}; `soundalike catalog terms list` shows all")
    term = found[0]
    end = at if term.valid_until is None else min(at, term.valid_until)
    ended = replace(term, valid_until=max(end, term.valid_from))
    return record_terms(writing, [ended], supersede=True)[0]


def terms_for(
    connection: Connection, *, rightsholders_named: Collection[str], track_id: str, use: Use
) -> list[Term]:
    """All versions of all terms that could speak of this use of this track: one indexed look-up."""
    query = _select_terms().where(
        rightsholders.c.name.in_(rightsholders_named),
        terms.c.use == use.value,
        or_(terms.c.track_id.is_(None), terms.c.track_id == track_id),
    )
    return [_to_term(row) for row in connection.execute(query)]


def all_terms(connection: Connection, *, rightsholder: str | None = None) -> list[Term]:
    """All versions, by id and version."""
    query = _select_terms().order_by(terms.c.term_id, terms.c.version)
    if rightsholder is not None:
        query = query.where(rightsholders.c.name == rightsholder)
    return [_to_term(row) for row in connection.execute(query)]


def link_account(writing: Writing, account: str, *, rightsholder: str) -> None:
    """Raises CatalogError if the account already speaks for that rightsholder."""
    check_name(account, what="the account")
    check_name(rightsholder, what="the rightsholder")
    if rightsholder in speaks_for(writing.connection, account):
        raise CatalogError(f"the account {account} already speaks for {rightsholder}")
    holder = rightsholder_ids(writing, [rightsholder])[rightsholder]
    writing.connection.execute(
        accounts.insert().values(account=account, rightsholder_id=holder, recorded_at=writing.at)
    )


def unlink_account(writing: Writing, account: str, *, rightsholder: str) -> None:
    """Raises CatalogError if the account does not speak for that rightsholder."""
    holder = (
        select(rightsholders.c.rightsholder_id).where(rightsholders.c.name == rightsholder).scalar_subquery()
    )
    ended = writing.connection.execute(
        accounts.update()
        .where(
            accounts.c.account == account,
            accounts.c.rightsholder_id == holder,
            accounts.c.removed_at.is_(None),
        )
        .values(removed_at=writing.at)
    )
    if ended.rowcount == 0:
        raise CatalogError(f"the account {account} does not speak for {rightsholder}; nothing to end")


def speaks_for(connection: Connection, account: str, *, known_at: datetime | None = None) -> frozenset[str]:
    """The rightsholders that the account speaks for, now or as was on record at `known_at`."""
    query = _select_accounts(known_at).where(accounts.c.account == account)
    return frozenset(row.name for row in connection.execute(query))


def all_accounts(connection: Connection) -> list[Account]:
    query = _select_accounts(None).order_by(accounts.c.account, rightsholders.c.name)
    return [Account(row.account, row.name, row.recorded_at) for row in connection.execute(query)]


def is_rightsholder(connection: Connection, name: str) -> bool:
    return (
        connection.execute(select(rightsholders.c.name).where(rightsholders.c.name == name)).first()
        is not None
    )


def _next_version(term: Term, existing: dict[str, Term], *, supersede: bool) -> int:
    before = existing.get(term.term_id)
    if before is None:
        return 1
    if not supersede:
        raise CatalogError(
            f"there is a term {term.term_id} already (version {before.version}); take another id,"
            " or record this one as its new version"
        )
    check_same_subject(before, term)
    return before.version + 1


def check_same_subject(before: Term, term: Term) -> None:
    """Raises CatalogError if a new version speaks of somebody or something else: it is another term then."""
    if (before.rightsholder, before.track_id, before.use) != (term.rightsholder, term.track_id, term.use):
        raise CatalogError(
            f"a new version of term {term.term_id} must keep its rightsholder ({before.rightsholder}),"
            f" track ({before.track_id or 'all'}) and use ({before.use}); withdraw it and record another term"
        )


def with_ids(connection: Connection, term_ids: Sequence[str]) -> Iterator[Term]:
    """All versions of the terms of these ids."""
    for chunk in _chunks(term_ids):
        yield from where(connection, terms.c.term_id.in_(chunk))


def where(connection: Connection, condition: ColumnElement[bool]) -> Iterator[Term]:
    """All versions of all terms that meet a condition on `index.tables.terms`."""
    return (_to_term(row) for row in connection.execute(_select_terms().where(condition)))


def _select_terms() -> Select[Any]:
    return select(terms, rightsholders.c.name).join(
        rightsholders, rightsholders.c.rightsholder_id == terms.c.rightsholder_id
    )


def _select_accounts(known_at: datetime | None) -> Select[Any]:
    query = select(accounts, rightsholders.c.name).join(
        rightsholders, rightsholders.c.rightsholder_id == accounts.c.rightsholder_id
    )
    if known_at is None:
        return query.where(accounts.c.removed_at.is_(None))
    return query.where(
        accounts.c.recorded_at <= known_at,
        or_(accounts.c.removed_at.is_(None), accounts.c.removed_at > known_at),
    )


def _to_term(row: Row[Any]) -> Term:
    return Term(
        term_id=row.term_id,
        version=row.version,
        rightsholder=row.name,
        track_id=row.track_id,
        use=Use(row.use),
        decision=Decision(row.decision),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        territories=tuple(row.territories),
        licensee=row.licensee,
        reference=row.reference,
        revenue_share=row.revenue_share,
        share_terms=row.share_terms,
        recorded_at=row.recorded_at,
    )


def _to_row(term: Term, *, rightsholder_id: int) -> dict[str, object]:
    return {
        "term_id": term.term_id,
        "version": term.version,
        "rightsholder_id": rightsholder_id,
        "track_id": term.track_id,
        "use": term.use.value,
        "decision": term.decision.value,
        "valid_from": term.valid_from,
        "valid_until": term.valid_until,
        "territories": list(term.territories),
        "licensee": term.licensee,
        "reference": term.reference,
        "revenue_share": term.revenue_share,
        "share_terms": term.share_terms,
        "recorded_at": term.recorded_at,
    }


def _chunks(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), IDS_PER_QUERY):
        yield items[start : start + IDS_PER_QUERY]
