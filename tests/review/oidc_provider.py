"""A small real OpenID Connect provider: discovery, sign-in page, authorization code with PKCE, token, keys.

Run as a program by the tests: `oidc_provider.py CLIENT_ID CLIENT_SECRET REDIRECT_URI` prints its issuer and
serves until its standard input closes. Whoever signs in chooses by their name how the provider behaves: as
`anna:lead` it issues a right token with that role, as `anna:lead:expired` a token that is wrong in one way.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import socket
import sys
import threading
import time
from html import escape
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

CODE_S = 60.0


def provider(issuer: str, client_id: str, client_secret: str, redirect_uri: str) -> FastAPI:
    app = FastAPI()
    key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
    stranger = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
    codes: dict[str, dict[str, Any]] = {}

    @app.get("/.well-known/openid-configuration")
    def discovery() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    @app.get("/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False)]}

    @app.get("/authorize")
    def authorize(request: Request) -> HTMLResponse:
        asked = request.query_params
        right = (
            asked.get("client_id") == client_id
            and asked.get("redirect_uri") == redirect_uri
            and asked.get("response_type") == "code"
            and "openid" in asked.get("scope", "").split()
            and asked.get("code_challenge_method") == "S256"
            and all(asked.get(name) for name in ("state", "nonce", "code_challenge"))
        )
        if not right:
            raise HTTPException(400, f"not a request for a code with PKCE, state and nonce: {dict(asked)}")
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(asked[name])}">'
            for name in ("state", "nonce", "code_challenge")
        )
        return HTMLResponse(
            f'<!doctype html><title>Provider</title><form method="post" action="/authorize">{hidden}'
            '<label>Who are you? <input name="who"></label><button>Continue</button></form>'
        )

    @app.post("/authorize")
    def signed_in(
        who: Annotated[str, Form()],
        state: Annotated[str, Form()],
        nonce: Annotated[str, Form()],
        code_challenge: Annotated[str, Form()],
    ) -> RedirectResponse:
        if who == "nobody":
            query = urlencode({"error": "access_denied", "state": state})
        else:
            code = secrets.token_urlsafe(16)
            codes[code] = {"who": who, "nonce": nonce, "challenge": code_challenge, "at": time.monotonic()}
            query = urlencode({"code": code, "state": state})
        return RedirectResponse(f"{redirect_uri}?{query}", status_code=303)

    @app.post("/token")
    def token(
        request: Request,
        grant_type: Annotated[str, Form()],
        code: Annotated[str, Form()],
        code_verifier: Annotated[str, Form()],
        redirect: Annotated[str, Form(alias="redirect_uri")],
    ) -> JSONResponse:
        basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, status_code=401)
        kept = codes.pop(code, None)  # a code works once
        digest = hashlib.sha256(code_verifier.encode()).digest()
        fits = (
            kept is not None
            and grant_type == "authorization_code"
            and redirect == redirect_uri
            and time.monotonic() - kept["at"] < CODE_S
            and base64.urlsafe_b64encode(digest).decode().rstrip("=") == kept["challenge"]
        )
        if not fits or kept is None:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return _tokens(kept)

    def _tokens(kept: dict[str, Any]) -> JSONResponse:
        name, role, flaw = (*kept["who"].split(":"), "", "")[:3]
        if flaw == "down":
            return JSONResponse({"error": "temporarily_unavailable"}, status_code=503)
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": issuer, "sub": f"sub-{name}", "aud": client_id, "iat": now, "exp": now + 300,
            "nonce": kept["nonce"], "preferred_username": name, "name": name.title(),
        }  # fmt: skip
        if role:
            claims["soundalike_role"] = role.split("+") if "+" in role else role
        if role.startswith("rights_ops="):
            claims["soundalike_role"], claims["soundalike_rightsholder"] = role.split("=")
        flaws: dict[str, dict[str, Any]] = {
            "expired": {"exp": now - 3600, "iat": now - 7200},
            "audience": {"aud": "another-client"},
            "audience-azp": {"aud": "another-client", "azp": client_id},
            "issuer": {"iss": "http://evil.test"},
            "nonce": {"nonce": "stale"},
            "no-nonce": {"nonce": None},
        }
        claims |= flaws.get(flaw, {})
        claims = {name: value for name, value in claims.items() if value is not None}
        answer = {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 300}
        signed = jwt.encode({"alg": "RS256", "kid": "first"}, claims, stranger if flaw == "forged" else key)
        if flaw == "unsigned":
            head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
            signed = f"{head}.{signed.split('.')[1]}."
        if flaw != "no-token":
            answer["id_token"] = "nonsense" if flaw == "nonsense" else signed
        return JSONResponse(answer)

    return app


def main() -> None:
    client_id, client_secret, redirect_uri = sys.argv[1:]
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        # Another site than the desk's 127.0.0.1: a browser keeps SameSite cookies apart, as in real life.
        issuer = f"http://localhost:{listening.getsockname()[1]}"
        app = provider(issuer, client_id, client_secret, redirect_uri)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))

        def leave_with_parent() -> None:
            sys.stdin.read()
            os._exit(0)

        threading.Thread(target=leave_with_parent, daemon=True).start()
        sys.stdout.write(issuer + "\n")
        sys.stdout.flush()
        server.run(sockets=[listening])


if __name__ == "__main__":
    main()
