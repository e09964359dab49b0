"""`soundalike review users` and `tokens`: who may use the desk."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from soundalike import options
from soundalike.commands.review_open import CLI_ACTOR, DatabaseUrl, DeskDir, desk_folder, open_tables
from soundalike.errors import SettingsError

users_app = typer.Typer(name="users", help="Accounts of people.", no_args_is_help=True)
tokens_app = typer.Typer(
    name="tokens", help="Tokens of programs: appeals, documents, reach.", no_args_is_help=True
)


@users_app.command("add")
def add_user(
    name: Annotated[str, typer.Argument(metavar="NAME", help="To sign in with.")],
    *,
    role: Annotated[str, typer.Option(help="reviewer, lead, rights_ops, auditor or admin.")],
    rightsholder: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of rights_ops: whose cases the account may read.")
    ] = None,
    data: options.Data = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Make an account; asks for its password, or reads it as the first line of a pipe.

    Example:

        soundalike review users add anna --role lead
    """
    from review.accounts import add_user as add  # noqa: PLC0415
    from review.desk import utc_now  # noqa: PLC0415
    from review.roles import Role  # noqa: PLC0415

    if role not in set(Role):
        raise SettingsError(
            f"--role {role}: one of {', '.join(each for each in Role if each != Role.SERVICE)}"
        )
    password = _password()
    with open_tables(desk_folder(desk, data), database, create=True) as tables, tables.write() as connection:
        add(connection, user_id=name, role=Role(role), now=utc_now(), actor=CLI_ACTOR, password=password,
            rightsholder=rightsholder)  # fmt: skip
    typer.echo(f"{name} can sign in as {role}")


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    piped = sys.stdin.readline().rstrip("\r\n")
    if not piped:
        raise SettingsError("the pipe holds no password: write one line, or run it on a terminal")
    return piped


@users_app.command("list")
def list_of_users(*, data: options.Data = None, desk: DeskDir = None, database: DatabaseUrl = None) -> None:
    """Print all accounts."""
    from review.accounts import list_users  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database) as tables, tables.read() as connection:
        for person, enabled in list_users(connection):
            typer.echo(f"{person.user_id}\t{person.role}\t{'in use' if enabled else 'disabled'}")


@users_app.command("disable")
def disable_user(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    data: options.Data = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
) -> None:
    """End all sessions of an account and let it in no more."""
    from review.accounts import disable  # noqa: PLC0415
    from review.desk import utc_now  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database) as tables, tables.write() as connection:
        disable(connection, name, now=utc_now(), actor=CLI_ACTOR)
    typer.echo(f"{name} is disabled")


@tokens_app.command("add")
def add_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the program, for the audit log.")],
    *,
    data: options.Data = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a token for a program and print it, this once."""
    from review.accounts import add_token as add  # noqa: PLC0415
    from review.desk import utc_now  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database, create=True) as tables, tables.write() as connection:
        typer.echo(add(connection, name, now=utc_now(), actor=CLI_ACTOR))


@tokens_app.command("revoke")
def revoke_token(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    data: options.Data = None,
    desk: DeskDir = None,
    database: DatabaseUrl = None,
) -> None:
    """Let a program in no more."""
    from review.accounts import revoke_token as revoke  # noqa: PLC0415
    from review.desk import utc_now  # noqa: PLC0415

    with open_tables(desk_folder(desk, data), database) as tables, tables.write() as connection:
        typer.echo(f"{revoke(connection, name, now=utc_now(), actor=CLI_ACTOR)} revoked")
