"""The review desk from its options: database, workers, seams; and the server around it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike.errors import ReviewError, SettingsError

if TYPE_CHECKING:
    from review.database import Database
    from review.desk import Desk, OidcSettings
    from review.policy import DeskPolicy
    from soundalike.settings import Settings

GROUP = "soundalike-review"
DESK = "The desk"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
CLI_ACTOR = "command line"
DESK_FILE = "desk.sqlite"
HOUSEKEEPING_S = 900.0
"""Between two looks for copies of audio that have outlived their time, and for papers that never came."""

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar="SOUNDALIKE_REVIEW_DATABASE",
        show_envvar=True,
        help="The desk's database, as postgresql://USER@HOST/NAME.  [default: SQLite in the desk's folder]",
        rich_help_panel=DESK,
    ),
]
DeskDir = Annotated[
    Path | None,
    typer.Option(
        "--desk",
        metavar="DIR",
        envvar="SOUNDALIKE_REVIEW_DESK",
        show_envvar=True,
        help="The desk's folder: database, copies of audio, signing key.  [default: review/ in the data's]",
        rich_help_panel=DESK,
    ),
]
Port = Annotated[
    int,
    typer.Option(
        min=0, max=65535, envvar="SOUNDALIKE_REVIEW_PORT", show_envvar=True, help="0: any that is free.",
        rich_help_panel=DESK,
    ),
]  # fmt: skip


def desk_folder(desk: Path | None, data: Path | None) -> Path:
    from soundalike.settings import load_settings  # noqa: PLC0415

    return desk or load_settings(data=data).data / "review"


@contextmanager
def open_tables(folder: Path, url: str | None, *, create: bool = False) -> Iterator[Database]:
    """The desk's database, its tables up to date. create: makes the folder and the database where there is
    none; else ReviewError, since a mistyped folder is no desk where all is in order."""
    from review.database import Database, parse_url, sqlite_url  # noqa: PLC0415

    if not create and url is None and not (folder / DESK_FILE).is_file():
        raise ReviewError(
            f"there is no desk at {folder}; name its folder with --desk (`soundalike review users add` makes"
            " one)"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReviewError(f"the desk's folder {folder} can't be made: {error.strerror}") from error
    tables = Database(sqlite_url(folder / DESK_FILE) if url is None else parse_url(url))
    try:
        tables.upgrade()
        yield tables
    finally:
        tables.close()


@contextmanager
def put_together(
    settings: Settings,
    tables: Database,
    folder: Path,
    references: tuple[Path, ...],
    *,
    policy: DeskPolicy,
    public_url: str,
    oidc: OidcSettings | None = None,
    demo_login: tuple[str, str] | None = None,
) -> Iterator[Desk]:
    """The desk with its workers, wired to the log, the fetcher, the decoder and the catalog."""
    from index.catalog import Catalog  # noqa: PLC0415
    from pipeline import topics  # noqa: PLC0415
    from review.assets_build import require_assets  # noqa: PLC0415
    from review.desk import Desk, utc_now  # noqa: PLC0415
    from review.housekeeping import keep_house  # noqa: PLC0415
    from review.intake import intake_step  # noqa: PLC0415
    from review.media import prepare_next  # noqa: PLC0415
    from review.media_store import MediaStore  # noqa: PLC0415
    from review.outbox import publish_due  # noqa: PLC0415
    from review.sessions import Signer, load_key  # noqa: PLC0415
    from review.sign_pictures import paint_next  # noqa: PLC0415
    from review.workers import IDLE_S, Worker  # noqa: PLC0415
    from soundalike.commands.review_wiring import (  # noqa: PLC0415
        CatalogQuarantines,
        CatalogReferences,
        DetectorPainter,
        LogDecisionSink,
        LogEventSource,
        PipelineAudio,
    )
    from soundalike.errors import CatalogError  # noqa: PLC0415
    from soundalike.wiring import equipment_plan, open_log  # noqa: PLC0415

    require_assets()
    url = None if settings.catalog_url is None else settings.catalog_url.get_secret_value()
    try:
        catalog = Catalog.open(settings.data, url=url)
    except CatalogError as error:
        typer.echo(f"No catalog: titles and rights come from the flags alone ({error})", err=True)
        catalog = None
    known = CatalogReferences(catalog, tuple(path.resolve() for path in references))
    prefixes = (*settings.allow_uri, *(path.resolve().as_uri() + "/" for path in references))
    plan = equipment_plan(settings, prefixes=prefixes)
    log = open_log(settings)
    uploads, flags = (
        LogEventSource(log, settings.topic_prefix + name, GROUP) for name in (topics.UPLOADS, topics.FLAGS)
    )
    sink = LogDecisionSink(log, settings.topic_prefix + topics.DECISIONS)
    store = MediaStore(folder / "media")
    audio = PipelineAudio(plan.fetch, plan.limits)

    def take_in() -> bool:
        return intake_step(
            tables,
            uploads_source=uploads,
            flags_source=flags,
            references=known,
            policy=policy,
            clock=utc_now,
        )

    painter = DetectorPainter(plan.limits)
    steps = {
        "intake": take_in,
        "audio": lambda: prepare_next(tables, store, audio, now=utc_now()),
        "signs": lambda: paint_next(tables, store, painter),
        "publisher": lambda: publish_due(tables, sink, now=utc_now()) > 0,
        "housekeeping": lambda: keep_house(tables, store, now=utc_now(), policy=policy),
    }
    pauses_s = {"housekeeping": HOUSEKEEPING_S}
    try:
        yield Desk(
            database=tables, store=store, references=known, signer=Signer(load_key(folder / "signing.key")),
            quarantines=None if catalog is None else CatalogQuarantines(catalog),
            policy=policy, public_url=public_url, oidc=oidc, demo_login=demo_login,
            workers=tuple(
                Worker(name, step, tables, utc_now, idle_s=pauses_s.get(name, IDLE_S))
                for name, step in steps.items()
            ),
        )  # fmt: skip
    finally:
        for open_thing in (uploads, flags, sink):
            open_thing.close()
        if catalog is not None:
            catalog.close()


@contextmanager
def listen(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens there; before anything is changed that a second desk should not change."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()  # before the address is told: whoever reads it may connect at once
        except OSError as error:
            raise ReviewError(
                f"port {port} of {host} can't be used ({error.strerror}); choose another with --port"
            ) from error
        yield listening


def address(listening: socket.socket) -> str:
    """`http://HOST:PORT`, with the port that the system chose where 0 was asked for."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_desk(desk: Desk, listening: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415

    from review.app import create_app  # noqa: PLC0415

    if desk.demo_login is not None and listening.getsockname()[0] not in LOOPBACK:
        raise ReviewError("the demo desk shows its password: it is served on this machine only")
    typer.echo(f"The review desk is at {address(listening)}/  (Ctrl-C ends it)")
    config = uvicorn.Config(create_app(desk), log_level="warning", access_log=False, server_header=False,
                            timeout_graceful_shutdown=5)  # fmt: skip
    uvicorn.Server(config).run(sockets=[listening])


def has_users(tables: Database) -> bool:
    from review.accounts import list_users  # noqa: PLC0415

    with tables.read() as connection:
        return bool(list_users(connection))


def ensure_user(tables: Database, name: str, role: str) -> None:
    from review.accounts import account_of, add_user  # noqa: PLC0415
    from review.desk import utc_now  # noqa: PLC0415
    from review.roles import Role  # noqa: PLC0415

    with tables.write() as connection:
        if account_of(connection, name) is None:
            add_user(connection, user_id=name, role=Role(role), now=utc_now(), actor=CLI_ACTOR)


def oidc_settings() -> OidcSettings | None:
    """From the environment; secrets have no place on a command line."""
    from review.desk import OidcSettings  # noqa: PLC0415

    names = ("ISSUER", "CLIENT_ID", "CLIENT_SECRET")
    given = {name: os.environ.get(f"SOUNDALIKE_REVIEW_OIDC_{name}", "") for name in names}
    if not any(given.values()):
        return None
    missing = [f"SOUNDALIKE_REVIEW_OIDC_{name}" for name, value in given.items() if not value]
    if missing:
        raise SettingsError(f"single sign-on needs {', '.join(missing)} as well")
    return OidcSettings(
        issuer=given["ISSUER"], client_id=given["CLIENT_ID"], client_secret=given["CLIENT_SECRET"],
        role_claim=os.environ.get("SOUNDALIKE_REVIEW_OIDC_ROLE_CLAIM", "soundalike_role"),
    )  # fmt: skip
