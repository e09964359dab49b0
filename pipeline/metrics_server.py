"""The port that Prometheus scrapes: `/metrics`, and `/healthz` for whoever restarts the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from soundalike.errors import SettingsError

REQUEST_TIMEOUT_S = 10.0
"""A client that says nothing is let go, so that idle connections can't pile up threads."""

CLOSE_POLL_S = 0.1
"""How soon a `close()` is noticed; the job's own shutdown waits for it."""

PLAIN = "text/plain; charset=utf-8"

HealthCheck = Callable[[], str | None]
"""None: alive. A sentence: what is wrong."""


class MetricsServer:
    """A running server; `close()` it, or use it as a context manager."""

    def __init__(
        self, registry: CollectorRegistry, *, port: int, addr: str, health: HealthCheck | None = None
    ) -> None:
        """Listen on `addr:port` (0: a free one). Raises SettingsError if that is not possible."""
        try:
            self._server = ThreadingHTTPServer((addr, port), _handler(registry, health))
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"metrics can't be served on {addr}:{port}: {error}; choose another metrics port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": CLOSE_POLL_S},
            name="soundalike-metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on; useful when 0 was asked for."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening. Safe to call twice."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _handler(registry: CollectorRegistry, health: HealthCheck | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "soundalike"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path == "/healthz":
                wrong = health() if health is not None else None
                self._answer(
                    200 if wrong is None else 503, "text/plain; charset=utf-8", f"{wrong or 'ok'}\n".encode()
                )
            else:
                self._answer(404, PLAIN, b"/metrics or /healthz\n")

        def _answer(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """A scrape every few seconds is no news."""

    return Handler
