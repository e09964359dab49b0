"""`soundalike catalog terms` and `catalog account`: what was agreed, and who speaks for whom."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from index.splits import SHARE_DECIMALS, format_share, parse_share
from index.terms import Decision, Term, Use, clean_name
from soundalike.commands.catalog_options import CatalogUrl, Data, open_catalog
from soundalike.errors import SettingsError, UnknownTrack

if TYPE_CHECKING:
    from index.catalog import Catalog

terms = typer.Typer(
    help="What rightsholders allow and deny. Where no term speaks, the answer is no.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
account = typer.Typer(
    help="Uploader accounts that speak for a rightsholder: their own uploads are not flagged.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines, one document per entry.")]


@terms.command("add")
def add_term(
    *,
    rightsholder: Annotated[str, typer.Option(metavar="NAME", help="Whose term it is.")],
    use: Annotated[Use, typer.Option(help="What it is about.")],
    allow: Annotated[bool, typer.Option("--allow/--deny", help="What it says.", show_default=False)],
    track: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Only this track; default: all works of the rightsholder."),
    ] = None,
    licensee: Annotated[
        str | None,
        typer.Option(
            metavar="WHO",
            help="Only this uploader account, or distributor:NAME, ai-tool:NAME, or licence:REF for whoever"
            " quotes REF on the upload; default: anybody.",
        ),
    ] = None,
    territory: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Only there, as DE or US; repeat for several. Default: the world."),
    ] = None,
    valid_from: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="First day (UTC), or an instant; default: now."),
    ] = None,
    valid_until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="DATE", help="Last day (UTC), or the instant of its end; default: open."
        ),
    ] = None,
    reference: Annotated[
        str, typer.Option(metavar="TEXT", help="The contract or letter it comes from.")
    ] = "",
    revenue_share: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Part of the upload's revenue that it asks for, as 0.25 or 1/4."),
    ] = None,
    share_terms: Annotated[
        str, typer.Option(metavar="TEXT", help="What else was agreed about payment.")
    ] = "",
    term_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Its id; default: one is made.", show_default=False)
    ] = None,
    new_version: Annotated[
        bool, typer.Option("--new-version", help="Supersede the term that has this id; its history stays.")
    ] = False,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Record what a rightsholder allows or denies.

    The most specific term wins (a track over all works, a named licensee over anybody, named territories
    over the world); between equals a deny wins.

    Examples:

        soundalike catalog terms add --rightsholder Firn --use ai_derivative --allow --licensee studio-x

        soundalike catalog terms add --rightsholder Firn --use verbatim_use --deny --track alpenglow

        soundalike catalog terms add --rightsholder Verlag --use ai_training --allow --territory DE
        --from 2026-01-01 --until 2026-12-31 --reference "contract 17"
    """
    if new_version and term_id is None:
        raise typer.BadParameter("say which term gets a new version", param_hint="--term-id")
    term = Term(
        term_id=term_id or f"term-{uuid.uuid4().hex[:12]}",
        rightsholder=clean_name(rightsholder),
        use=use,
        decision=Decision.ALLOW if allow else Decision.DENY,
        valid_from=datetime.now(UTC) if valid_from is None else parse_instant(valid_from, option="--from"),
        valid_until=None
        if valid_until is None
        else parse_instant(valid_until, option="--until", end_of_day=True),
        track_id=None if track is None else clean_name(track),
        territories=tuple(dict.fromkeys(territory or ())),
        licensee=None if licensee is None else clean_name(licensee),
        reference=reference,
        revenue_share=None if revenue_share is None else _revenue_share(revenue_share),
        share_terms=share_terms,
    )
    with open_catalog(data, catalog_url, create=True) as catalog:
        _warn_if_it_speaks_of_nothing(catalog, term)
        recorded = catalog.record_terms([term], supersede=new_version)[0]
    typer.echo(f"recorded {describe(recorded)}")


@terms.command("withdraw")
def withdraw(
    term_id: Annotated[str, typer.Argument(metavar="TERM_ID", help="As `terms list` shows it.")],
    at: Annotated[
        str | None, typer.Option(metavar="DATE", help="From when it no longer holds; default: now.")
    ] = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """End a term. Uploads that come later are judged without it; its history stays.

    Example:

        soundalike catalog terms withdraw term-5f0c6a3b9d21
    """
    with open_catalog(data, catalog_url) as catalog:
        ended = catalog.withdraw_term(term_id, at=None if at is None else parse_instant(at, option="--at"))
    typer.echo(f"withdrew {describe(ended)}")


@terms.command("list")
def list_terms(
    *,
    rightsholder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only the terms of this one.")
    ] = None,
    known_at: Annotated[
        str | None,
        typer.Option("--as-of", metavar="DATE", help="As they were on record then (end of that day)."),
    ] = None,
    history: Annotated[bool, typer.Option("--history", help="All versions, also those superseded.")] = False,
    as_json: AsJson = False,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Show what was agreed.

    Examples:

        soundalike catalog terms list --rightsholder "Firn Records"

        soundalike catalog terms list --as-of 2026-03-31
    """
    known = None if known_at is None else parse_instant(known_at, option="--as-of", end_of_day=True)
    with open_catalog(data, catalog_url) as catalog:
        holder = None if rightsholder is None else clean_name(rightsholder)
        found = catalog.terms(rightsholder=holder, known_at=known, history=history)
    for term in found:
        typer.echo(json.dumps(_document(term), ensure_ascii=False) if as_json else describe(term))
    if not found and not as_json:
        of = "" if rightsholder is None else f" of {rightsholder}"
        then = "" if known_at is None else f" on record by {known_at}"
        typer.echo(
            f"No terms{of}{then}: every use is denied. `soundalike catalog terms add --help` shows how to"
            " allow one."
        )


@account.command("add")
def add_account(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account, as upload events name it.")],
    rightsholder: Annotated[str, typer.Argument(metavar="RIGHTSHOLDER", help="Whom it speaks for.")],
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Let an uploader account speak for a rightsholder.

    Example:

        soundalike catalog account add firn-uploads "Firn Records"
    """
    name, rightsholder = clean_name(name), clean_name(rightsholder)
    with open_catalog(data, catalog_url, create=True) as catalog:
        if not catalog.is_rightsholder(rightsholder):
            _note(f"no track names the rightsholder {rightsholder!r} yet")
        catalog.link_account(name, rightsholder=rightsholder)
    typer.echo(f"the account {name} speaks for {rightsholder}")


@account.command("remove")
def remove_account(
    name: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    rightsholder: Annotated[str, typer.Argument(metavar="RIGHTSHOLDER")],
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Stop an uploader account from speaking for a rightsholder."""
    name, rightsholder = clean_name(name), clean_name(rightsholder)
    with open_catalog(data, catalog_url) as catalog:
        catalog.unlink_account(name, rightsholder=rightsholder)
    typer.echo(f"the account {name} no longer speaks for {rightsholder}")


@account.command("list")
def list_accounts(as_json: AsJson = False, data: Data = None, catalog_url: CatalogUrl = None) -> None:
    """Show which account speaks for whom."""
    with open_catalog(data, catalog_url) as catalog:
        found = catalog.accounts()
    for one in found:
        if as_json:
            entry = {
                "account": one.account,
                "rightsholder": one.rightsholder,
                "since": one.recorded_at.isoformat(),
            }
            typer.echo(json.dumps(entry, ensure_ascii=False))
        else:
            typer.echo(f"{one.account}  speaks for  {one.rightsholder}")
    if not found and not as_json:
        typer.echo("No account speaks for anybody. `soundalike catalog account add` links one.")


def parse_instant(text: str, *, option: str, end_of_day: bool = False) -> datetime:
    """`2026-03-31` (its start in UTC, or its end) or `2026-03-31T12:00+02:00`. Raises SettingsError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise SettingsError(
                f"{option}: {text!r} is no date; write 2026-03-31 or 2026-03-31T12:00+00:00"
            ) from None
        if instant.tzinfo is None:
            raise SettingsError(f"{option}: {text} has no time zone; write {text}+00:00 for UTC") from None
        return instant
    midnight = datetime.combine(day, time(), tzinfo=UTC)
    try:
        return midnight + timedelta(days=1) if end_of_day else midnight
    except OverflowError:
        raise SettingsError(f"{option}: {text} is too far away; leave it out for an open end") from None


def describe(term: Term) -> str:
    """One term as one line for people."""
    until = "" if term.valid_until is None else f" until {term.valid_until:%Y-%m-%d %H:%M}"
    parts = [
        f"{term.term_id} version {term.version}: {term.rightsholder}",
        "allows" if term.decision is Decision.ALLOW else "denies",
        term.use.value,
        "of all works" if term.track_id is None else f"of track {term.track_id}",
        f"to {term.licensee or 'anybody'}",
        f"in {', '.join(term.territories) or 'the world'}",
        f"from {term.valid_from:%Y-%m-%d %H:%M}{until} UTC",
    ]
    if term.revenue_share is not None:
        parts.append(f"for {format_share(term.revenue_share)} of the revenue")
    notes = [text for text in (term.share_terms, term.reference) if text]
    return " ".join(parts) + (f" ({'; '.join(notes)})" if notes else "")


def _revenue_share(text: str) -> Decimal:
    """`0.25` or `1/4`; a fraction without a short decimal is rounded to 12 places."""
    exact = parse_share(text)
    return (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(
        Decimal(1).scaleb(-SHARE_DECIMALS)
    )


def _warn_if_it_speaks_of_nothing(catalog: Catalog, term: Term) -> None:
    """Terms may come before their tracks, so this is a note and no error: but a misspelt name is seen."""
    if not catalog.is_rightsholder(term.rightsholder):
        _note(f"no track names the rightsholder {term.rightsholder!r} yet")
    elif term.track_id is not None:
        try:
            held = {right.rightsholder for right in catalog.rights_of(term.track_id)}
        except UnknownTrack:
            _note(f"the catalog holds no track {term.track_id!r} yet")
        else:
            if term.rightsholder not in held:
                _note(f"{term.rightsholder} holds no share of track {term.track_id}")


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)


def _document(term: Term) -> dict[str, object]:
    return {
        "term_id": term.term_id,
        "version": term.version,
        "rightsholder": term.rightsholder,
        "track_id": term.track_id,
        "use": term.use.value,
        "decision": term.decision.value,
        "valid_from": term.valid_from.isoformat(),
        "valid_until": None if term.valid_until is None else term.valid_until.isoformat(),
        "territories": list(term.territories),
        "licensee": term.licensee,
        "reference": term.reference,
        "revenue_share": None if term.revenue_share is None else format_share(term.revenue_share),
        "share_terms": term.share_terms,
        "recorded_at": None if term.recorded_at is None else term.recorded_at.isoformat(),
    }
