"""The address that `soundalike review serve` prints."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest
import typer
import uvicorn

from soundalike.commands.review_open import address, listen, serve_desk
from soundalike.errors import ReviewError


def test_the_address_answers_once_it_is_told(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def connect(line: str) -> None:
        told.append(line)
        port = int(line.split("/  ", maxsplit=1)[0].rsplit(":", 1)[1])
        socket.create_connection(("127.0.0.1", port), timeout=10).close()

    monkeypatch.setattr(typer, "echo", connect)
    monkeypatch.setattr(uvicorn.Server, "run", lambda server, sockets: None)
    with listen("127.0.0.1", 0) as listening:
        serve_desk(bench.desk, listening)
    assert len(told) == 1


def test_a_port_in_use_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = pytest.raises(ReviewError, match=f"port {port} of 127.0.0.1 .*--port")
        with refused, listen("127.0.0.1", port):
            pass


def test_the_address_has_the_port_that_was_found_and_brackets_where_they_belong() -> None:
    with listen("127.0.0.1", 0) as listening:
        assert address(listening) == f"http://127.0.0.1:{listening.getsockname()[1]}"
    sixth: Any = SimpleNamespace(getsockname=lambda: ("::1", 8765, 0, 0))  # not every machine has IPv6
    assert address(sixth) == "http://[::1]:8765"
