"""The queue and its cases: list, claim, renew, release, decide, take back, in bulk."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from review.case_today import open_view
from review.case_view import view_case
from review.decisions import Answer, Decided, decide, undo
from review.desk import Desk
from review.golden import deal_golden, waiting_golden
from review.leases import Lease, claim, release, renew
from review.media import try_again
from review.media_links import links_of
from review.papers import documents_received
from review.queue import MAX_PAGE, PAGE, QueueFilter, Show, count_cases, list_cases, next_case
from review.reasons import REASONS
from review.roles import May, Person
from review.web_auth import CallerDep, DeskDep
from review.web_models import (
    BulkBody,
    BulkLine,
    CaseAnswer,
    DecideBody,
    DocumentsBody,
    LeaseToken,
    NextBody,
    QueueAnswer,
    ReasonLine,
)
from soundalike.errors import ReviewError, UnknownCase

router = APIRouter(tags=["cases"])


@router.get("/reasons")
def reasons(desk: DeskDep, _caller: CallerDep) -> list[ReasonLine]:
    """The vocabulary of decisions."""
    required = desk.policy.note_required
    return [
        ReasonLine(
            action, reason.code, reason.label,
            note_required=not required.isdisjoint({f"{action}:{reason.code}", f"{action}:*"}),
        )
        for action, codes in REASONS.items()
        for reason in codes
    ]  # fmt: skip


@router.get("/cases")
def queue(
    *,
    desk: DeskDep,
    caller: CallerDep,
    show: Show = "todo",
    text: Annotated[str, Query(max_length=200)] = "",
    rule: Annotated[str | None, Query(max_length=100)] = None,
    uploader: Annotated[str | None, Query(max_length=200)] = None,
    track_id: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = PAGE,
    cursor: Annotated[str | None, Query(max_length=300)] = None,
) -> QueueAnswer:
    """Most urgent first."""
    wanted = QueueFilter(show=show, text=text, rule=rule, uploader=uploader, track_id=track_id)
    now = desk.now()
    with desk.database.read() as connection:
        page = list_cases(connection, caller.person, wanted, now=now, policy=desk.policy, limit=limit,
                          cursor=cursor)  # fmt: skip
        total = count_cases(connection, caller.person, wanted, now=now)
    return QueueAnswer(page.lines, page.next_cursor, total)


@router.post("/cases/next")
def take_next(desk: DeskDep, caller: CallerDep, body: NextBody) -> Lease | None:
    """Claim the most urgent case that is free; null when there is none."""
    return claim_next(
        desk,
        caller.person,
        QueueFilter(text=body.text, rule=body.rule, uploader=body.uploader, track_id=body.track_id),
    )


@router.get("/cases/{case_id}")
def case(desk: DeskDep, caller: CallerDep, case_id: str) -> CaseAnswer:
    """Everything about one case, with addresses of its audio that expire."""
    view = open_view(desk, caller.person, case_id)
    return CaseAnswer(view, links_of(desk, view))


@router.post("/cases/{case_id}/claim")
def take(desk: DeskDep, caller: CallerDep, case_id: str) -> Lease:
    with desk.database.write() as connection:
        return claim(connection, case_id, caller.person, now=desk.now(), policy=desk.policy)


@router.post("/cases/{case_id}/renew")
def keep(desk: DeskDep, caller: CallerDep, case_id: str, body: LeaseToken) -> Lease:
    with desk.database.write() as connection:
        return renew(connection, case_id, caller.person, body.token, now=desk.now(), policy=desk.policy)


@router.post("/cases/{case_id}/release", status_code=204)
def give_back(desk: DeskDep, caller: CallerDep, case_id: str, body: LeaseToken) -> None:
    with desk.database.write() as connection:
        release(connection, case_id, caller.person, body.token, now=desk.now())


@router.post("/cases/{case_id}/decide")
def answer(desk: DeskDep, caller: CallerDep, case_id: str, body: DecideBody) -> Decided:
    """Needs the token of the lease in force."""
    given = Answer(body.action, body.reason_code, body.note)
    with desk.database.write() as connection:
        return decide(connection, case_id, caller.person, token=body.token, answer=given, now=desk.now(),
                      policy=desk.policy)  # fmt: skip


@router.post("/opinions/{opinion_id}/undo")
def take_back(desk: DeskDep, caller: CallerDep, opinion_id: int) -> Lease:
    """Within the time for taking back; the case is claimed again."""
    if not 0 <= opinion_id < 2**63:
        raise UnknownCase(f"you made no decision {opinion_id}")
    with desk.database.write() as connection:
        return undo(connection, opinion_id, caller.person, now=desk.now(), policy=desk.policy)


@router.post("/bulk")
def bulk(desk: DeskDep, caller: CallerDep, body: BulkBody) -> list[BulkLine]:
    """The same answer for many cases; each succeeds or is refused by itself, under a lease of its own."""
    caller.person.require(May.DECIDE)
    given = Answer(body.action, body.reason_code, body.note)
    return [_decide_one(desk, caller.person, case_id, given) for case_id in dict.fromkeys(body.case_ids)]


@router.post("/cases/{case_id}/audio/retry")
def retry_audio(desk: DeskDep, caller: CallerDep, case_id: str) -> int:
    """Fetch the missing recordings once more; returns how many there are."""
    caller.person.require(May.DECIDE)
    with desk.database.write() as connection:
        view_case(connection, case_id, caller.person, now=desk.now(), policy=desk.policy)
        return try_again(connection, case_id, now=desk.now())


@router.post("/cases/{case_id}/documents", status_code=204)
def documents(desk: DeskDep, caller: CallerDep, case_id: str, body: DocumentsBody) -> None:
    """The uploader sent what was asked for: the case is open again."""
    caller.person.require(May.FILE_APPEALS)
    with desk.database.write() as connection:
        documents_received(connection, case_id, actor=caller.person.user_id, note=body.note, now=desk.now())


def claim_next(desk: Desk, person: Person, wanted: QueueFilter) -> Lease | None:
    """Claim what is most urgent. With colleagues at work the first choice may be gone: look again."""
    person.require(May.DECIDE)
    now = desk.now()
    with desk.database.write() as connection:
        case_id = waiting_golden(connection, person) or deal_golden(
            connection, person, now=now, policy=desk.policy
        )
        # On SQLite nobody can come in between: this transaction holds the writers' lock.
        case_id = case_id or next_case(connection, person, wanted, now=now)
        if case_id is None:
            return None
        try:
            return claim(connection, case_id, person, now=now, policy=desk.policy)
        except ReviewError:
            pass
    for _ in range(5):
        with desk.database.write() as connection:
            case_id = next_case(connection, person, wanted, now=now)
            if case_id is None:
                return None
            try:
                return claim(connection, case_id, person, now=now, policy=desk.policy)
            except ReviewError:
                continue
    return None


def _decide_one(desk: Desk, person: Person, case_id: str, given: Answer) -> BulkLine:
    now = desk.now()
    try:
        with desk.database.write() as connection:
            lease = claim(connection, case_id, person, now=now, policy=desk.policy)
            done = decide(connection, case_id, person, token=lease.token, answer=given, now=now,
                          policy=desk.policy)  # fmt: skip
    except ReviewError as error:
        return BulkLine(case_id, None, str(error))
    return BulkLine(case_id, done.opinion_id, "", done.undo_until)
