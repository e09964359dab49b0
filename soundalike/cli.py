"""The command line: `soundalike COMMAND …`.

Exit codes: 0 all is well; 1 `check` or `demo` found something (flagged; a wrong verdict); 2 the command could
not do its work, with one line on stderr that says what to do; 130 and 143 it was interrupted.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import structlog
import typer

import soundalike
from soundalike.commands import (
    catalog,
    check,
    dead_letters,
    demo,
    explain,
    flags,
    publish,
    replay,
    review,
    rights,
    run,
    train,
)
from soundalike.errors import SoundalikeError

EXIT_FAILED = 2
EXIT_INTERRUPTED = 130

_CLICK_ERROR = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""Base of all complaints about the command line; typer's own copy of click has no public name."""

app = typer.Typer(
    name="soundalike",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Whose recording is it, is it machine-made, is it allowed? Moderation of music uploads."
    "\n\nStart with `soundalike demo`; then `soundalike catalog add` and `soundalike check`.",
)
app.command("demo", rich_help_panel="On this machine")(demo.demo)
app.command("check", rich_help_panel="On this machine")(check.check)
app.command("replay", rich_help_panel="On this machine")(replay.replay)
app.command("explain", rich_help_panel="On this machine")(explain.explain)
app.add_typer(catalog.app, name="catalog", rich_help_panel="On this machine")
app.command("run", rich_help_panel="As a service")(run.run)
app.command("publish", rich_help_panel="As a service")(publish.publish)
app.command("flags", rich_help_panel="As a service")(flags.flags)
app.add_typer(review.app, name="review", rich_help_panel="For people")
app.add_typer(rights.app, name="rights", rich_help_panel="As a service")
app.add_typer(dead_letters.app, name="dead-letters", rich_help_panel="As a service")
app.add_typer(train.app, name="train", rich_help_panel="For developers")


def _print_version(asked: bool) -> None:
    if asked:
        version()
        raise typer.Exit


@app.callback()
def _everywhere(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options before the command. `--debug` is read by `main`, which is where errors arrive."""


@app.command(rich_help_panel="On this machine")
def version() -> None:
    """Print the version."""
    typer.echo(f"soundalike {soundalike.__version__}")


def run_cli(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    try:
        code = app(args=list(arguments), prog_name="soundalike", standalone_mode=False)
    except _CLICK_ERROR as error:
        if str(error):  # without words: no command was given, and the help has been shown
            _complain(_usage(error))
        return EXIT_FAILED
    except SoundalikeError as error:
        if _wants_traceback(arguments):
            raise
        _complain(str(error))
        return EXIT_FAILED
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `soundalike … | head`: the reader has seen enough
        sys.stderr.close()
        return 0
    except Exception as error:
        if _wants_traceback(arguments):
            raise
        _complain(
            f"unexpected {type(error).__name__}: {error};"
            " run it again as `soundalike --debug …` and report what it prints"
        )
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the `soundalike` script."""
    logging.getLogger().addFilter(_is_of_use)
    log_to_stderr()
    sys.exit(run_cli(sys.argv[1:]))


def log_to_stderr() -> None:
    """Standard output belongs to answers: structlog would write there until a command configures the logs."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def _is_of_use(record: logging.LogRecord) -> bool:
    """Beam warns at its import that it can't talk to BigQuery, which nobody here asks of it."""
    return not str(record.msg).startswith("apitools not found")


def _wants_traceback(arguments: Sequence[str]) -> bool:
    return bool(arguments) and arguments[0] == "--debug"


def _usage(error: Exception) -> str:
    """What is wrong with the command line, and where its help is."""
    message = str(getattr(error, "format_message", error.__str__)()).strip().rstrip(".")
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "soundalike")
    return f"{message}{'' if message.endswith('?') else '.'} Help: {command} --help"


def _complain(message: str) -> None:
    line = " ".join(message.split())
    print(f"soundalike: {line}", file=sys.stderr)  # noqa: T201 -- the one place where errors are shown
