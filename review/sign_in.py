"""Signing in with a local password, within limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

from review.accounts import Account, sign_in
from review.audit import append
from review.desk import Desk


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nobody was let in, as an HTTP answer. Whether name or password was wrong stays unsaid."""

    status: int
    message: str
    wait_s: float = 0.0

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(math.ceil(self.wait_s))} if self.wait_s > 0 else {}


def try_sign_in(desk: Desk, user_id: str, password: str, *, host: str) -> Account | Refused:
    """Tries are counted by name and by host before the password is looked at. By host only failures stay
    counted, and more of them are allowed: a whole office may come from one address."""
    by_name, by_host = f"user:{user_id}", f"host:{host}"
    wait_s = max(desk.login_limit.wait_s(by_name), desk.host_limit.wait_s(by_host))
    if wait_s > 0:
        return Refused(429, f"too many tries to sign in; the next is possible in {wait_s:.0f} s", wait_s)
    with desk.database.read() as connection:
        account = sign_in(connection, user_id, password)
    with desk.database.write() as connection:
        append(connection, at=desk.now(), actor=user_id,
               action="session.refused" if account is None else "session.started", subject=user_id,
               detail={"host": host})  # fmt: skip
    if account is None:
        return Refused(401, "name or password is wrong")
    desk.login_limit.forget(by_name)
    desk.host_limit.give_back(by_host)
    return account
