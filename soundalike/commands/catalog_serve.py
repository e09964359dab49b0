"""`soundalike catalog serve`: keeps the catalog as the topic `catalog` says, while the job judges uploads."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike import options
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.catalog_feed import CatalogFeed
    from pipeline.log import Log
    from soundalike.settings import Settings


def serve(
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Consumer group that owns the progress.  [default: soundalike-catalog]",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="End when everything that waits is done; default: never.")
    ] = False,
    allow_uri: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Recordings may be fetched from below it: file:///srv/catalog/, s3://catalog/; repeatable."
            "  [env: SOUNDALIKE_ALLOW_URI]",
            rich_help_panel=options.JUDGING,
        ),
    ] = None,
    quarantine_from: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Quarantine a reference when so many different recordings are flagged for it within an hour,"
            " and ten times what is usual for it; 0: never.",
            rich_help_panel=options.JUDGING,
        ),
    ] = 50,
    data: options.Data = None,
    catalog_url: options.CatalogUrl = None,
    embedder: options.Embedder = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Serve Prometheus metrics; 0 takes a free port.  [env: SOUNDALIKE_METRICS_PORT]",
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="DEBUG to ERROR.  [env: SOUNDALIKE_LOG_LEVEL; default: INFO]"),
    ] = None,
) -> None:
    """Apply the topic `catalog` as it comes: recordings added, replaced, removed, terms changed.

    The same process keeps the ledger of licensed uses (`soundalike rights`) and quarantines references that
    suddenly flood (`soundalike catalog quarantine`): it reads `verdicts` and `attributions` too.

    Each track's changes are applied in their order, each once. What can't be applied goes to `catalog.dlq`
    with its original bytes. SIGTERM or Ctrl-C finishes what is in hand. Run one of it beside any number of
    `soundalike run`.

    Examples:

        soundalike catalog serve --brokers localhost:9092 --allow-uri s3://catalog/

        soundalike catalog serve --spool ./spool --allow-uri file:///srv/catalog/ --once
    """
    from index.suppressions import FloodRule  # noqa: PLC0415 -- `--help` stays quick
    from pipeline import logs  # noqa: PLC0415
    from pipeline.rights_watch import RightsWatch  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    settings = load_settings(
        brokers=brokers,
        source=source,
        spool=spool,
        topic_prefix=topic_prefix,
        allow_uri=tuple(allow_uri) if allow_uri else None,
        data=data,
        catalog_url=catalog_url,
        embedder=embedder,
        metrics_port=metrics_port,
        log_level=log_level,
    )
    if not settings.allow_uri:
        raise SettingsError(
            "no place is allowed to fetch recordings from; name it with --allow-uri, e.g. s3://catalog/ or"
            " file:///srv/catalog/"
        )
    logs.configure(level=settings.log_level)
    log = open_log(settings)
    with ExitStack() as stack:
        feed = _open(settings, log=log, group=group, stack=stack)
        watch = RightsWatch(
            catalog=feed.catalog,
            log=log,
            metrics=feed.metrics,
            topic_prefix=settings.topic_prefix,
            flood=FloodRule(least=quarantine_from) if quarantine_from > 0 else None,
            stop=feed.stop,
        )
        stack.enter_context(_stopped_by_signals(feed.stop))
        side_by_side(feed.stop, partial(feed.run, once=once), partial(watch.run, once=once))


def side_by_side(stop: threading.Event, *jobs: Callable[[], None]) -> None:
    """Runs the jobs until all have ended. When one fails the others are stopped, and its error is raised."""
    failed: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001 -- raised below, in the thread that waits
            failed.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a join without end would keep Ctrl-C waiting
            thread.join(timeout=0.2)
    if failed:
        raise failed[0]


def _open(settings: Settings, *, log: Log, group: str | None, stack: ExitStack) -> CatalogFeed:
    from classifiers.fingerprint import load_fingerprinter  # noqa: PLC0415 -- brings torch
    from index.catalog import Catalog  # noqa: PLC0415
    from index.tending import Tending  # noqa: PLC0415
    from pipeline.catalog_feed import GROUP, CatalogFeed  # noqa: PLC0415
    from pipeline.listener import Listener  # noqa: PLC0415
    from pipeline.metrics import process_metrics  # noqa: PLC0415
    from pipeline.metrics_server import MetricsServer  # noqa: PLC0415
    from soundalike.wiring import decode_limits, fetch_policy  # noqa: PLC0415

    metrics = process_metrics()
    if settings.metrics_port is not None:
        stack.enter_context(
            MetricsServer(metrics.registry, port=settings.metrics_port, addr=settings.metrics_address)
        )
    url = None if settings.catalog_url is None else settings.catalog_url.get_secret_value()
    catalog = stack.enter_context(Catalog.open(settings.data, url=url, create=True))
    fingerprinter = load_fingerprinter(settings.embedder)
    stack.enter_context(Tending(catalog, model_sha256=fingerprinter.sha256, snapshot=settings.snapshot))
    listener = Listener(
        fingerprinter,
        fetch_policy=fetch_policy(settings),
        limits=decode_limits(settings),
    )
    return CatalogFeed(
        catalog=catalog,
        listen=listener,
        log=log,
        metrics=metrics,
        topic_prefix=settings.topic_prefix,
        group=group or GROUP,
    )


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C lets the change in hand end; a second one stops at once."""

    def ask_to_stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.default_int_handler)
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
