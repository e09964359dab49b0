"""`soundalike flags`: the flag queue as readable lines."""

from __future__ import annotations

from typing import Annotated

import typer

from soundalike import options


def flags(
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print what is there and end; default: follow until Ctrl-C.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evidence records as JSON Lines.")
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Remember under this name what was shown, and go on from there next time.",
            rich_help_panel=options.WHERE,
        ),
    ] = None,
) -> None:
    """Follow the uploads that people have to look at, oldest first.

    Examples:

        soundalike flags --brokers localhost:9092

        soundalike flags --spool ./spool --once
    """
    from pipeline.events import parse_event  # noqa: PLC0415 -- `--help` stays quick
    from pipeline.evidence import Evidence  # noqa: PLC0415
    from pipeline.topics import FLAGS  # noqa: PLC0415
    from soundalike.errors import EventError  # noqa: PLC0415
    from soundalike.following import follow  # noqa: PLC0415
    from soundalike.render import complain, flag_line  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    settings = load_settings(brokers=brokers, source=source, spool=spool, topic_prefix=topic_prefix)
    log = open_log(settings, to_read=True)
    for record in follow(log, settings.topic_prefix + FLAGS, once=once, group=group):
        try:
            event, evidence = parse_event(record.value)
        except EventError as error:
            complain(f"{record.place} is no flag: {error}")
            continue
        if not isinstance(evidence, Evidence):
            complain(f"{record.place} is no flag but {event.type}")
        elif as_json:
            typer.echo(evidence.model_dump_json())
        else:
            typer.echo(flag_line(evidence, at=event.time))
