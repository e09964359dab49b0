"""`soundalike catalog`: load, list and change the licensed catalog."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike.commands.catalog_copies import boot, merge, snapshot
from soundalike.commands.catalog_options import CatalogUrl, Data, open_catalog
from soundalike.commands.catalog_serve import serve
from soundalike.commands.catalog_suppress import quarantine, suppress
from soundalike.commands.catalog_terms import account, terms

if TYPE_CHECKING:
    from rich.progress import Progress

    from classifiers.fingerprint import ReferencePrint
    from index.catalog import Catalog
    from index.merge import Merger
    from index.tracks import Right, Track
    from soundalike.commands.catalog_ingest import Candidate, Failure, Plan

EXIT_SOME_FAILED = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="catalog",
    help="The licensed catalog: which recordings are recognised, whose they are, and what was agreed.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.command("serve")(serve)
app.command("merge")(merge)
app.command("snapshot")(snapshot)
app.command("boot")(boot)
app.add_typer(terms, name="terms")
app.add_typer(account, name="account")
app.add_typer(suppress, name="suppress")
app.add_typer(quarantine, name="quarantine")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON Lines, one document per entry.")]


@app.command()
def add(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATHS", help="Audio files, and folders of them.")
    ] = None,
    *,
    metadata: Annotated[
        Path | None,
        typer.Option(
            metavar="tracks.csv",
            help="Ids, titles, codes and rightsholders of the files. Columns: track_id, file (relative to the"
            " CSV), title, artists (A|B), isrc, iswc, release_date, rightsholders (NAME:SHARE:ROLE|…).",
        ),
    ] = None,
    ddex: Annotated[
        Path | None,
        typer.Option(
            metavar="message.xml",
            help="A DDEX ERN 4.3 NewReleaseMessage beside its audio files: ISRC, title, artists and who"
            " controls the recordings.",
        ),
    ] = None,
    rightsholder: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SHARE[:ROLE]]",
            help="Who holds the tracks for which the metadata names nobody. Repeat for several; their"
            " shares sum to 1.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Put new recordings or metadata in place of tracks with the same id."),
    ] = False,
    embedder: Annotated[
        str | None,
        typer.Option(metavar="PATH|HUB_ID", help="Another recognition model.  [env: SOUNDALIKE_EMBEDDER]"),
    ] = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Add recordings: files, or whole folders.

    A track's id is the file's name without its ending, unless the metadata says otherwise. What is there
    already is skipped, so after an interruption just run the same command again. Files that can't be
    added are listed at the end (exit code 2); the others are in.

    Examples:

        soundalike catalog add song.flac --rightsholder "Firn Records"

        soundalike catalog add music/ --rightsholder "Firn:1/2:label" --rightsholder "Verlag:1/2:publisher"

        soundalike catalog add --metadata tracks.csv

        soundalike catalog add --ddex delivery/message.xml
    """
    from index.ddex import read_message  # noqa: PLC0415 -- `--help` stays quick
    from index.metadata_csv import read_metadata  # noqa: PLC0415
    from soundalike.commands.catalog_ingest import plan  # noqa: PLC0415

    if metadata is not None and ddex is not None:
        raise typer.BadParameter("give either --metadata or --ddex", param_hint="--ddex")
    described = metadata or ddex
    if not paths and described is None:
        raise typer.BadParameter("name audio files or folders, or a CSV with --metadata", param_hint="PATHS")
    read = read_metadata if ddex is None else read_message
    planned = plan(
        paths or [],
        metadata=None if described is None else read(described),
        metadata_name=str(described),
        rights=_rights(rightsholder or []),
    )
    with open_catalog(data, catalog_url, create=True) as catalog:
        raise typer.Exit(_add_all(planned, catalog=catalog, embedder=embedder, replace=replace))


@app.command()
def remove(
    track_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Track ids, as `list` shows them.")],
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Take tracks out: they are no longer recognised. What was agreed about them stays on record.

    Example:

        soundalike catalog remove alpenglow nordlicht
    """
    from soundalike.errors import UnknownTrack  # noqa: PLC0415

    unknown = 0
    with open_catalog(data, catalog_url) as catalog:
        for track_id in track_ids:
            try:
                generation = catalog.remove(track_id)
            except UnknownTrack as error:
                unknown += 1
                typer.echo(str(error), err=True)
            else:
                typer.echo(f"removed {track_id} (generation {generation})")
    if unknown:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command("list")
def list_tracks(as_json: AsJson = False, data: Data = None, catalog_url: CatalogUrl = None) -> None:
    """Show the tracks and who holds them.

    Examples:

        soundalike catalog list

        soundalike catalog list --json | jq .track_id
    """
    with open_catalog(data, catalog_url) as catalog:
        tracks, rights, generation = catalog.tracks(), catalog.all_rights(), catalog.generation()
    if as_json:
        for track in tracks:
            typer.echo(json.dumps(_document(track, rights.get(track.track_id, ())), ensure_ascii=False))
        return
    if not tracks:
        typer.echo("The catalog is empty. `soundalike catalog add FOLDER` loads recordings.")
        return
    _print_tracks(tracks, rights)
    typer.echo(f"{len(tracks)} {'track' if len(tracks) == 1 else 'tracks'}, generation {generation}")


@app.command()
def upgrade(data: Data = None, catalog_url: CatalogUrl = None) -> None:
    """Make an empty catalog, or bring one that an older release made up to date."""
    with open_catalog(data, catalog_url, create=True) as catalog:
        typer.echo(
            f"the catalog is up to date ({len(catalog.tracks())} tracks, generation {catalog.generation()})"
        )


def _rights(given: list[str]) -> tuple[Right, ...]:
    from index.terms import clean_name  # noqa: PLC0415
    from index.tracks import parse_rights  # noqa: PLC0415

    if not given:
        return ()
    if len(given) == 1 and ":" not in given[0]:
        given = [f"{given[0]}:1"]
    return parse_rights(clean_name("|".join(given)), of="each track")


def _add_all(planned: Plan, *, catalog: Catalog, embedder: str | None, replace: bool) -> int:
    """The exit code."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from soundalike.commands.catalog_ingest import Done  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    counts: Counter[str] = Counter()
    failures = list(planned.failures)
    interrupted = False
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        try:
            _add_each(
                planned.candidates,
                catalog=catalog,
                embedder=embedder,
                replace=replace,
                progress=progress,
                counts=counts,
                failures=failures,
            )
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        typer.echo("interrupted; what was added stays. Run the same command again to go on.", err=True)
    listed = ", ".join(f"{counts[done]} {done}" for done in Done if counts[done])
    typer.echo(f"{listed or 'nothing added'}{f', {len(failures)} failed' if failures else ''}")
    if counts["skipped"]:
        typer.echo("skipped tracks are in the catalog already; --replace records new metadata for them")
    if failures:
        typer.echo("could not be added:", err=True)
        for failed in failures:
            typer.echo(f"  {failed.what}: {failed.reason}: {failed.message}", err=True)
    if interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if failures else 0


def _add_each(
    candidates: tuple[Candidate, ...],
    *,
    catalog: Catalog,
    embedder: str | None,
    replace: bool,
    progress: Progress,
    counts: Counter[str],
    failures: list[Failure],
) -> None:
    from index.merge import HEAD_TRACKS, Merger  # noqa: PLC0415 -- brings FAISS
    from soundalike.commands.catalog_ingest import failure, ingest  # noqa: PLC0415
    from soundalike.errors import AudioError, CatalogError  # noqa: PLC0415

    if not candidates:
        return
    task = progress.add_task("loading the recogniser", total=len(candidates))
    hear, model_sha256 = _ear(embedder)
    merger = Merger(catalog, model_sha256=model_sha256)
    for candidate in candidates:
        progress.update(task, description=candidate.track_id[:40])
        try:
            outcome = ingest(
                candidate, catalog=catalog, hear=hear, model_sha256=model_sha256, replace=replace
            )
        except (AudioError, CatalogError) as error:
            failures.append(failure(candidate, error))
            progress.console.print(
                f"failed    {candidate.track_id}: {error.reason}", markup=False, highlight=False
            )
        else:
            counts[outcome.done] += 1
            note = f", the same audio as {', '.join(outcome.same_audio_as)}" if outcome.same_audio_as else ""
            progress.console.print(
                f"{outcome.done:<9} {candidate.track_id}{note}", markup=False, highlight=False
            )
        progress.advance(task)
        if counts.total() % HEAD_TRACKS == 0:
            _tend(merger)
    _tend(merger)


def _tend(merger: Merger) -> None:
    """What was added is safe and recognised without it, so a failure fails nothing."""
    from soundalike.errors import CatalogError  # noqa: PLC0415

    try:
        merger.tend()
    except CatalogError as error:
        typer.echo(f"could not gather the tracks for workers to map: {error}", err=True)


def _ear(embedder: str | None) -> tuple[Callable[[Path], ReferencePrint], str]:
    """A function from a file to what the recogniser keeps of it, and the checksum of its weights."""
    from classifiers.fingerprint import load_fingerprinter  # noqa: PLC0415 -- brings torch
    from pipeline.decode import DecodeLimits, decode  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415

    settings = load_settings(embedder=embedder)
    limits = DecodeLimits(
        max_duration_s=settings.max_duration_s,
        max_channels=settings.max_channels,
        max_decode_s=settings.max_decode_s,
    )
    fingerprinter = load_fingerprinter(settings.embedder)

    def hear(file: Path) -> ReferencePrint:
        return fingerprinter.reference(decode(file, limits=limits).audio)

    return hear, fingerprinter.sha256


def _print_tracks(tracks: list[Track], rights: dict[str, tuple[Right, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from index.splits import format_share  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for column in ("id", "title", "artists"):
        table.add_column(column, overflow="fold")
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("rightsholders", overflow="fold")
    table.add_column("added", no_wrap=True)
    for track in tracks:
        held = rights.get(track.track_id, ())
        added = "" if track.added_at is None else f"{track.added_at:%Y-%m-%d}"
        cells = (
            track.track_id,
            track.title,
            ", ".join(track.artists),
            f"{round(track.duration_s) // 60}:{round(track.duration_s) % 60:02d}",
            ", ".join(f"{right.rightsholder} {format_share(right.share)}" for right in held),
            added,
        )
        table.add_row(*(Text(cell) for cell in cells))  # Text: a title may look like markup
    Console().print(table)


def _document(track: Track, rights: tuple[Right, ...]) -> dict[str, object]:
    from index.splits import format_share  # noqa: PLC0415

    return {
        "track_id": track.track_id,
        "title": track.title,
        "artists": list(track.artists),
        "isrc": track.isrc,
        "iswc": track.iswc,
        "duration_s": track.duration_s,
        "release_date": None if track.release_date is None else track.release_date.isoformat(),
        "audio_sha256": track.audio_sha256,
        "model_sha256": track.model_sha256,
        "added_at": None if track.added_at is None else track.added_at.isoformat(),
        "rightsholders": [
            {"name": right.rightsholder, "role": right.role.value, "share": format_share(right.share)}
            for right in rights
        ],
    }
