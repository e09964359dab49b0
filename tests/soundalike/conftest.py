"""The command as a user runs it, and a catalog of two of the demo's recordings, really heard."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundalike.cli import run_cli

ROOT = Path(__file__).parents[2]
DEMO_AUDIO = ROOT / "soundalike" / "demo_audio"
CATALOG = ("secret-garden", "alien-signal")
HOLDER = "Firn Records"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def soundalike() -> Run:
    """`soundalike("run", "--spool", folder, …)` in a process of its own, with no settings from outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDALIKE_")}
    kept |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "soundalike", *map(str, arguments)],
            cwd=ROOT,
            env=kept,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    return run


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same in this process, which has loaded the network already: seconds less for each call."""
    for name in list(os.environ):
        if name.startswith("SOUNDALIKE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "140")

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = run_cli([*map(str, arguments)])
        captured = capsys.readouterr()
        return subprocess.CompletedProcess([*map(str, arguments)], code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with `CATALOG`, all of it held by `HOLDER`, who said nothing."""
    folder = tmp_path_factory.mktemp("data")
    files = [str(DEMO_AUDIO / f"{name}.opus") for name in CATALOG]
    assert run_cli(["catalog", "add", *files, "--rightsholder", HOLDER, "--data", str(folder)]) == 0
    return folder
