"""Signed things: the session cookie, its CSRF token, and addresses of audio that expire.

The cookie holds no secret: the user's id, the account's epoch and a random number, signed. A session ends by
time, by signing out (the browser forgets it) or for all of a user's browsers when the epoch is raised.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from itsdangerous import BadSignature, URLSafeSerializer

from soundalike.errors import ReviewError

COOKIE = "soundalike_desk"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """What a valid cookie says."""

    user_id: str
    epoch: int
    nonce: str


class Signer:
    """Signs and checks with one key; the purposes are kept apart by salts."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ReviewError(f"the desk's signing key needs {KEY_BYTES} bytes or more")
        self._key = key
        self._cookies = URLSafeSerializer(key, salt="soundalike.review.session")

    def issue(self, user_id: str, epoch: int, *, expires_at: datetime) -> tuple[str, Session]:
        """The cookie's value, and the session that it stands for."""
        session = Session(user_id, epoch, secrets.token_urlsafe(16))
        document = [session.user_id, session.epoch, session.nonce, int(expires_at.timestamp())]
        return str(self._cookies.dumps(document)), session

    def read(self, cookie: str, *, now: datetime) -> Session | None:
        """None for anything that is not ours, or not any more."""
        try:
            user_id, epoch, nonce, expires_s = self._cookies.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return None
        return Session(user_id, epoch, nonce) if now.timestamp() < expires_s else None

    def csrf(self, session: Session) -> str:
        """The token that pages send back in `X-CSRF-Token`; another site can't read it."""
        return self._mac("csrf", session.user_id, session.nonce)

    def csrf_fits(self, session: Session, token: str) -> bool:
        return hmac.compare_digest(self.csrf(session).encode(), token.encode())

    def media_query(self, sha256: str, *, expires_at: datetime) -> str:
        """Query string of an address under /media/<sha256>/ that works until `expires_at`."""
        expires = str(int(expires_at.timestamp()))
        return f"expires={expires}&signature={self._mac('media', sha256, expires)}"

    def media_fits(self, sha256: str, *, expires: int, signature: str, now: datetime) -> bool:
        expected = self._mac("media", sha256, str(expires))
        return now.timestamp() < expires and hmac.compare_digest(expected.encode(), signature.encode())

    def key_for(self, purpose: str) -> str:
        """A key of its own for another library; it tells nothing about this one."""
        return self._mac("key", purpose)

    def _mac(self, purpose: str, *parts: str) -> str:
        text = "\0".join((purpose, *parts))
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()


def load_key(path: Path) -> bytes:
    """The signing key in `path`, made on first use, readable by its owner only. Raises ReviewError."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(secrets.token_bytes(KEY_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise ReviewError(f"the signing key {path} can't be used: {error.strerror or error}") from error
