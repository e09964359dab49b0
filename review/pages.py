"""The pages for browsers: sign-in, queue, case, quality, audit log, accounts."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy import func, select

from review.accounts import list_users
from review.audit import read_log
from review.case_today import open_view
from review.case_view import CaseView
from review.desk import Desk
from review.intake import UPLOAD_AUDIO
from review.media_links import links_of
from review.quality import measure
from review.quarantine import count_waiting, waiting
from review.queue import QueueFilter, Show, count_cases, floods, list_cases
from review.reasons import REASONS, label_of
from review.roles import May, Role
from review.sessions import COOKIE
from review.sign_in import Refused, try_sign_in
from review.tables import cases, rejects
from review.web_auth import Caller, CallerDep, DeskDep, session_of, start_session
from review.web_models import MediaLinks

router = APIRouter()

TABS: tuple[tuple[Show, str], ...] = (
    ("todo", "To do"), ("mine", "Mine"), ("lead", "For a lead"), ("documents", "Waiting for documents"),
    ("appeals", "Appeals"), ("closed", "Closed"),
)  # fmt: skip

_pages = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def clock_time(seconds: float | None) -> str:
    """75.3 → 1:15.3; an hour and more as 1:02:03."""
    if seconds is None:
        return "–"
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    if minutes >= 60:
        return f"{minutes // 60}:{minutes % 60:02d}:{rest // 10:02d}"
    return f"{minutes}:{rest / 10:04.1f}"


def age(since: datetime, now: datetime) -> str:
    """In the largest unit that fits: 40 s, 12 min, 5 h, 3 d."""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit != "d" and seconds >= size):
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


_pages.filters.update(
    clock_time=clock_time,
    percent=lambda share: "–" if share is None else f"{share:.0%}" if share >= 0.01 else f"{share:.2%}",
    semitones=lambda shift: f"{shift + 0.0:+.1f} st" if abs(shift) >= 0.05 else "0 st",
    moment=lambda at: at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
)
_pages.globals.update(age=age, until=lambda then, now: age(now, then), label_of=label_of, May=May)


@router.get("/")
def home() -> Response:
    return RedirectResponse("/queue", status_code=303)


@router.get("/login")
def login_page(request: Request, desk: DeskDep) -> Response:
    _, account = session_of(request)
    if account is not None:
        return RedirectResponse("/queue", status_code=303)
    return _login(request, desk, "")


@router.post("/login")
def login(
    request: Request,
    desk: DeskDep,
    user_id: Annotated[str, Form(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    password: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """A form of our own page: another site's is refused by its Origin."""
    origin = request.headers.get("origin")
    if origin not in {None, "null"} and origin.partition("://")[2] != request.headers.get("host"):
        return _login(request, desk, "this form came from another site", status=HTTPStatus.FORBIDDEN)
    host = request.client.host if request.client else ""
    account = try_sign_in(desk, user_id.strip() or "-", password, host=host)
    if isinstance(account, Refused):
        return _login(request, desk, account.message, status=HTTPStatus(account.status))
    response = RedirectResponse("/queue", status_code=303)
    start_session(response, desk, account)
    return response


@router.post("/logout")
def logout() -> Response:
    """Forgetting a session needs no proof of who asks: the cookie is SameSite=Strict anyway."""
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get("/queue")
def queue(
    *,
    request: Request,
    desk: DeskDep,
    caller: CallerDep,
    show: Show = "todo",
    text: Annotated[str, Query(max_length=200)] = "",
    rule: Annotated[str, Query(max_length=100)] = "",
    uploader: Annotated[str, Query(max_length=200)] = "",
    track_id: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> Response:
    """The whole page; for htmx only the list."""
    wanted = QueueFilter(
        show=show, text=text, rule=rule or None, uploader=uploader or None, track_id=track_id or None
    )
    now = desk.now()
    with desk.database.read() as connection:
        page = list_cases(connection, caller.person, wanted, now=now, policy=desk.policy, cursor=cursor)
        total = count_cases(connection, caller.person, wanted, now=now)
        rules = connection.execute(select(cases.c.rule).distinct().order_by(cases.c.rule)).scalars().all()
        rejected = connection.execute(select(func.count()).select_from(rejects)).scalar_one()
        flood = floods(connection, at_least=desk.policy.reference_flood)
    quarantined = count_waiting(desk) if caller.person.may(May.LEAD) else 0
    kept = {"show": show, "text": text, "rule": rule, "uploader": uploader, "track_id": track_id}
    more = "" if page.next_cursor is None else "/queue?" + urlencode({**kept, "cursor": page.next_cursor})
    fragment = request.headers.get("hx-request") == "true"
    return _render(
        request, "_cases.html" if fragment else "queue.html", caller,
        page=page, total=total, wanted=wanted, tabs=TABS, rules=rules, rejected=rejected, floods=flood,
        more=more, now=now, reasons=_reasons(desk), quarantined=quarantined,
    )  # fmt: skip


@router.get("/cases/{case_id}")
def case(request: Request, desk: DeskDep, caller: CallerDep, case_id: str) -> Response:
    view = open_view(desk, caller.person, case_id)
    links = links_of(desk, view)
    upload = links.get(UPLOAD_AUDIO)
    return _render(
        request, "case.html", caller, view=view, now=desk.now(), policy=desk.policy, reasons=_reasons(desk),
        data=_case_data(view, links, desk), sign_pictures={} if upload is None else upload.signs,
        soundings={sounding.track_id: sounding for sounding in view.reference_audio},
    )  # fmt: skip


@router.get("/quality")
def quality(request: Request, desk: DeskDep, caller: CallerDep) -> Response:
    caller.person.require(May.READ_QUALITY)
    with desk.database.read() as connection:
        measured = measure(connection)
    return _render(request, "quality.html", caller, quality=measured)


@router.get("/quarantine")
def quarantine(request: Request, desk: DeskDep, caller: CallerDep) -> Response:
    caller.person.require(May.LEAD)
    return _render(
        request, "quarantine.html", caller, lines=waiting(desk), now=desk.now(),
        has_catalog=desk.quarantines is not None,
    )  # fmt: skip


@router.get("/audit")
def audit_page(
    *,
    request: Request,
    desk: DeskDep,
    caller: CallerDep,
    before: Annotated[int, Query(ge=1)] = 2**53,
    actor: Annotated[str, Query(max_length=200)] = "",
    subject: Annotated[str, Query(max_length=1000)] = "",
) -> Response:
    caller.person.require(May.READ_AUDIT)
    rows = read_log(desk.database, before=before, actor=actor, subject=subject)
    return _render(request, "audit.html", caller, rows=rows, actor=actor, subject=subject)


@router.get("/users")
def users_page(request: Request, desk: DeskDep, caller: CallerDep) -> Response:
    caller.person.require(May.MANAGE_USERS)
    with desk.database.read() as connection:
        people = list_users(connection)
    roles = [role.value for role in Role if role is not Role.SERVICE]
    return _render(request, "users.html", caller, people=people, roles=roles)


def problem_page(request: Request, status: HTTPStatus, message: str) -> Response:
    """An error as a page, for whoever is signed in or not."""
    return _render(request, "problem.html", None, status_code=status, message=message, phrase=status.phrase)


def _login(request: Request, desk: Desk, message: str, *, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _render(request, "login.html", None, status_code=status, message=message,
                   demo_login=desk.demo_login, oidc=desk.oidc is not None)  # fmt: skip


def _render(
    request: Request,
    template: str,
    caller: Caller | None,
    *,
    status_code: HTTPStatus = HTTPStatus.OK,
    **values: Any,
) -> HTMLResponse:
    body = _pages.get_template(template).render(
        person=None if caller is None else caller.person,
        csrf="" if caller is None else caller.csrf,
        nonce=request.state.nonce,
        path=request.url.path,
        **values,
    )
    return HTMLResponse(body, status_code=status_code)


def _reasons(desk: Desk) -> dict[str, list[dict[str, Any]]]:
    """For the decision dialog: action → its codes."""
    required = desk.policy.note_required
    return {
        action.value: [
            {
                "code": reason.code,
                "label": reason.label,
                "note": not required.isdisjoint({f"{action}:{reason.code}", f"{action}:*"}),
            }
            for reason in codes
        ]
        for action, codes in REASONS.items()
    }


def _case_data(view: CaseView, links: dict[str, MediaLinks], desk: Desk) -> dict[str, Any]:
    """What the page's scripts need, as JSON."""
    soundings = {}
    for sounding in (view.upload_audio, *view.reference_audio):
        soundings[sounding.track_id] = {
            "state": sounding.state,
            "duration_s": sounding.duration_s,
            "loudness_lufs": sounding.loudness_lufs,
            "pictures": sounding.state == "ready" and not sounding.picture_detail,
            "links": asdict(links[sounding.track_id]) if sounding.track_id in links else None,
        }
    document = {
        "case_id": view.line.case_id,
        "token": view.lease_token,
        "leased_until": None if view.line.leased_until is None else view.line.leased_until.isoformat(),
        "lease_s": desk.policy.lease_s,
        "undo_s": desk.policy.undo_s,
        "actions": [action.value for action in view.actions],
        "reasons": _reasons(desk),
        "upload_duration_s": view.evidence.audio.duration_s,
        "matches": [match.model_dump(mode="json") for match in view.evidence.matches],
        "ai_segments": [segment.model_dump(mode="json") for segment in view.evidence.ai.segments],
        "audio": soundings,
    }
    return dict(json.loads(json.dumps(document)))
