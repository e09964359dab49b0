"""Signing in through an OpenID Connect provider: authorization code flow with PKCE, by authlib.

The provider says who somebody is and, in one claim, which of our roles they have. A first sign-in makes the
account, bound to (issuer, subject); a local account of the same name is never taken over. Later sign-ins
bring role and rightsholder up to date, and somebody who comes without a role loses all open sessions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authlib.integrations.base_client.errors import MismatchingStateError, OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from httpx2 import HTTPError
from joserfc.errors import JoseError
from sqlalchemy import Connection, select
from starlette.middleware.sessions import SessionMiddleware

from review.accounts import Account, account_of, add_user, end_sessions, follow_provider
from review.audit import append
from review.desk import Desk, OidcSettings
from review.roles import Role
from review.tables import users
from review.web_auth import start_session
from soundalike.errors import NotPermitted, ProviderUnavailable, ReviewError

_WIDEST_FIRST = (Role.ADMIN, Role.LEAD, Role.REVIEWER, Role.AUDITOR, Role.RIGHTS_OPS)

STATE_COOKIE = "soundalike_oidc"
STATE_S = 600
_TIMEOUT_S = 10.0

# The session cookie is SameSite=Strict: a browser leaves it out while it follows redirects that another site
# began. So the way back ends on a page of our own, which goes on by itself.
_ARRIVED = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/queue">'
    '<title>Signed in</title><p>Signed in. <a href="/queue">Go to the queue</a>.</p></html>'
)


def add_oidc(app: FastAPI, desk: Desk, settings: OidcSettings) -> None:
    """Mount /oidc/login and /oidc/callback. A signed cookie holds state, nonce and verifier in between; its
    key comes from the desk's own, so that any server of the desk can take the answer."""
    app.add_middleware(
        SessionMiddleware, secret_key=desk.signer.key_for("oidc"), session_cookie=STATE_COOKIE,
        max_age=STATE_S, same_site="lax", https_only=desk.secure, path="/oidc",
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
    issuer = settings.issuer.rstrip("/")
    # authlib checks signature, times and nonce by itself. It takes the issuer from the provider's own
    # document and lets a token for somebody else pass if its `azp` names us: both are pinned here.
    claims_options = {
        "iss": {"essential": True, "values": [issuer, issuer + "/"]},
        "aud": {"essential": True, "value": settings.client_id},
        "sub": {"essential": True},
    }

    @router.get("/login")
    async def login(request: Request) -> Response:
        try:
            answer: Response = await provider.authorize_redirect(
                request, desk.public_url.rstrip("/") + "/oidc/callback"
            )
        except (OAuthError, HTTPError, RuntimeError, ValueError, KeyError) as error:
            raise ProviderUnavailable(
                f"the identity provider {settings.issuer} can't be asked: {error}"
            ) from error
        return answer

    @router.get("/callback")
    async def callback(request: Request) -> Response:
        try:
            token = await provider.authorize_access_token(request, claims_options=claims_options)
        except MismatchingStateError as error:
            raise NotPermitted(
                "this sign-in was not begun in this browser, or it took too long; sign in again"
            ) from error
        except OAuthError as error:
            raise NotPermitted(f"the identity provider refused: {error.error}") from error
        except JoseError as error:
            raise NotPermitted(f"the identity provider's token can't be trusted: {error}") from error
        except HTTPError as error:
            raise ProviderUnavailable(
                f"the identity provider {settings.issuer} did not answer: {error}"
            ) from error
        except ValueError as error:  # no JSON where JSON belongs, or a token of no known form
            raise NotPermitted("the identity provider's answer can't be read; ask your admin") from error
        claims = token.get("userinfo")
        if not claims:
            raise NotPermitted("the identity provider sent no ID token; ask your admin")
        account = await run_in_threadpool(_account, desk, settings, claims)
        response = HTMLResponse(_ARRIVED)
        start_session(response, desk, account)
        return response

    return router


def _account(desk: Desk, settings: OidcSettings, claims: Mapping[str, Any]) -> Account:
    """The account of these claims, made on first sight, with the role as the provider has it now."""
    subject = f"{settings.issuer}|{claims['sub']}"[:500]
    now = desk.now()
    role, holder = _role(claims, settings)
    with desk.database.write() as connection:
        row = connection.execute(select(users).where(users.c.oidc_subject == subject)).first()
        if role is None:
            if row is not None:
                end_sessions(connection, row.user_id, now=now, actor="oidc")
        else:
            if row is None:
                user_id = _add(connection, claims, subject, role=role, holder=holder, now=now)
            else:
                user_id = row.user_id
                if (row.role, row.rightsholder) != (role, holder):
                    follow_provider(connection, user_id, role, rightsholder=holder, now=now)
            account = account_of(connection, user_id)
            if account is None:
                raise NotPermitted("this account is disabled")
            append(connection, at=now, actor=user_id, action="session.started", subject=user_id,
                   detail={"by": settings.issuer})  # fmt: skip
            return account
    # Outside of the transaction: the end of the sessions has to stay.
    raise NotPermitted(
        f"your account has none of the desk's roles in its claim {settings.role_claim!r}; ask your admin"
    )


def _add(
    connection: Connection,
    claims: Mapping[str, Any],
    subject: str,
    *,
    role: Role,
    holder: str | None,
    now: datetime,
) -> str:
    name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"]).strip()
    try:
        return add_user(
            connection, user_id=name, role=role, now=now, actor="oidc", oidc_subject=subject,
            display_name=str(claims.get("name") or "")[:200], rightsholder=holder,
        ).user_id  # fmt: skip
    except ReviewError as error:
        raise NotPermitted(f"no account can be made for you: {error}; ask your admin") from error


def _role(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[Role | None, str | None]:
    """The widest of our roles in the claim (text or a list), and whose catalog it is."""
    claim = claims.get(settings.role_claim)
    offered = [claim] if isinstance(claim, str) else list(claim) if isinstance(claim, list) else []
    for role in _WIDEST_FIRST:
        if role.value in offered:
            holder = claims.get(settings.rightsholder_claim) if role is Role.RIGHTS_OPS else None
            return role, None if holder is None else str(holder)[:200]
    return None, None
