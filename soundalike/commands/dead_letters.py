"""`soundalike dead-letters`: what could not be judged, why, and another try."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from soundalike import options
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.events import DeadLetter
    from pipeline.log import Log

app = typer.Typer(
    help="Records that no verdict could be given for, with their original bytes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

REPLAY_GROUP = "soundalike-replay"

Reason = Annotated[
    str | None, typer.Option(metavar="CODE", help="Only those with this reason, e.g. fetch_failed.")
]
Of = Annotated[
    Literal["uploads", "catalog"],
    typer.Option("--topic", help="Of which topic's records: uploads.dlq or catalog.dlq."),
]
Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Only those that failed in this stage.")]


@app.command("list")
def list_all(
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    topic: Of = "uploads",
    reason: Reason = None,
    stage: Stage = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as JSON Lines.")] = False,
) -> None:
    """List all dead letters, oldest first.

    Example:

        soundalike dead-letters list --brokers localhost:9092 --reason malformed_event
    """
    from soundalike.render import show_dead_letters  # noqa: PLC0415 -- `--help` stays quick
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    settings = load_settings(brokers=brokers, source=source, spool=spool, topic_prefix=topic_prefix)
    found = [
        (letter_id, letter)
        for letter_id, letter in _letters(
            open_log(settings, to_read=True), settings.topic_prefix + _dead_letters_of(topic), group=None
        )
        if reason in (None, letter.reason) and stage in (None, letter.stage)
    ]
    if as_json:
        for letter_id, letter in found:
            typer.echo(json.dumps({"id": letter_id, **letter.model_dump(mode="json")}, ensure_ascii=False))
    else:
        show_dead_letters(found)


@app.command()
def replay(
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="As `list` shows them, or their beginning.")
    ] = None,
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    topic: Of = "uploads",
    everything: Annotated[
        bool, typer.Option("--all", help="All that came since the last `replay --all`.")
    ] = False,
) -> None:
    """Send the original records to their topic again, byte for byte, with a count of how often they failed.

    Examples:

        soundalike dead-letters replay 3f9c2a --brokers localhost:9092

        soundalike dead-letters replay --all --brokers localhost:9092
    """
    from pipeline.replay import replayed  # noqa: PLC0415 -- `--help` stays quick
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    wanted = tuple(ids or ())
    if bool(wanted) == everything:
        raise SettingsError("say which: ids of dead letters, or --all")
    settings = load_settings(brokers=brokers, source=source, spool=spool, topic_prefix=topic_prefix)
    log = open_log(settings, to_read=True)
    letters = _letters(
        log, settings.topic_prefix + _dead_letters_of(topic), group=REPLAY_GROUP if everything else None
    )
    count = 0
    missing = set(wanted)
    writer = log.open_writer()
    try:
        for letter_id, letter in letters:
            asked_for = {prefix for prefix in wanted if letter_id.startswith(prefix)}
            if not everything and not asked_for:
                continue
            missing -= asked_for
            key, value, headers = replayed(letter)
            writer.send(settings.topic_prefix + topic, key, value, headers)
            writer.flush()  # before the reader's progress moves past it
            count += 1
    finally:
        writer.close()
    if count or not missing:
        typer.echo(f"{count} replayed")
    if missing:
        raise SettingsError(f"no dead letter has the id {', '.join(sorted(missing))}; `list` shows all")


def _dead_letters_of(topic: str) -> str:
    from pipeline.topics import CATALOG, CATALOG_DEAD_LETTERS, DEAD_LETTERS  # noqa: PLC0415

    return CATALOG_DEAD_LETTERS if topic == CATALOG else DEAD_LETTERS


def _letters(log: Log, topic: str, *, group: str | None) -> Iterator[tuple[str, DeadLetter]]:
    """Each dead letter once: delivery is at least once, and their ids are deterministic."""
    from pipeline.events import DeadLetter, parse_event  # noqa: PLC0415
    from soundalike.errors import EventError  # noqa: PLC0415
    from soundalike.following import follow  # noqa: PLC0415
    from soundalike.render import complain  # noqa: PLC0415

    seen: set[str] = set()
    for record in follow(log, topic, once=True, group=group):
        try:
            event, letter = parse_event(record.value)
        except EventError as error:
            complain(f"{record.place} is no dead letter: {error}")
            continue
        if not isinstance(letter, DeadLetter):
            complain(f"{record.place} is no dead letter but {event.type}")
        elif event.id not in seen:
            seen.add(event.id)
            yield event.id, letter
