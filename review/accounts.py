"""Accounts of people and tokens of programs. Passwords as argon2id, tokens as SHA-256 of 32 random bytes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, insert, select, update

from review.audit import append
from review.roles import Person, Role
from review.tables import tokens, users
from soundalike.errors import ReviewError

MIN_PASSWORD_CHARACTERS = 10
MAX_PASSWORD_CHARACTERS = 500
_PEOPLE = tuple(role for role in Role if role is not Role.SERVICE)

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, second recommendation


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the session needs it; `epoch` ends older sessions when it is raised."""

    person: Person
    epoch: int


def add_user(
    connection: Connection,
    *,
    user_id: str,
    role: Role,
    now: datetime,
    actor: str,
    password: str | None = None,
    display_name: str = "",
    rightsholder: str | None = None,
    oidc_subject: str | None = None,
) -> Person:
    """Raises ReviewError if the name is taken or something does not fit together."""
    user_id = user_id.strip()
    if not 1 <= len(user_id) <= 200 or not user_id.isprintable():
        raise ReviewError("a user id has 1 to 200 printable characters")
    if role not in _PEOPLE:
        raise ReviewError(f"people have the roles {', '.join(_PEOPLE)}; a program gets a token instead")
    if (role is Role.RIGHTS_OPS) != (rightsholder is not None):
        raise ReviewError("name the rightsholder of a rights_ops account, and of no other")
    if connection.execute(select(users.c.user_id).where(users.c.user_id == user_id)).first():
        raise ReviewError(f"there is a user {user_id} already")
    connection.execute(
        insert(users).values(
            user_id=user_id, display_name=display_name.strip() or user_id, role=role,
            rightsholder=rightsholder, oidc_subject=oidc_subject, session_epoch=0, created_at=now,
            password_hash=None if password is None else _hashed(password),
        )
    )  # fmt: skip
    append(connection, at=now, actor=actor, action="user.added", subject=user_id, detail={"role": role})
    return Person(user_id, display_name.strip() or user_id, role, rightsholder)


def set_password(connection: Connection, user_id: str, password: str, *, now: datetime, actor: str) -> None:
    """Also ends the user's sessions. Raises ReviewError."""
    _change(connection, user_id, password_hash=_hashed(password), session_epoch=users.c.session_epoch + 1)
    append(connection, at=now, actor=actor, action="user.password", subject=user_id)


def set_role(connection: Connection, user_id: str, role: Role, *, now: datetime, actor: str) -> None:
    """Raises ReviewError. A change from or to rights_ops needs a new account: it is bound to a catalog."""
    row = connection.execute(select(users.c.role).where(users.c.user_id == user_id)).first()
    if role not in _PEOPLE or Role.RIGHTS_OPS in {role, None if row is None else Role(row.role)}:
        raise ReviewError("make a new account for rights_ops; other people's roles can be changed")
    _change(connection, user_id, role=role)
    append(connection, at=now, actor=actor, action="user.role", subject=user_id, detail={"role": role})


def follow_provider(
    connection: Connection, user_id: str, role: Role, *, rightsholder: str | None, now: datetime
) -> None:
    """The identity provider gave this person another role or rightsholder. Raises ReviewError."""
    if (role is Role.RIGHTS_OPS) != (rightsholder is not None):
        raise ReviewError("a rights_ops role comes with a rightsholder, and no other does")
    _change(connection, user_id, role=role, rightsholder=rightsholder)
    append(connection, at=now, actor="oidc", action="user.role", subject=user_id,
           detail={"role": role, "rightsholder": rightsholder})  # fmt: skip


def end_sessions(connection: Connection, user_id: str, *, now: datetime, actor: str) -> None:
    """Sign the user out everywhere. Raises ReviewError."""
    _change(connection, user_id, session_epoch=users.c.session_epoch + 1)
    append(connection, at=now, actor=actor, action="user.signed_out", subject=user_id)


def disable(connection: Connection, user_id: str, *, now: datetime, actor: str) -> None:
    """Ends all sessions of the user, and lets nobody in again. Raises ReviewError."""
    _change(connection, user_id, disabled_at=now, session_epoch=users.c.session_epoch + 1)
    append(connection, at=now, actor=actor, action="user.disabled", subject=user_id)


def sign_in(connection: Connection, user_id: str, password: str) -> Account | None:
    """None for a wrong name or password alike, after the same work."""
    row = connection.execute(
        select(users).where(users.c.user_id == user_id, users.c.disabled_at.is_(None))
    ).first()
    stored = None if row is None else row.password_hash
    try:
        _hasher.verify(stored or _decoy(), password[:MAX_PASSWORD_CHARACTERS])
    except (VerificationError, InvalidHashError):
        return None
    if row is None or stored is None:
        return None
    return Account(Person(row.user_id, row.display_name, Role(row.role), row.rightsholder), row.session_epoch)


def account_of(connection: Connection, user_id: str) -> Account | None:
    """None if there is no such user, or the account is disabled."""
    row = connection.execute(
        select(users).where(users.c.user_id == user_id, users.c.disabled_at.is_(None))
    ).first()
    if row is None:
        return None
    return Account(Person(row.user_id, row.display_name, Role(row.role), row.rightsholder), row.session_epoch)


def list_users(connection: Connection) -> list[tuple[Person, bool]]:
    """Everybody, and whether the account is in use."""
    rows = connection.execute(select(users).order_by(users.c.user_id))
    return [
        (Person(row.user_id, row.display_name, Role(row.role), row.rightsholder), row.disabled_at is None)
        for row in rows
    ]


def add_token(connection: Connection, name: str, *, now: datetime, actor: str) -> str:
    """A token for a program (role `service`); it is shown this once and kept only as its hash."""
    token = "sdk_" + secrets.token_urlsafe(32)
    connection.execute(
        insert(tokens).values(
            token_sha256=_token_hash(token), name=name.strip()[:200] or "token", created_at=now
        )
    )
    append(connection, at=now, actor=actor, action="token.added", subject=name[:200])
    return token


def program_of(connection: Connection, token: str) -> Person | None:
    """The program behind a token that is in force."""
    row = connection.execute(
        select(tokens.c.name).where(
            tokens.c.token_sha256 == _token_hash(token), tokens.c.revoked_at.is_(None)
        )
    ).first()
    return None if row is None else Person(f"service:{row.name}"[:200], row.name, Role.SERVICE)


def revoke_token(connection: Connection, name: str, *, now: datetime, actor: str) -> int:
    """Revokes all tokens of this name; returns how many there were."""
    changed = connection.execute(
        update(tokens).where(tokens.c.name == name, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    )
    append(connection, at=now, actor=actor, action="token.revoked", subject=name)
    return int(changed.rowcount)


def _change(connection: Connection, user_id: str, **values: object) -> None:
    if connection.execute(update(users).where(users.c.user_id == user_id).values(**values)).rowcount != 1:
        raise ReviewError(f"there is no user {user_id}")


def _hashed(password: str) -> str:
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        raise ReviewError(f"a password has {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters")
    return _hasher.hash(password)


def _token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@lru_cache(maxsize=1)
def _decoy() -> str:
    """A hash that nothing matches, so that an unknown name takes as long as a wrong password."""
    return _hasher.hash(secrets.token_urlsafe(16))
