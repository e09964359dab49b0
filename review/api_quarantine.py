"""Quarantined references over the API: list, keep, release. For leads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from review.quarantine import QuarantineLine, keep, release, waiting
from review.roles import May
from review.web_auth import CallerDep, DeskDep
from review.web_models import KeepBody, ReleaseBody

router = APIRouter(tags=["quarantine"])

QuarantineId = Annotated[str, Path(max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.get("/quarantine")
def list_waiting(desk: DeskDep, caller: CallerDep) -> list[QuarantineLine]:
    """References that suddenly matched too many uploads and wait for a person, oldest first."""
    caller.person.require(May.LEAD)
    return waiting(desk)


@router.post("/quarantine/{quarantine_id}/keep", status_code=204)
def keep_out(desk: DeskDep, caller: CallerDep, quarantine_id: QuarantineId, body: KeepBody) -> None:
    """The reference, or the span of it, proves nothing and stays out of matching."""
    caller.person.require(May.LEAD)
    keep(desk, caller.person, quarantine_id, reason=body.reason, start_s=body.start_s, end_s=body.end_s)


@router.post("/quarantine/{quarantine_id}/release")
def let_go(
    desk: DeskDep, caller: CallerDep, quarantine_id: QuarantineId, body: ReleaseBody
) -> dict[str, list[str]]:
    """The reference accuses again; `uploads` went by in the meantime and have to be published again."""
    caller.person.require(May.LEAD)
    return {"uploads": list(release(desk, caller.person, quarantine_id, reason=body.reason))}
