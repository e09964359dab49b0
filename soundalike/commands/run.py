"""`soundalike run`: the streaming job."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundalike import options
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.equipment import EquipmentPlan
    from pipeline.log import Log
    from soundalike.settings import Settings

IDLE_S = 1.0
"""With `--once`: silence after which the log is asked whether anything is left."""


def run(
    runner_args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- BEAM OPTIONS]", help="For Beam, e.g. `-- --runner=FlinkRunner …`."),
    ] = None,
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Consumer group that owns the progress.  [env: SOUNDALIKE_GROUP; default: soundalike]",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
    once: Annotated[
        bool | None,
        typer.Option(
            "--once",
            help="End when everything that waits is judged.  [env: SOUNDALIKE_ONCE; default: never end]",
        ),
    ] = None,
    allow_uri: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PREFIX",
            help="Audio may be fetched from below it: file:///srv/uploads/, https://cdn.example/, s3://bucket/;"
            " may be repeated.  [env: SOUNDALIKE_ALLOW_URI]",
            rich_help_panel=options.JUDGING,
        ),
    ] = None,
    data: options.Data = None,
    catalog_url: options.CatalogUrl = None,
    embedder: options.Embedder = None,
    max_false_positive_rate: options.MaxFalsePositiveRate = None,
    min_matched_s: options.MinMatchedS = None,
    min_ai_probability: options.MinAiProbability = None,
    flag_ai: options.FlagAi = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            help="Serve Prometheus metrics; 0 takes a free port.  [env: SOUNDALIKE_METRICS_PORT]",
        ),
    ] = None,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Serve them there.  [env: SOUNDALIKE_METRICS_ADDRESS; default: 127.0.0.1]",
        ),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="DEBUG to ERROR.  [env: SOUNDALIKE_LOG_LEVEL; default: INFO]"),
    ] = None,
) -> None:
    """Judge uploads as they come: read `uploads`, write `verdicts`, `flags`, `attributions`, `uploads.dlq`.

    SIGTERM or Ctrl-C finishes what is in hand and exits with 0; a second one stops at once, and what was in
    hand is read again next time. Missing topics are created. Limits, TLS and SASL are set in the
    environment: docs/kafka.md.

    Examples:

        soundalike run --brokers localhost:9092 --allow-uri s3://uploads/

        soundalike run --spool ./spool --allow-uri file:///srv/uploads/ --once
    """
    from pipeline import logs  # noqa: PLC0415 -- `--help` stays quick
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import equipment_plan, open_log  # noqa: PLC0415

    settings = load_settings(
        brokers=brokers,
        source=source,
        spool=spool,
        topic_prefix=topic_prefix,
        group=group,
        once=once,
        allow_uri=tuple(allow_uri) if allow_uri else None,
        data=data,
        catalog_url=catalog_url,
        embedder=embedder,
        max_false_positive_rate=max_false_positive_rate,
        min_matched_s=min_matched_s,
        min_ai_probability=min_ai_probability,
        flag_ai=flag_ai,
        metrics_port=metrics_port,
        metrics_address=metrics_address,
        log_level=log_level,
    )
    if not settings.allow_uri:
        raise SettingsError(
            "no place is allowed to fetch audio from; name it with --allow-uri, e.g. s3://uploads/ or"
            " file:///srv/uploads/"
        )
    logs.configure(level=settings.log_level)
    log = open_log(settings)
    plan = equipment_plan(settings)
    raise typer.Exit(stream(settings, log=log, plan=plan, once=settings.once, beam_args=runner_args or ()))


def stream(
    settings: Settings,
    *,
    log: Log,
    plan: EquipmentPlan,
    once: bool,
    beam_args: list[str] | tuple[str, ...] = (),
) -> int:
    """Run the job until it is drained, or with `once` until nothing is left; its exit code.

    Raises CatalogError, ModelError or BrokerError at once if the job could not do its work from the start.
    """
    from pipeline.equipment import equipment_of  # noqa: PLC0415
    from pipeline.graph import moderation_graph  # noqa: PLC0415
    from pipeline.logs import get_logger  # noqa: PLC0415
    from pipeline.metrics import process_metrics  # noqa: PLC0415
    from pipeline.metrics_server import MetricsServer  # noqa: PLC0415
    from pipeline.runner import run_streaming  # noqa: PLC0415
    from pipeline.sink import WriteLog  # noqa: PLC0415
    from pipeline.source import ReadSettings, SlotPlan  # noqa: PLC0415
    from pipeline.topics import UPLOADS  # noqa: PLC0415

    metrics = process_metrics()
    with ExitStack() as stack:
        if settings.metrics_port is not None:
            stack.enter_context(
                MetricsServer(
                    metrics.registry,
                    port=settings.metrics_port,
                    addr=settings.metrics_address,
                    health=metrics.health.complaint,
                )
            )
        # The local runner shares it; for a remote one this is the check that the settings are right.
        serving = equipment_of(plan).snapshot()
        get_logger("run").info(
            "ready",
            tracks=serving.value.tracks,
            generation=serving.generation,
            reads=settings.topic_prefix + UPLOADS,
        )

        def build(records: Any) -> Any:
            outgoing = moderation_graph(records, equipment=plan, topic_prefix=settings.topic_prefix)
            return outgoing | "write" >> WriteLog(log)

        return run_streaming(
            build,
            ReadSettings(
                log=log,
                topic=settings.topic_prefix + UPLOADS,
                group=settings.group,
                slots=SlotPlan(total=settings.slots, indices=tuple(range(settings.slots))),
                stop_when_idle_s=IDLE_S if once else None,
                on_lag=report_lag,
            ),
            beam_args=beam_args,
            on_failure=metrics.job_failed,
        )


def report_lag(topic: str, partition: int, records: int) -> None:
    """Called by the source, in whichever process it runs."""
    from pipeline.metrics import process_metrics  # noqa: PLC0415

    process_metrics().lag(topic=topic, partition=partition, records=records)
