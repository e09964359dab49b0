"""`soundalike review`: the desk where people decide about flags."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
from pathlib import Path
from typing import Annotated

import typer

from soundalike import options
from soundalike.commands.review_accounts import tokens_app, users_app
from soundalike.commands.review_open import (
    CLI_ACTOR,
    DESK,
    DatabaseUrl,
    DeskDir,
    Port,
    address,
    desk_folder,
    ensure_user,
    has_users,
    listen,
    oidc_settings,
    open_tables,
    put_together,
    serve_desk,
)
from soundalike.errors import ReviewError, SettingsError

app = typer.Typer(
    name="review",
    help="The desk where people decide about flagged uploads: a web server, its accounts, its audit log.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(users_app)
app.add_typer(tokens_app)


@app.command()
def serve(
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    data: options.Data = None,
    catalog_url: options.CatalogUrl = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
    references: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            envvar="SOUNDALIKE_REVIEW_REFERENCES",
            show_envvar=True,
            rich_help_panel=DESK,
            help="Folder with the catalog's audio, files named by track id; may be repeated.",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            envvar="SOUNDALIKE_REVIEW_HOST",
            show_envvar=True,
            help="Address to listen on.",
            rich_help_panel=DESK,
        ),
    ] = "127.0.0.1",
    port: Port = 8765,
    public_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="SOUNDALIKE_REVIEW_PUBLIC_URL",
            show_envvar=True,
            rich_help_panel=DESK,
            help="How browsers reach the desk; https:// makes cookies secure.  [default: http://HOST:PORT]",
        ),
    ] = None,
    undo_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds in which a decision can be taken back.", rich_help_panel=DESK),
    ] = 30.0,
    lease_s: Annotated[
        float, typer.Option(min=3, help="Seconds for which a claimed case is held.", rich_help_panel=DESK)
    ] = 600.0,
    sla_h: Annotated[
        float, typer.Option(min=0.01, help="Hours in which a flag should be decided.", rich_help_panel=DESK)
    ] = 24.0,
    second_opinion_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of cases that two people judge.", rich_help_panel=DESK)
    ] = 0.1,
    second_opinion_harm: Annotated[
        float, typer.Option(min=0, help="Harm, 0 to 1, from which two people judge.", rich_help_panel=DESK)
    ] = 0.75,
    golden_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of cases with a known answer.", rich_help_panel=DESK)
    ] = 0.03,
    keep_audio_days: Annotated[
        float,
        typer.Option(min=1, help="Days for which copies of audio outlive their cases.", rich_help_panel=DESK),
    ] = 365.0,
    documents_days: Annotated[
        float,
        typer.Option(min=0.01, help="Days in which asked for documents should come.", rich_help_panel=DESK),
    ] = 14.0,
    note_required: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACTION:CODE",
            help="Decision that needs a note, as dismiss:other or confirm:*; may be repeated and replaces the"
            " default list.",
            rich_help_panel=DESK,
        ),
    ] = None,
) -> None:
    """Take flags in, serve the desk, publish decisions; until Ctrl-C or SIGTERM.

    Single sign-on: set SOUNDALIKE_REVIEW_OIDC_ISSUER, _OIDC_CLIENT_ID and _OIDC_CLIENT_SECRET.

    Examples:

        soundalike review users add anna --role lead

        soundalike review serve --brokers localhost:9092 --references /srv/catalog
    """
    from review.policy import DeskPolicy  # noqa: PLC0415 -- `--help` stays quick
    from review.reasons import NOTE_REQUIRED, notes_required  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415

    settings = load_settings(
        brokers=brokers,
        source=source,
        spool=spool,
        topic_prefix=topic_prefix,
        data=data,
        catalog_url=catalog_url,
    )
    policy = DeskPolicy(
        undo_s=undo_s, lease_s=lease_s, sla_s=sla_h * 3600, second_opinion_share=second_opinion_share,
        second_opinion_harm=second_opinion_harm, golden_share=golden_share,
        media_keep_s=keep_audio_days * 86_400, documents_s=documents_days * 86_400,
        note_required=NOTE_REQUIRED if not note_required else notes_required(note_required),
    )  # fmt: skip
    folder = desk or settings.data / "review"
    with (
        listen(host, port) as listening,
        open_tables(folder, database, create=True) as tables,
        put_together(
            settings,
            tables,
            folder,
            tuple(references or ()),
            policy=policy,
            public_url=public_url or address(listening),
            oidc=oidc_settings(),
        ) as whole,
    ):
        if not has_users(tables) and whole.oidc is None:
            raise ReviewError("nobody can sign in yet: run `soundalike review users add NAME --role lead`")
        serve_desk(whole, listening)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="What `soundalike demo` made.")] = Path(
        "demo-data"
    ),
    *,
    port: Port = 8765,
) -> None:
    """Open the desk on the demo's flags, on this machine only, with a login that it prints.

    Runs `soundalike demo` first where it has not run yet (about a minute), and needs Node to build the pages
    once.
    """
    # Before anything is made or changed: a desk that runs there keeps its passwords.
    with listen("127.0.0.1", port) as listening:
        _demo_desk(folder.resolve(), listening)


def _demo_desk(folder: Path, listening: socket.socket) -> None:
    from review.accounts import set_password  # noqa: PLC0415
    from review.assets_build import assets_are_built, build_assets  # noqa: PLC0415
    from review.policy import DeskPolicy  # noqa: PLC0415
    from review.roles import Role  # noqa: PLC0415
    from soundalike.demo_uploads import DEMO_AUDIO  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415

    if not assets_are_built():
        typer.echo("Building the desk's pages (once)")
        build_assets()
    if not (folder / "spool" / "flags.jsonl").exists():
        from soundalike.commands.demo import demo as run_demo  # noqa: PLC0415

        typer.echo(f"{folder} holds no flags yet: running the demo (once)")
        with contextlib.suppress(typer.Exit):  # a wrong verdict is the demo's finding; its flags are there
            run_demo(folder)
    settings = load_settings(
        data=folder / "catalog", source="local", spool=folder / "spool", topic_prefix="",
        allow_uri=((folder / "uploads").as_uri() + "/",),
    ).model_copy(update={"catalog_url": None, "brokers": None})  # fmt: skip
    password = secrets.token_urlsafe(9)
    desk = folder / "desk"
    policy = DeskPolicy(golden_share=0.0)
    with open_tables(desk, None, create=True) as tables, put_together(
        settings, tables, desk, (DEMO_AUDIO,), policy=policy, public_url=address(listening),
        demo_login=("demo", password),
    ) as whole:  # fmt: skip
        for name, role in (("demo", Role.LEAD), ("second", Role.REVIEWER), ("auditor", Role.AUDITOR)):
            ensure_user(tables, name, role)
            with tables.write() as connection:
                set_password(connection, name, password, now=whole.now(), actor=CLI_ACTOR)
        typer.echo(
            f"Sign in as demo (a lead), second (a reviewer) or auditor; the password of all is {password}"
        )
        serve_desk(whole, listening)


@app.command()
def build(
    *, tests: Annotated[bool, typer.Option("--tests", help="Also what the tests need.")] = False
) -> None:
    """Fetch the browser parts of the desk (htmx, wavesurfer.js) from npm and put them in place."""
    from review.assets_build import VENDOR, build_assets  # noqa: PLC0415

    build_assets(with_tests=tests)
    typer.echo(f"The desk's pages are built: {VENDOR}")


@app.command(name="verify-audit")
def verify_audit(
    *,
    data: options.Data = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
    anchor: Annotated[
        str | None,
        typer.Option(
            metavar="SEQ:HASH", help="The head that an earlier run printed: it still has to be there."
        ),
    ] = None,
) -> None:
    """Walk the audit log's chain of hashes; prints its head. Exit code 2 if it was altered or cut.

    Keep the printed head somewhere else: a log that was cut at its end can only be found out with it.
    """
    from review.audit import Head, verify  # noqa: PLC0415

    known = None
    if anchor is not None:
        seq, _, digest = anchor.partition(":")
        if not seq.isdigit() or len(digest) != 64:
            raise SettingsError(f"--anchor {anchor}: write SEQ:HASH, as this command prints it")
        known = Head(int(seq), digest)
    with open_tables(desk_folder(desk, data), database) as tables, tables.read() as connection:
        head = verify(connection, anchor=known)
    typer.echo(f"{head}  {head.seq} entries, all in order")


@app.command()
def export(*, data: options.Data = None, desk: DeskDir = None, database: DatabaseUrl = None) -> None:
    """Print the decided uploads as JSON Lines: labelled data for re-calibrating the thresholds."""
    from review.quality import labels  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database) as tables, tables.read() as connection:
        for label in labels(connection):
            typer.echo(json.dumps(label, ensure_ascii=False))


@app.command(name="rejects")
def show_rejects(*, data: options.Data = None, desk: DeskDir = None, database: DatabaseUrl = None) -> None:
    """Print the events that the desk could not read, as JSON Lines with their original bytes."""
    from sqlalchemy import select  # noqa: PLC0415

    from review.tables import rejects  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database) as tables, tables.read() as connection:
        for row in connection.execute(select(rejects).order_by(rejects.c.received_at)).mappings():
            typer.echo(json.dumps({**row, "received_at": row["received_at"].isoformat()}))
