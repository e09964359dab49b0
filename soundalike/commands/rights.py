"""`soundalike rights`: what was licensed, what a changed mind touches, and who is owed what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike import options
from soundalike.commands.catalog_options import CatalogUrl, Data, open_catalog
from soundalike.errors import CatalogError, SettingsError

if TYPE_CHECKING:
    from index.affected import Touched
    from index.catalog import Catalog
    from index.statement import Line

EXIT_INCOMPLETE = 1


@dataclass(frozen=True, slots=True)
class _Where:
    """Where the events are, as the command line says it."""

    brokers: str | None
    source: str | None
    spool: Path | None
    topic_prefix: str | None

    @property
    def is_said(self) -> bool:
        return any(value is not None for value in (self.brokers, self.source, self.spool))


app = typer.Typer(
    name="rights",
    help="Licensed uses: collected from the topics `verdicts` and `attributions`, listed, totalled.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def collect(
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Bring the ledger up to date from the topics, and end. `catalog serve` does the same all the time.

    Example:

        soundalike rights collect --brokers localhost:9092
    """
    with _up_to_date(_Where(brokers, source, spool, topic_prefix), data, catalog_url, needed=True):
        pass


@app.command()
def affected(
    term_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[TERM_ID]", help="Only uses that rest on this term; also those still allowed."
        ),
    ] = None,
    *,
    track: Annotated[str | None, typer.Option(metavar="ID", help="Only uses of this track.")] = None,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines, one document per use.")] = False,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """List past licensed uploads that the terms of today no longer allow.

    With the broker or the spool named, the ledger is brought up to date first.

    Examples:

        soundalike rights affected term-5f0c6a3b9d21

        soundalike rights affected --json --brokers localhost:9092 | jq -r .upload_id
    """
    from index.affected import affected as find  # noqa: PLC0415 -- `--help` stays quick

    shown = 0
    with _up_to_date(_Where(brokers, source, spool, topic_prefix), data, catalog_url) as catalog:
        if term_id is not None and not catalog.terms_of_id(term_id):
            raise CatalogError(f"there is no term {term_id}; `soundalike catalog terms list` shows all")
        for touched in find(catalog, term_id=term_id, track_id=track):
            if term_id is None and touched.is_allowed:
                continue
            shown += 1
            typer.echo(json.dumps(_document(touched), ensure_ascii=False) if as_json else _describe(touched))
    if not shown and not as_json:
        typer.echo(
            "No licensed upload rests on it." if term_id else "Every licensed upload still is allowed."
        )


@app.command()
def statement(
    *,
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="Which calendar month, in UTC.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it there, as its ending says: .csv or .parquet."),
    ] = None,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Total a month of licensed uses per rightsholder: CSV on the screen, CSV or Parquet in a file.

    An upload counts once, in the first month at whose end it stands licensed. Exit code 1: the credit of
    some licensed verdict has not arrived; which is said.

    Examples:

        soundalike rights statement --month 2026-11

        soundalike rights statement --month 2026-11 --out november.parquet --brokers localhost:9092
    """
    from index.statement import statement as total  # noqa: PLC0415
    from soundalike.statement_files import to_csv, write_statement  # noqa: PLC0415

    year, number = _month(month)
    if out is not None and out.suffix.lower() not in {".csv", ".parquet"}:
        raise SettingsError(f"--out: {out.name} ends in neither .csv nor .parquet; choose one of both")
    with _up_to_date(_Where(brokers, source, spool, topic_prefix), data, catalog_url) as catalog:
        found = catalog.ledger.month(year, number)
        lines = total(month, found.credits, term_shares=catalog.revenue_shares(found.credits))
    if out is None:
        typer.echo(to_csv(lines), nl=False)
    else:
        write_statement(lines, out)
        typer.echo(f"wrote {out}: {_counted(lines, len(found.credits))}", err=True)
    if found.missing:
        typer.echo(
            f"{len(found.missing)} licensed uploads have no attribution in the ledger yet:"
            f" {', '.join(found.missing[:20])}{' …' if len(found.missing) > 20 else ''};"
            " run `soundalike rights collect` and try again",
            err=True,
        )
        raise typer.Exit(EXIT_INCOMPLETE)


def _counted(lines: list[Line], uploads: int) -> str:
    return f"{len(lines)} rightsholders, {uploads} uploads"


def _month(text: str) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9]{4}-(0[1-9]|1[0-2])", text) or text.startswith("0000"):
        raise SettingsError(f"--month: {text!r} is no month; write 2026-11")
    return int(text[:4]), int(text[5:])


@contextmanager
def _up_to_date(
    where: _Where, data: Path | None, catalog_url: str | None, *, needed: bool = False
) -> Iterator[Catalog]:
    """The catalog; with a log named on the command line, after its ledger has read all of it."""
    with open_catalog(data, catalog_url) as catalog:
        if needed or where.is_said:
            from pipeline.metrics import Metrics  # noqa: PLC0415 -- brings Kafka
            from pipeline.rights_watch import RightsWatch  # noqa: PLC0415
            from soundalike.settings import load_settings  # noqa: PLC0415
            from soundalike.wiring import open_log  # noqa: PLC0415

            settings = load_settings(**asdict(where))
            RightsWatch(
                catalog=catalog,
                log=open_log(settings),
                metrics=Metrics(),
                topic_prefix=settings.topic_prefix,
                flood=None,
            ).run(once=True)
        yield catalog


def _describe(touched: Touched) -> str:
    credit = touched.credit
    rests = ", ".join(f"{used.rightsholder}: {used.term_id} version {used.version}" for used in touched.terms)
    if touched.is_allowed:
        now = "still allowed today"
    else:
        now = "; ".join(
            f"{found.rightsholder} denies it today by {found.term_id} version {found.version}"
            if found.term_id is not None
            else f"{found.rightsholder} has no term that allows it today"
            for found in touched.denying
        )
    return (
        f"{credit.upload_id} licensed {credit.judged_at:%Y-%m-%d %H:%M} UTC for “{touched.title}”"
        f" ({touched.track_id}) by {rests}: {now}"
    )


def _document(touched: Touched) -> dict[str, object]:
    credit = touched.credit
    return {
        "upload_id": credit.upload_id,
        "verdict_id": credit.verdict_id,
        "judged_at": credit.judged_at.isoformat(),
        "track_id": touched.track_id,
        "title": touched.title,
        "use": credit.document["use"],
        "uploader": credit.document.get("uploader"),
        "terms": [
            {"rightsholder": used.rightsholder, "term_id": used.term_id, "version": used.version}
            for used in touched.terms
        ],
        "allowed_today": touched.is_allowed,
        "denied_by": [
            {"rightsholder": found.rightsholder, "term_id": found.term_id, "version": found.version}
            for found in touched.denying
        ],
    }
