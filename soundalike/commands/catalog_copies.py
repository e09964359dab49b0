"""`soundalike catalog merge`, `snapshot` and `boot`: the shards that workers map, and copies of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike import options
from soundalike.commands.catalog_options import CatalogUrl, Data, open_catalog

if TYPE_CHECKING:
    from index.catalog import Catalog

Uri = Annotated[
    str, typer.Argument(metavar="URI", help="A folder of any store: s3://bucket/catalog, file:///mnt/copy.")
]
Every = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", min=1.0, help="Do it again and again, until stopped; default: once."),
]


def merge(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Into as few shards as can be, however few tracks changed.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Compare every byte with its checksum; make damaged shards anew."),
    ] = False,
    embedder: options.Embedder = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Gather what was added and removed into shards that workers map, and small shards into larger ones.

    `catalog serve` does this in the background, and `catalog add` at its end: call it where neither
    runs. It may be stopped and repeated at any time; workers go on and swap to what it makes.

    Examples:

        soundalike catalog merge

        soundalike catalog merge --repair
    """
    from index.merge import Merger  # noqa: PLC0415 -- `--help` stays quick

    with open_catalog(data, catalog_url) as catalog:
        merger = Merger(catalog, model_sha256=_model(embedder))
        for damaged in merger.repair() if repair else ():
            typer.echo(f"made anew: {damaged}", err=True)
        merger.tend(at_least=1)
        if everything and merger.compact(everything=True):
            merger.sweep()
        newest = merger.newest()
    tracks = sum(newest.live_tracks(ref) for ref in newest.shards)
    size_mb = sum(ref.size_bytes for ref in newest.shards) / 1e6
    typer.echo(
        f"{tracks} tracks in {len(newest.shards)} shards, {size_mb:.0f} MB, generation {newest.generation}"
    )


def snapshot(
    uri: Uri,
    *,
    every: Every = None,
    embedder: options.Embedder = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Copy the catalog to a store: shards, the newest prints, and the tables if they are SQLite.

    Only what is not there yet is copied, and the two newest snapshots are kept.

    Example:

        soundalike catalog snapshot s3://backup/catalog --every 60
    """
    from index.snapshot import push  # noqa: PLC0415 -- `--help` stays quick

    model = _model(embedder)

    def once(catalog: Catalog) -> str:
        pushed = push(catalog, model_sha256=model, to=uri)
        return "nothing new" if pushed is None else f"copied generation {pushed.generation} to {uri}"

    with open_catalog(data, catalog_url) as catalog:
        _again(lambda: once(catalog), every)


def boot(
    uri: Uri,
    *,
    every: Every = None,
    embedder: options.Embedder = None,
    data: Data = None,
    catalog_url: CatalogUrl = None,
) -> None:
    """Make a data folder from a snapshot, for a fresh worker; or bring the shards of one up to date.

    With --catalog-url the tables are that PostgreSQL database; without, they come from the snapshot, into a
    folder that has none yet. A worker then replays what changed since. Set SOUNDALIKE_SNAPSHOT to the same
    URI for `soundalike run`: it fetches the prints of newer tracks from there.

    Examples:

        soundalike catalog boot s3://backup/catalog --data ./restored

        soundalike catalog boot s3://backup/catalog --catalog-url postgresql://… --every 60
    """
    from index.snapshot import pull  # noqa: PLC0415 -- `--help` stays quick
    from soundalike.settings import load_settings  # noqa: PLC0415

    settings = load_settings(data=data, catalog_url=catalog_url)
    model = _model(embedder)

    def once() -> str:
        with_tables = settings.catalog_url is None and not (settings.data / "catalog.sqlite").exists()
        pulled = pull(settings.data, source=uri, model_sha256=model, with_tables=with_tables)
        return f"generation {pulled.generation} is in {settings.data}"

    _again(once, every)


def _again(once: Callable[[], str], every_s: float | None) -> None:
    """Once, raising what it raises; or until stopped, telling what failed."""
    from soundalike.errors import SoundalikeError  # noqa: PLC0415

    if every_s is None:
        typer.echo(once())
        return
    while True:
        try:
            typer.echo(once())
        except SoundalikeError as error:
            typer.echo(str(error), err=True)
        time.sleep(every_s)


def _model(embedder: str | None) -> str:
    """The checksum of the weights whose prints are meant."""
    from classifiers.fingerprint import load_fingerprinter  # noqa: PLC0415 -- brings torch
    from soundalike.settings import load_settings  # noqa: PLC0415

    return load_fingerprinter(load_settings(embedder=embedder).embedder).sha256
