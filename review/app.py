"""The desk as a web application: the JSON API under /api/v1, pages for browsers, one health check."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy import select

from review import api_admin, api_cases, api_media, api_quarantine, pages
from review.desk import Desk
from review.outbox import waiting
from review.tables import cases
from review.web_auth import NotSignedIn
from review.web_models import Problem
from soundalike.errors import (
    AuditBroken,
    CaseTaken,
    DecisionRefused,
    DeskBusy,
    NotPermitted,
    ProviderUnavailable,
    ReviewError,
    SoundalikeError,
    UnknownCase,
)

_log = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
API = "/api/v1"

_STATUS: tuple[tuple[type[SoundalikeError], HTTPStatus], ...] = (
    (UnknownCase, HTTPStatus.NOT_FOUND),
    (CaseTaken, HTTPStatus.CONFLICT),
    (NotPermitted, HTTPStatus.FORBIDDEN),
    (DecisionRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (ProviderUnavailable, HTTPStatus.BAD_GATEWAY),
    (DeskBusy, HTTPStatus.SERVICE_UNAVAILABLE),
    (AuditBroken, HTTPStatus.INTERNAL_SERVER_ERROR),
    (ReviewError, HTTPStatus.BAD_REQUEST),
)

_PROBLEMS: dict[int | str, dict[str, object]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 422, 429, 503)
}

_CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self' 'nonce-{nonce}'", "img-src 'self' data:",
    "media-src 'self'", "connect-src 'self'", "font-src 'self'", "worker-src 'self'", "form-action 'self'",
    "base-uri 'none'", "frame-ancestors 'none'",
))  # fmt: skip
"""The nonce is for the style sheet that wavesurfer.js puts into its shadow root; nothing else is inline."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def create_app(desk: Desk) -> FastAPI:
    """The application; its workers start and stop with it."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        for worker in desk.workers:
            worker.start()
        yield
        for worker in desk.workers:
            worker.stop()

    app = FastAPI(
        title="Soundalike review desk",
        version="1",
        summary="Everything that the desk does, for programs and for its own pages.",
        lifespan=lifespan,
        docs_url=None,  # the usual page loads its script from another host
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
    )
    app.state.desk = desk
    for router in (api_cases.router, api_media.router, api_quarantine.router, api_admin.router):
        app.include_router(router, prefix=API, responses=_PROBLEMS)
    app.include_router(pages.router, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False), name="static")
    app.add_api_route("/healthz", _health, methods=["GET"], include_in_schema=False)
    if desk.oidc is not None:
        from review.oidc import add_oidc  # noqa: PLC0415 -- authlib only where it is used

        add_oidc(app, desk, desk.oidc)
    app.add_exception_handler(SoundalikeError, _on_error)
    app.add_exception_handler(NotSignedIn, _on_stranger)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.middleware("http")(_secure)
    return app


async def _secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    request.state.nonce = secrets.token_urlsafe(16)
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY.format(nonce=request.state.nonce)
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if request.app.state.desk.secure:
        response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    if not request.url.path.startswith("/static/"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def _health(request: Request) -> JSONResponse:
    """200 while the database answers and all workers are alive and well; else 503 with what is wrong."""
    desk: Desk = request.app.state.desk
    troubles: dict[str, str] = {}
    outbox_waiting = None
    try:
        with desk.database.read() as connection:
            connection.execute(select(cases.c.case_id).limit(1)).first()
        outbox_waiting = waiting(desk.database)
    except SoundalikeError as error:
        troubles["database"] = str(error)
    for worker in desk.workers:
        if not worker.alive:
            troubles[worker.name] = "the thread has ended; see the log and restart the server"
        elif worker.trouble:
            troubles[worker.name] = worker.trouble
    body = {"ok": not troubles, "troubles": troubles, "decisions_waiting": outbox_waiting}
    return JSONResponse(body, status_code=503 if troubles else 200)


def _is_page(request: Request) -> bool:
    return not request.url.path.startswith((API, "/healthz", "/static/"))


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SoundalikeError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.BAD_GATEWAY)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s %s: %s", request.method, request.url.path, error)
    headers = {"Retry-After": "2"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return _answer(request, status, error.reason, str(error), headers)


def _on_stranger(request: Request, _error: Exception) -> Response:
    if _is_page(request):
        return RedirectResponse("/login", status_code=303)
    return _answer(request, HTTPStatus.UNAUTHORIZED, "not_signed_in", "sign in first, or send a token")


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    return _answer(request, status, status.phrase.lower().replace(" ", "_"), str(error.detail), error.headers)


def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _answer(request, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", f"{place}: {first['msg']}")


def _answer(
    request: Request, status: HTTPStatus, reason: str, message: str, headers: object = None
) -> Response:
    extra = dict(headers) if isinstance(headers, dict) else {}
    if _is_page(request):
        page = pages.problem_page(request, status, message)
        page.headers.update(extra)
        return page
    return JSONResponse({"reason": reason, "message": message}, status_code=status, headers=extra)
