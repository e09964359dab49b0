"""Sessions, appeals, reach, golden cases, quality, export, audit, accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import desc, insert, select, update

from review.accounts import (
    add_token,
    add_user,
    disable,
    list_users,
    revoke_token,
    set_password,
    set_role,
)
from review.appeals import file_appeal
from review.audit import Entry, append, read_log, verify
from review.golden import make_golden, retire_golden
from review.quality import Quality, labels, measure
from review.roles import May, Person
from review.scoring import artist_key, rescore
from review.sessions import COOKIE
from review.sign_in import Refused, try_sign_in
from review.tables import appeals, artists, cases, rejects, uploads
from review.web_auth import CallerDep, DeskDep, start_session
from review.web_models import (
    AppealBody,
    ArtistReach,
    GoldenBody,
    Me,
    RejectLine,
    SignIn,
    TokenBody,
    UploadReach,
    UserBody,
    UserChange,
    UserLine,
)
from soundalike.errors import ReviewError, UnknownCase

router = APIRouter(tags=["desk"])


@router.post("/session")
def sign_in(desk: DeskDep, request: Request, response: Response, body: SignIn) -> Me:
    """Sets the session cookie. 429 after too many tries."""
    host = request.client.host if request.client else ""
    account = try_sign_in(desk, body.user_id, body.password, host=host)
    if isinstance(account, Refused):
        raise HTTPException(account.status, account.message, headers=account.headers)
    csrf = start_session(response, desk, account)
    return _me(account.person, csrf)


@router.get("/session")
def me(caller: CallerDep) -> Me:
    return _me(caller.person, caller.csrf)


@router.delete("/session", status_code=204)
def sign_out(caller: CallerDep, response: Response) -> None:
    """Forget this browser's session."""
    response.delete_cookie(COOKIE, path="/")


@router.get("/rejects")
def rejected(
    desk: DeskDep, caller: CallerDep, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> list[RejectLine]:
    """Events that the desk could not read, with their original bytes; newest first."""
    caller.person.require(May.READ_AUDIT)
    with desk.database.read() as connection:
        rows = connection.execute(select(rejects).order_by(desc(rejects.c.received_at)).limit(limit)).all()
    return [
        RejectLine(row.sha256, row.stream, row.body_base64, row.reason, row.message, row.received_at)
        for row in rows
    ]


@router.post("/appeals", status_code=201)
def appeal(desk: DeskDep, caller: CallerDep, body: AppealBody) -> dict[str, str]:
    """An uploader's appeal against a confirmed flag; opens a case for somebody who did not decide it."""
    caller.person.require(May.FILE_APPEALS)
    with desk.database.write() as connection:
        appeal_id = file_appeal(connection, body.upload_id, body.statement, actor=caller.person.user_id,
                                references=desk.references, now=desk.now(), policy=desk.policy)  # fmt: skip
    return {"appeal_id": appeal_id}


@router.get("/appeals/{appeal_id}")
def appeal_state(desk: DeskDep, caller: CallerDep, appeal_id: str) -> dict[str, str | None]:
    """result: upheld or overturned; null while it is open."""
    caller.person.require(May.FILE_APPEALS)
    with desk.database.read() as connection:
        row = connection.execute(select(appeals).where(appeals.c.appeal_id == appeal_id)).first()
    if row is None:
        raise UnknownCase(f"there is no appeal {appeal_id}")
    return {"appeal_id": row.appeal_id, "upload_id": row.upload_id, "result": row.result}


@router.put("/reach/artist", status_code=204)
def artist_reach(desk: DeskDep, caller: CallerDep, body: ArtistReach) -> None:
    """How many people listen to an artist; live cases under that name are ranked anew."""
    caller.person.require(May.SET_REACH)
    key = artist_key(body.artist)
    if key is None:
        raise ReviewError("the artist's name is empty")
    now = desk.now()
    values = {"monthly_listeners": body.monthly_listeners, "updated_at": now}
    with desk.database.write() as connection:
        changed = connection.execute(update(artists).where(artists.c.artist_key == key).values(**values))
        if changed.rowcount == 0:
            connection.execute(insert(artists).values(artist_key=key, **values))
        theirs = cases.c.upload_id.in_(select(uploads.c.upload_id).where(uploads.c.artist_key == key))
        rescore(connection, theirs, policy=desk.policy)


@router.put("/reach/upload/{upload_id}", status_code=204)
def upload_reach(desk: DeskDep, caller: CallerDep, upload_id: str, body: UploadReach) -> None:
    """How often an upload was played; its live cases are ranked anew."""
    caller.person.require(May.SET_REACH)
    with desk.database.write() as connection:
        changed = connection.execute(
            update(uploads).where(uploads.c.upload_id == upload_id).values(plays=body.plays)
        )
        if changed.rowcount == 0:
            raise UnknownCase(f"no upload {upload_id} is known")
        rescore(connection, cases.c.upload_id == upload_id, policy=desk.policy)


@router.post("/golden", status_code=204)
def golden(desk: DeskDep, caller: CallerDep, body: GoldenBody) -> None:
    """Make a closed case a question with a known answer."""
    caller.person.require(May.LEAD)
    with desk.database.write() as connection:
        make_golden(connection, body.case_id, action=body.action, reason_code=body.reason_code,
                    actor=caller.person.user_id, now=desk.now())  # fmt: skip


@router.delete("/golden/{case_id}", status_code=204)
def no_golden(desk: DeskDep, caller: CallerDep, case_id: str) -> None:
    caller.person.require(May.LEAD)
    with desk.database.write() as connection:
        retire_golden(connection, case_id, actor=caller.person.user_id, now=desk.now())


@router.get("/quality")
def quality(desk: DeskDep, caller: CallerDep) -> Quality:
    """Agreement, precision by rule, accuracy on golden cases, overturns."""
    caller.person.require(May.READ_QUALITY)
    with desk.database.read() as connection:
        return measure(connection)


@router.get("/export/labels", response_class=StreamingResponse)
def export(desk: DeskDep, caller: CallerDep) -> StreamingResponse:
    """Decided uploads as JSON Lines, for re-calibrating the thresholds."""
    caller.person.require(May.EXPORT)

    def lines() -> Iterator[str]:
        with desk.database.read() as connection:
            for label in labels(connection):
                yield json.dumps(label, ensure_ascii=False) + "\n"

    with desk.database.write() as connection:
        append(
            connection, at=desk.now(), actor=caller.person.user_id, action="export.labels", subject="labels"
        )
    return StreamingResponse(lines(), media_type="application/x-ndjson")


@router.get("/audit")
def audit_log(
    *,
    desk: DeskDep,
    caller: CallerDep,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    actor: Annotated[str, Query(max_length=200)] = "",
    subject: Annotated[str, Query(max_length=1000)] = "",
) -> list[Entry]:
    """Newest first; `before` is the lowest `seq` of the page before."""
    caller.person.require(May.READ_AUDIT)
    return read_log(desk.database, before=before, actor=actor, subject=subject, limit=limit)


@router.get("/audit/head")
def audit_head(desk: DeskDep, caller: CallerDep) -> dict[str, str]:
    """Walk the whole chain. `head` is what to keep elsewhere, as the anchor of a later check."""
    caller.person.require(May.READ_AUDIT)
    with desk.database.read() as connection:
        return {"head": str(verify(connection))}


@router.get("/users")
def users(desk: DeskDep, caller: CallerDep) -> list[UserLine]:
    caller.person.require(May.MANAGE_USERS)
    with desk.database.read() as connection:
        return [
            UserLine(person.user_id, person.display_name, person.role, person.rightsholder, enabled)
            for person, enabled in list_users(connection)
        ]


@router.post("/users", status_code=201)
def new_user(desk: DeskDep, caller: CallerDep, body: UserBody) -> UserLine:
    caller.person.require(May.MANAGE_USERS)
    with desk.database.write() as connection:
        person = add_user(
            connection, user_id=body.user_id, role=body.role, now=desk.now(), actor=caller.person.user_id,
            password=body.password, display_name=body.display_name, rightsholder=body.rightsholder,
        )  # fmt: skip
    return UserLine(person.user_id, person.display_name, person.role, person.rightsholder, enabled=True)


@router.patch("/users/{user_id}", status_code=204)
def change_user(desk: DeskDep, caller: CallerDep, user_id: str, body: UserChange) -> None:
    """Role, password, or out: disabled accounts stay in the log and can't sign in."""
    caller.person.require(May.MANAGE_USERS)
    now, actor = desk.now(), caller.person.user_id
    with desk.database.write() as connection:
        if body.role is not None:
            set_role(connection, user_id, body.role, now=now, actor=actor)
        if body.password is not None:
            set_password(connection, user_id, body.password, now=now, actor=actor)
        if body.disabled:
            disable(connection, user_id, now=now, actor=actor)


@router.delete("/tokens/{name}")
def no_token(desk: DeskDep, caller: CallerDep, name: str) -> int:
    """Let a program in no more; returns how many tokens had this name."""
    caller.person.require(May.MANAGE_USERS)
    with desk.database.write() as connection:
        return revoke_token(connection, name[:200], now=desk.now(), actor=caller.person.user_id)


@router.post("/tokens", status_code=201)
def new_token(desk: DeskDep, caller: CallerDep, body: TokenBody) -> dict[str, str]:
    """A token for a program that files appeals or reports reach. It is shown this once."""
    caller.person.require(May.MANAGE_USERS)
    with desk.database.write() as connection:
        token = add_token(connection, body.name, now=desk.now(), actor=caller.person.user_id)
    return {"token": token}


def _me(person: Person, csrf: str) -> Me:
    return Me(person.user_id, person.display_name, person.role, person.rightsholder, csrf)
