"""`soundalike catalog suppress` and `catalog quarantine`: references that accuse nobody for a while."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike.commands.catalog_options import CatalogUrl, Data, open_catalog

if TYPE_CHECKING:
    from index.suppression import Suppression
    from index.suppressions import Flood

suppress = typer.Typer(
    help="References, or spans of them, that prove nothing: stock loops, silent intros and the like.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
quarantine = typer.Typer(
    help="References that suddenly matched too many uploads, and wait for a person.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, in one line: it stands in the evidence.")]
Start = Annotated[
    float | None,
    typer.Option("--start", metavar="SECONDS", help="From here; default: from the start of the reference."),
]
End = Annotated[float | None, typer.Option("--end", metavar="SECONDS", help="To here; default: to its end.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides.  [default: your login name]")]
SuppressionId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines, one document per entry.")]


@suppress.command("add")
def add_suppression(
    track: Annotated[str, typer.Argument(metavar="TRACK", help="Id of the reference.")],
    *,
    reason: Reason,
    start: Start = None,
    end: End = None,
    by: By = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Exclude a reference, or a span of it, from what may accuse an upload.

    Matches on it are shown in the evidence, with the reason, and count for nothing. What is matched outside
    of the span still counts. It takes effect with the next upload that is judged.

    Examples:

        soundalike catalog suppress add alpenglow --start 0 --end 6.5 --reason "stock loop Amen 2"

        soundalike catalog suppress add wedding-march --reason "public-domain recording"
    """
    with open_catalog(data, catalog_url) as catalog:
        made = catalog.suppressions.add(track, reason=reason, by=_who(by), start_s=start, end_s=end)
    typer.echo(describe(made))


@suppress.command("end")
def end_suppression(
    suppression_id: SuppressionId,
    *,
    reason: Reason,
    by: By = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Let a suppressed reference accuse again. Its history stays."""
    with open_catalog(data, catalog_url) as catalog:
        ended = catalog.suppressions.end(suppression_id, reason=reason, by=_who(by))
    typer.echo(describe(ended))


@suppress.command("list")
def list_suppressions(
    *,
    history: Annotated[bool, typer.Option("--history", help="Also those that have ended.")] = False,
    as_json: AsJson = False,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Show what accuses nobody, quarantined references included."""
    with open_catalog(data, catalog_url) as catalog:
        found = catalog.suppressions.list(ended=history)
    _show(found, as_json=as_json, nothing="Nothing is suppressed: every reference counts.")


@quarantine.command("list")
def list_quarantined(as_json: AsJson = False, data: Data = None, catalog_url: CatalogUrl = None) -> None:
    """Show the references that wait for a person, why, and how many uploads went by in the meantime."""
    from index.suppression import Kind  # noqa: PLC0415 -- `--help` stays quick

    with open_catalog(data, catalog_url) as catalog:
        found = catalog.suppressions.list(kind=Kind.QUARANTINED)
        floods = {one.suppression_id: catalog.suppressions.flood(one.suppression_id) for one in found}
    for one in found:
        flood = floods[one.suppression_id]
        typer.echo(
            json.dumps(_flooded(one, flood), ensure_ascii=False)
            if as_json
            else f"{describe(one)}; {len(flood.accused)} uploads accused before,"
            f" {len(flood.set_aside)} set aside since"
        )
    if not found and not as_json:
        typer.echo("No reference is quarantined.")


@quarantine.command("show")
def show(
    suppression_id: SuppressionId, as_json: AsJson = False, data: Data = None, catalog_url: CatalogUrl = None
) -> None:
    """Show one quarantine with the uploads that caused it and those that went by since; also an ended one.

    Example:

        soundalike catalog quarantine show quarantined-5f0c6a3b9d21
    """
    with open_catalog(data, catalog_url) as catalog:
        one = catalog.suppressions.get(suppression_id)
        flood = catalog.suppressions.flood(suppression_id)
    if as_json:
        typer.echo(json.dumps(_flooded(one, flood), ensure_ascii=False))
        return
    typer.echo(describe(one))
    for heading, uploads in (
        ("uploads that were flagged for it within the hour before", flood.accused),
        ("uploads whose match with it was set aside since", flood.set_aside),
    ):
        typer.echo(f"{len(uploads)} {heading}{':' if uploads else ''}")
        for upload_id in uploads:
            typer.echo(f"  {upload_id}")


@quarantine.command("confirm")
def confirm(
    suppression_id: SuppressionId,
    *,
    reason: Reason,
    start: Start = None,
    end: End = None,
    by: By = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Agree: the reference, or the span of it that floods, stays excluded for the reason you give.

    Example:

        soundalike catalog quarantine confirm quarantined-5f0c6a3b9d21 --end 4 --reason "silent intro"
    """
    with open_catalog(data, catalog_url) as catalog:
        made = catalog.suppressions.confirm(
            suppression_id, reason=reason, by=_who(by), start_s=start, end_s=end
        )
    typer.echo(describe(made))


@quarantine.command("release")
def release(
    suppression_id: SuppressionId,
    *,
    reason: Reason,
    by: By = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print only the upload ids to be judged again, as JSON Lines.")
    ] = False,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Disagree: the reference accuses again, and the uploads that went by are listed to be judged again.

    Example:

        soundalike catalog quarantine release quarantined-5f0c6a3b9d21 --reason "a hit that many copy"
    """
    with open_catalog(data, catalog_url) as catalog:
        ended, missed = catalog.suppressions.release(suppression_id, reason=reason, by=_who(by))
    if as_json:
        for upload_id in missed:
            typer.echo(json.dumps({"upload_id": upload_id}, ensure_ascii=False))
        return
    typer.echo(describe(ended))
    if missed:
        typer.echo(f"{len(missed)} uploads were matched with it in the meantime; publish them again:")
        for upload_id in missed:
            typer.echo(f"  {upload_id}")


def describe(one: Suppression) -> str:
    """One suppression as one line for people."""
    start, end = one.start_s or 0.0, one.end_s
    whole = one.start_s is None and end is None
    span = "" if whole else f" {start:g}–{'end' if end is None else f'{end:g}'} s"
    text = (
        f"{one.suppression_id}: {one.track_id}{span} {one.kind.value} by {one.recorded_by}"
        f" since {one.recorded_at:%Y-%m-%d %H:%M} UTC: {one.reason}"
    )
    if one.ended_at is None:
        return text
    return f"{text}; ended {one.ended_at:%Y-%m-%d %H:%M} UTC by {one.ended_by}: {one.ended_reason}"


def _who(by: str | None) -> str:
    return getpass.getuser() if by is None else by


def _show(found: list[Suppression], *, as_json: bool, nothing: str) -> None:
    for one in found:
        typer.echo(json.dumps(_document(one), ensure_ascii=False) if as_json else describe(one))
    if not found and not as_json:
        typer.echo(nothing)


def _flooded(one: Suppression, flood: Flood) -> dict[str, object]:
    return _document(one) | {"accused": list(flood.accused), "set_aside": list(flood.set_aside)}


def _document(one: Suppression) -> dict[str, object]:
    return {
        "suppression_id": one.suppression_id,
        "track_id": one.track_id,
        "kind": one.kind.value,
        "start_s": one.start_s,
        "end_s": one.end_s,
        "reason": one.reason,
        "recorded_by": one.recorded_by,
        "recorded_at": one.recorded_at.isoformat(),
        "ended_reason": one.ended_reason,
        "ended_by": one.ended_by,
        "ended_at": None if one.ended_at is None else one.ended_at.isoformat(),
    }
