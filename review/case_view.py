"""One case with all that a reviewer needs to decide it, read in a handful of indexed queries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, desc, select

from pipeline.evidence import Evidence
from review.intake import UPLOAD_AUDIO
from review.policy import DeskPolicy
from review.priority import Part, parts
from review.queue import CaseLine, shown_state, to_line, visible
from review.reasons import Action
from review.roles import May, Person
from review.scoring import record_of, stakes_of
from review.states import Kind, State, actions_for
from review.tables import (
    appeals,
    case_audio,
    cases,
    flags,
    golden,
    media,
    opinions,
    outcomes,
    papers,
    uploads,
)
from soundalike.errors import UnknownCase

MAX_HISTORY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sounding:
    """One recording of the case. track_id: empty for the upload. state: pending, ready or missing."""

    track_id: str
    title: str
    state: str
    detail: str
    withdrawn: bool
    sha256: str | None
    duration_s: float | None
    loudness_lufs: float | None
    picture_detail: str | None
    signs: dict[str, str]
    """Caption by name of the signs of machine-made music that were drawn; of the upload only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionLine:
    """A past opinion; on an open case shown only to those who may see it."""

    opinion_id: int
    case_id: str
    reviewer: str
    round: str
    action: str
    reason_code: str
    note: str
    created_at: datetime
    undone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperLine:
    """What came in after documents were asked for, or that nothing came."""

    actor: str
    note: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploader:
    name: str
    confirmed: int
    decided: int
    recent: tuple[CaseLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    line: CaseLine
    evidence: Evidence
    disclosure: dict[str, bool | None] | None
    licences: tuple[str, ...]
    parts: tuple[Part, ...]
    upload_audio: Sounding
    reference_audio: tuple[Sounding, ...]
    uploader: Uploader | None
    history: tuple[CaseLine, ...]
    opinions: tuple[OpinionLine, ...]
    papers: tuple[PaperLine, ...]
    actions: tuple[Action, ...]
    can_decide: bool
    lease_token: str | None
    superseded_by: str | None
    appeal_statement: str | None
    standing: str | None
    standing_reason: str | None
    golden: bool
    """Kept as a case with a known answer; told to those who may see opinions only."""


def view_case(
    connection: Connection, case_id: str, person: Person, *, now: datetime, policy: DeskPolicy
) -> CaseView:
    """Raises UnknownCase, also for a case that exists and is not this person's to see."""
    row = connection.execute(
        select(cases, flags.c.evidence)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .where(cases.c.case_id == case_id, visible(person))
    ).first()
    if row is None:
        raise UnknownCase(f"there is no case {case_id}")
    upload = connection.execute(select(uploads).where(uploads.c.upload_id == row.upload_id)).first()
    audio = _audio(connection, case_id)
    mine = row.lease_user == person.user_id and row.lease_until is not None and row.lease_until > now
    stakes = stakes_of(connection, row.upload_id, false_positive_rate=row.false_positive_rate,
                       ai_probability=row.ai_probability, coverage=row.coverage)  # fmt: skip
    standing = _standing(connection, row, person)
    return CaseView(
        line=to_line(row, person, now=now, policy=policy),
        evidence=Evidence.model_validate_json(row.evidence),
        disclosure=None if upload is None else json.loads(upload.disclosure),
        licences=() if upload is None else tuple(json.loads(upload.licences)),
        parts=parts(stakes),
        upload_audio=audio[UPLOAD_AUDIO],
        reference_audio=tuple(item for track_id, item in audio.items() if track_id != UPLOAD_AUDIO),
        uploader=_uploader(connection, row, person, now=now, policy=policy),
        history=_history(connection, row, person, now=now, policy=policy),
        opinions=_opinions(connection, row, person),
        papers=_papers(connection, row),
        actions=actions_for(Kind(row.kind), State(row.state)) if person.may(May.DECIDE) else (),
        can_decide=mine,
        lease_token=row.lease_token if mine else None,
        superseded_by=row.superseded_by,
        appeal_statement=connection.execute(
            select(appeals.c.statement).where(appeals.c.appeal_id == case_id)
        ).scalar_one_or_none(),
        standing=None if standing is None else standing.decision,
        standing_reason=None if standing is None else standing.reason_code,
        golden=person.may(May.SEE_OPINIONS) and _is_golden(connection, case_id),
    )


def _audio(connection: Connection, case_id: str) -> dict[str, Sounding]:
    rows = connection.execute(
        select(case_audio, media.c.duration_s, media.c.loudness_lufs, media.c.picture_detail, media.c.signs)
        .outerjoin(media, media.c.sha256 == case_audio.c.sha256)
        .where(case_audio.c.case_id == case_id)
        .order_by(case_audio.c.track_id)
    )
    return {
        row.track_id: Sounding(
            track_id=row.track_id,
            title=row.title,
            state=row.state,
            detail=row.detail,
            withdrawn=row.withdrawn,
            sha256=row.sha256,
            duration_s=row.duration_s,
            loudness_lufs=row.loudness_lufs,
            picture_detail=row.picture_detail,
            signs=json.loads(row.signs or "{}") if row.track_id == UPLOAD_AUDIO else {},
        )
        for row in rows
    }


def _uploader(
    connection: Connection, row: Row[Any], person: Person, *, now: datetime, policy: DeskPolicy
) -> Uploader | None:
    if row.uploader is None:
        return None
    confirmed, decided = record_of(connection, row.uploader)
    others = connection.execute(
        select(cases)
        .where(
            cases.c.uploader == row.uploader,
            cases.c.upload_id != row.upload_id,
            cases.c.kind == Kind.FLAG,
            visible(person),
        )
        .order_by(desc(cases.c.opened_at))
        .limit(MAX_HISTORY)
    )
    lines = tuple(to_line(other, person, now=now, policy=policy) for other in others)
    return Uploader(name=row.uploader, confirmed=confirmed, decided=decided, recent=lines)


def _history(
    connection: Connection, row: Row[Any], person: Person, *, now: datetime, policy: DeskPolicy
) -> tuple[CaseLine, ...]:
    """Other cases of the same upload: what was superseded, decided, appealed."""
    others = connection.execute(
        select(cases)
        .where(cases.c.upload_id == row.upload_id, cases.c.case_id != row.case_id, visible(person))
        .where(cases.c.kind != Kind.GOLDEN)
        .order_by(desc(cases.c.opened_at))
        .limit(MAX_HISTORY)
    )
    if row.kind == Kind.GOLDEN:
        return ()  # the case it was made from would give the answer away
    return tuple(to_line(other, person, now=now, policy=policy) for other in others)


def _opinions(connection: Connection, row: Row[Any], person: Person) -> tuple[OpinionLine, ...]:
    """All of the upload for those who may see them; for reviewers their own, and those of closed cases."""
    if row.kind == Kind.GOLDEN:
        scope = opinions.c.case_id == row.case_id
    else:
        scope = opinions.c.upload_id == row.upload_id
    query = (
        select(opinions, cases.c.state, cases.c.kind)
        .join(cases, cases.c.case_id == opinions.c.case_id)
        .where(scope, (cases.c.kind != Kind.GOLDEN) | (opinions.c.reviewer == person.user_id))
        .order_by(opinions.c.opinion_id)
    )
    on_appeal = row.kind == Kind.APPEAL

    def may_see(item: Row[Any]) -> bool:
        if person.may(May.SEE_OPINIONS):
            return True
        own = item.reviewer == person.user_id
        return person.may(May.DECIDE) and (own or on_appeal or item.state == State.CLOSED)

    return tuple(
        OpinionLine(
            opinion_id=item.opinion_id, case_id=item.case_id, reviewer=item.reviewer,
            round="first" if item.round == "golden" else item.round, action=item.action,
            reason_code=item.reason_code, note=item.note, created_at=item.created_at,
            undone=item.undone_at is not None,
        )
        for item in connection.execute(query)
        if may_see(item)
    )  # fmt: skip


def _papers(connection: Connection, row: Row[Any]) -> tuple[PaperLine, ...]:
    """Of all cases of the upload: an appeal is judged with what was sent before."""
    if row.kind == Kind.GOLDEN:
        return ()
    query = (
        select(papers)
        .join(cases, cases.c.case_id == papers.c.case_id)
        .where(cases.c.upload_id == row.upload_id)
        .order_by(papers.c.paper_id)
    )
    return tuple(
        PaperLine(actor=item.actor, note=item.note, received_at=item.received_at)
        for item in connection.execute(query)
    )


def _is_golden(connection: Connection, case_id: str) -> bool:
    query = select(golden.c.case_id).where(golden.c.case_id == case_id, golden.c.retired_at.is_(None))
    return connection.execute(query).first() is not None


def _standing(connection: Connection, row: Row[Any], person: Person) -> Any:
    """The decision that stands for this upload, if one was made; hidden on a golden case."""
    if row.kind == Kind.GOLDEN or shown_state(row.state, person) != row.state:
        return None
    return connection.execute(
        select(outcomes.c.decision, outcomes.c.reason_code)
        .where(outcomes.c.upload_id == row.upload_id, outcomes.c.undone_at.is_(None))
        .order_by(desc(outcomes.c.revision))
        .limit(1)
    ).first()
