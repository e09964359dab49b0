"""Signing in through an OpenID Connect provider: authorization code flow with PKCE, by authlib.

The provider says who somebody is and, in one claim, which of our roles they have. A first sign-in makes the
account, bound to (issuer, subject); a local account of the same name is never taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from httpx import HTTPError
from sqlalchemy import select
from starlette.middleware.sessions import SessionMiddleware

from review.accounts import Account, account_of, add_user, set_role
from review.audit import append
from review.desk import Desk, OidcSettings
from review.roles import Role
from review.tables import users
from review.web_auth import start_session
from soundalike.errors import NotPermitted, ReviewError

STATE_COOKIE = "soundalike_oidc"
STATE_S = 600
_TIMEOUT_S = 10.0

# The session cookie is SameSite=Strict: a browser leaves it out while it follows redirects that another site
# began. So the way back ends on a page of our own, which goes on by itself.
_ARRIVED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/queue">'
    '<title>Signed in</title><p>Signed in. <a href="/queue">Go to the queue</a>.</p></html>'
)


def add_oidc(app: FastAPI, desk: Desk, settings: OidcSettings, *, key: str) -> None:
    """Mount /oidc/login and /oidc/callback. `key` signs the cookie that holds state, nonce and verifier."""
    app.add_middleware(
        SessionMiddleware, secret_key=key, session_cookie=STATE_COOKIE, max_age=STATE_S, same_site="lax",
        https_only=desk.secure, path="/oidc",
    )  # fmt: skip
    registry = OAuth()
    registry.register(
        "provider",
        client_id=settings.client_id,
        client_secret=settings.client_secret,
        server_metadata_url=settings.issuer.rstrip("/") + "/.well-known/openid-configuration",
        client_kwargs={
            "scope": "openid profile email",
            "code_challenge_method": "S256",
            "timeout": _TIMEOUT_S,
        },
    )
    app.include_router(_routes(desk, settings, registry))


def _routes(desk: Desk, settings: OidcSettings, registry: OAuth) -> APIRouter:
    router = APIRouter(prefix="/oidc", include_in_schema=False)
    provider: Any = registry.provider

    @router.get("/login")
    async def login(request: Request) -> Response:
        try:
            answer: Response = await provider.authorize_redirect(
                request, desk.public_url.rstrip("/") + "/oidc/callback"
            )
        except (OAuthError, HTTPError, RuntimeError) as error:
            raise ReviewError(f"the identity provider {settings.issuer} can't be asked: {error}") from error
        return answer

    @router.get("/callback")
    async def callback(request: Request) -> Response:
        try:
            token = await provider.authorize_access_token(request)
        except OAuthError as error:
            raise NotPermitted(f"the identity provider refused: {error.error}") from error
        except HTTPError as error:
            raise ReviewError(f"the identity provider {settings.issuer} did not answer: {error}") from error
        account = await run_in_threadpool(_account, desk, settings, token["userinfo"])
        response = HTMLResponse(_ARRIVED)
        start_session(response, desk, account)
        return response

    return router


def _account(desk: Desk, settings: OidcSettings, claims: Mapping[str, Any]) -> Account:
    """The account of these claims, made on first sight, with the role as the provider has it now."""
    role = _role(claims.get(settings.role_claim), settings.role_claim)
    subject = f"{settings.issuer}|{claims['sub']}"[:500]
    now = desk.now()
    with desk.database.write() as connection:
        row = connection.execute(select(users).where(users.c.oidc_subject == subject)).first()
        if row is None:
            user_id = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
            holder = claims.get(settings.rightsholder_claim) if role is Role.RIGHTS_OPS else None
            add_user(connection, user_id=user_id, role=role, now=now, actor="oidc",
                     display_name=str(claims.get("name") or "")[:200], oidc_subject=subject,
                     rightsholder=None if holder is None else str(holder)[:200])  # fmt: skip
        else:
            user_id = row.user_id
            if row.role != role:
                set_role(connection, user_id, role, now=now, actor="oidc")
        account = account_of(connection, user_id.strip())
        if account is None:
            raise NotPermitted("this account is disabled")
        append(connection, at=now, actor=account.person.user_id, action="session.started",
               subject=account.person.user_id, detail={"by": settings.issuer})  # fmt: skip
    return account


def _role(claim: object, name: str) -> Role:
    offered = [claim] if isinstance(claim, str) else list(claim) if isinstance(claim, list) else []
    for role in Role:
        if role is not Role.SERVICE and role.value in offered:
            return role
    raise NotPermitted(f"your account has none of the desk's roles in its claim {name!r}; ask your admin")
