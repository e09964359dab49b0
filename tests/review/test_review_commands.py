"""The desk's commands on a terminal and in a pipe."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path

import pytest

from soundalike.cli import run_cli

PASSWORD = "a-long-password-1"


def test_an_account_is_made_from_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = ["--desk", str(tmp_path / "desk")]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n"))
    assert run_cli(["review", "users", "add", "anna", "--role", "lead", *desk]) == 0
    assert run_cli(["review", "users", "list", *desk]) == 0
    assert capsys.readouterr().out == "anna can sign in as lead\nanna\tlead\tin use\n"


def test_an_empty_pipe_is_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    desk = tmp_path / "desk"
    assert run_cli(["review", "users", "add", "anna", "--role", "lead", "--desk", str(desk)]) == 2
    assert "the pipe holds no password" in capsys.readouterr().err
    assert not desk.exists()


def test_a_second_demo_desk_on_the_port_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_cli(["review", "demo", str(tmp_path / "demo"), "--port", str(port)]) == 2
    told = capsys.readouterr()
    assert f"port {port} of 127.0.0.1 can't be used" in told.err
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []
