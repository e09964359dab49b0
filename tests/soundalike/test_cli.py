"""The command line itself: help, errors of one line, exit codes, and what it does not import."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import soundalike as package
from soundalike.cli import run_cli
from soundalike.settings import Settings

COMMANDS = (
    "demo", "check", "replay", "catalog", "run", "publish", "flags", "dead-letters list",
    "dead-letters replay",
)  # fmt: skip
HEAVY = ("torch", "apache_beam", "faiss", "kafka", "transformers", "librosa", "av", "scipy", "numpy")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([*command.split(), "--help"]) == 0

    shown = capsys.readouterr().out
    assert "Usage:" in shown
    if command not in {"demo", "catalog"}:  # no arguments to show; a group of commands
        assert f"soundalike {command} " in shown.partition("Example")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_variable_that_help_names_is_a_setting(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    run_cli([*command.split(), "--help"])

    named = set(re.findall(r"SOUNDALIKE_([A-Z_]+)", capsys.readouterr().out))
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_every_option_of_run_is_a_variable_of_the_same_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    run_cli(["run", "--help"])

    shown = capsys.readouterr().out
    described = dict(re.findall(r"--([a-z-]+) .*?\[env: SOUNDALIKE_([A-Z_]+)", shown))
    assert set(described) == set(re.findall(r"│ --([a-z-]+)", shown)) - {"help"}
    assert all(variable == option.replace("-", "_").upper() for option, variable in described.items())


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from soundalike.cli import run_cli;"
        f" run_cli(['--help']); print(set({HEAVY!r}) & sys.modules.keys())"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.splitlines()[-1] == "set()"
    # CPU seconds: wall seconds would measure who else is using the machine.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("chekc", "No such command 'chekc'. Did you mean 'check'? Help: soundalike --help"),
        ("check", "Missing argument 'FILE...'. Help: soundalike check --help"),
        ("check --jsno a.wav", "No such option: --jsno"),
        (
            "flags",
            "where are the events? Name a Kafka broker with --brokers HOST:PORT, or a folder with",
        ),
        ("run --spool s", "no place is allowed to fetch audio from; name it with --allow-uri"),
        ("publish --spool s no-such-file.wav", "no-such-file.wav: no such file"),
        ("publish --spool s --upload-id a b.wav c.wav", "--upload-id names one upload"),
        ("publish --source local pyproject.toml", "--source local needs a folder for its files: --spool DIR"),
        ("dead-letters replay --spool s", "say which: ids of dead letters, or --all"),
        ("dead-letters list --spool no-spool", "there is no spool at "),
        ("flags --spool no-spool --once", "there is no spool at "),
        ("publish --spool s --isrc GB-1 pyproject.toml", "'GB-1' is no ISRC: two letters"),
        ("publish --spool s tests", "tests: is a folder; name a file"),
        ("review verify-audit --desk no-desk", "there is no desk at no-desk; name its folder with --desk"),
        ("review users list --desk no-desk", "there is no desk at no-desk; name its folder with --desk"),
        ("demo --into pyproject.toml", "can't make the folder "),
        ("explain pyproject.toml --png out.txt", "--png out.txt: what is drawn is a PNG"),
        ("replay pyproject.toml", "pyproject.toml holds no evidence record"),
        (
            "run --allow-uri s3://b/ --brokers b:1 --metrics-port 99999",
            "--metrics-port: input should be less than",
        ),
        ("publish --brokers nowhere.invalid:1 --territory xx pyproject.toml", "territory of the upload"),
        (
            "publish --brokers nowhere.invalid:1 --territory UK pyproject.toml",
            "--territory: 'UK' is no territory of ISO 3166-1",
        ),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(line.split()) == 2

    shown = capsys.readouterr().err
    assert shown.startswith(f"soundalike: {expected}")
    assert shown.count("\n") == 1
    assert not list(Path().glob("no-*"))  # nothing is made where something was looked for


def test_a_broker_that_is_away_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["flags", "--brokers", "127.0.0.1:1", "--once"]) == 2

    assert re.match(r"soundalike: .*127\.0\.0\.1:1[^\n]*\n$", capsys.readouterr().err)


def test_brokers_and_a_spool_need_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDALIKE_BROKERS", "localhost:9092")

    assert run_cli(["flags", "--spool", str(tmp_path), "--once"]) == 2
    assert "say --source kafka or --source local" in capsys.readouterr().err
    assert run_cli(["flags", "--spool", str(tmp_path), "--once", "--source", "local"]) == 0


def test_debug_shows_where_it_happened(tmp_path: Path) -> None:
    from soundalike.errors import SettingsError  # noqa: PLC0415

    with pytest.raises(SettingsError):
        run_cli(["--debug", "flags"])


def test_beams_remark_about_bigquery_is_not_shown() -> None:
    code = "import sys; sys.argv = ['soundalike', 'version']\nfrom soundalike.cli import main\ntry: main()\n"
    code += "finally: import logging; logging.warning('apitools not found, and'); logging.warning('a fire')"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stderr == "WARNING:root:a fire\n"


def test_logs_do_not_mix_with_answers() -> None:
    code = "import sys; sys.argv = ['soundalike', 'version']\nfrom soundalike.cli import main\ntry: main()\n"
    code += "finally: import structlog; structlog.get_logger('x').warning('a fire')"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == f"soundalike {package.__version__}\n"
    assert "a fire" in done.stderr


@pytest.mark.parametrize("asked", ["version", "--version"])
def test_version(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([asked]) == 0
    assert capsys.readouterr().out == f"soundalike {package.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli([]) == 2

    captured = capsys.readouterr()
    assert "Usage:" in captured.out
    assert captured.err == ""
