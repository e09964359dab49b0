"""Who makes this request: FastAPI dependencies for the session cookie, bearer tokens and CSRF."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request, Response

from review.accounts import Account, account_of, program_of
from review.desk import Desk
from review.roles import Person
from review.sessions import COOKIE, Session
from soundalike.errors import NotPermitted

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class NotSignedIn(Exception):
    """No valid session and no valid token."""


@dataclass(frozen=True, slots=True)
class Caller:
    """csrf: what the page has to send back with every change; empty for programs."""

    person: Person
    csrf: str


def desk_of(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


def caller_of(request: Request) -> Caller:
    """Raises NotSignedIn; NotPermitted for a change without the page's CSRF token."""
    desk = desk_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        with desk.database.read() as connection:
            program = program_of(connection, token.strip())
        if program is None:
            raise NotSignedIn
        _count(desk, program)
        return Caller(program, "")
    session, account = session_of(request)
    if session is None or account is None:
        raise NotSignedIn
    _count(desk, account.person)
    if request.method not in SAFE_METHODS and not desk.signer.csrf_fits(
        session, request.headers.get("x-csrf-token", "")
    ):
        raise NotPermitted("the request does not carry this session's X-CSRF-Token; reload the page")
    return Caller(account.person, desk.signer.csrf(session))


def _count(desk: Desk, person: Person) -> None:
    """Raises HTTPException 429 for somebody who asks more often than people and honest programs do."""
    wait_s = desk.request_limit.wait_s(person.user_id)
    if wait_s > 0:
        seconds = math.ceil(wait_s)
        raise HTTPException(429, f"too many requests; go on in {seconds} s", {"Retry-After": str(seconds)})


def session_of(request: Request) -> tuple[Session | None, Account | None]:
    """The session of the cookie and its account, as far as they are valid."""
    desk = desk_of(request)
    session = desk.signer.read(request.cookies.get(COOKIE, ""), now=desk.now())
    if session is None:
        return None, None
    with desk.database.read() as connection:
        account = account_of(connection, session.user_id)
    return (session, account) if account is not None and account.epoch == session.epoch else (None, None)


def start_session(response: Response, desk: Desk, account: Account) -> str:
    """Set the cookie; returns the CSRF token that goes with it."""
    expires_at = desk.now() + timedelta(seconds=desk.policy.session_s)
    value, session = desk.signer.issue(account.person.user_id, account.epoch, expires_at=expires_at)
    response.set_cookie(
        COOKIE, value, max_age=int(desk.policy.session_s), httponly=True, samesite="strict",
        secure=desk.secure, path="/",
    )  # fmt: skip
    return desk.signer.csrf(session)


DeskDep = Annotated[Desk, Depends(desk_of)]
CallerDep = Annotated[Caller, Depends(caller_of)]
