"""The desk: everything that a request or a worker needs, put together once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from review.database import Database
from review.media_store import MediaStore
from review.policy import DeskPolicy
from review.ports import Quarantines, References
from review.rate_limit import RateLimit
from review.sessions import Signer
from review.workers import Worker


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """One OpenID Connect provider. role_claim: the claim that holds one of our roles (text or a list)."""

    issuer: str
    client_id: str
    client_secret: str
    role_claim: str = "soundalike_role"
    rightsholder_claim: str = "soundalike_rightsholder"


@dataclass(frozen=True, kw_only=True)
class Desk:
    """public_url: as people type it; https makes the cookie secure. demo_login: shown on the sign-in page.
    quarantines: None on a desk without a catalog.
    """

    database: Database
    store: MediaStore
    references: References
    signer: Signer
    quarantines: Quarantines | None = None
    policy: DeskPolicy = field(default_factory=DeskPolicy)
    public_url: str = "http://127.0.0.1"
    oidc: OidcSettings | None = None
    demo_login: tuple[str, str] | None = None
    clock: Callable[[], datetime] = utc_now
    workers: tuple[Worker, ...] = ()
    login_limit: RateLimit = field(default_factory=lambda: _login_limit(DeskPolicy()))
    host_limit: RateLimit = field(default_factory=lambda: _login_limit(DeskPolicy(), times=5))
    request_limit: RateLimit = field(default_factory=lambda: _request_limit(DeskPolicy()))

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")


def _login_limit(policy: DeskPolicy, *, times: int = 1) -> RateLimit:
    return RateLimit(attempts=policy.login_attempts * times, window_s=policy.login_window_s)


def _request_limit(policy: DeskPolicy) -> RateLimit:
    return RateLimit(attempts=policy.requests_per_minute, window_s=60.0)
