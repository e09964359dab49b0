"""From events to cases.

A flag event becomes exactly one case: its id is remembered, and a second delivery does nothing. A newer flag
of the same upload supersedes the live case, which keeps its history; an older one that comes late is filed as
already superseded. Upload events bring what a flag does not say: who uploaded, under which name.
"""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from pipeline.events import FLAG_TYPE, Upload, parse_event, parse_upload
from pipeline.evidence import Evidence
from review.audit import append, canonical
from review.database import Database
from review.policy import DeskPolicy
from review.ports import EventSource, Reference, References
from review.priority import harm, rank
from review.scoring import artist_key, rescore, stakes_of
from review.states import LIVE, Kind, State
from review.tables import case_audio, case_rightsholders, case_tracks, cases, flags, rejects, uploads
from soundalike.errors import EventError, UnsupportedEvent

SYSTEM = "system"
UPLOAD_AUDIO = ""  # `case_audio.track_id` of the upload itself


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag event, read."""

    event_id: str
    time: datetime
    evidence: Evidence
    document: str


def read_flag(value: bytes, *, now: datetime) -> Flag:
    """Raises EventError. An event without a time counts as of now."""
    event, payload = parse_event(value)
    if not isinstance(payload, Evidence) or event.type != FLAG_TYPE:
        raise UnsupportedEvent(f"type: the desk takes {FLAG_TYPE}, not {event.type}")
    return Flag(event.id, event.time or now, payload, payload.model_dump_json())


def references_of(evidence: Evidence, references: References) -> dict[str, Reference | None]:
    """What the catalog says about each matched track; asked outside of the desk's own transaction."""
    return {track_id: references.find(track_id) for track_id in {m.track_id for m in evidence.matches}}


def case_id_of(event_id: str) -> str:
    """The id of a flag's case: the same on every delivery, short enough for an address."""
    return "c-" + hashlib.sha256(event_id.encode()).hexdigest()[:20]


def take_flag(
    connection: Connection,
    flag: Flag,
    *,
    known: Mapping[str, Reference | None],
    now: datetime,
    policy: DeskPolicy,
) -> bool:
    """Open the flag's case; False if this event had been taken before."""
    if connection.execute(select(flags.c.event_id).where(flags.c.event_id == flag.event_id)).first():
        return False
    upload_id = flag.evidence.upload_id
    connection.execute(
        insert(flags).values(
            event_id=flag.event_id, upload_id=upload_id, event_time=flag.time, received_at=now,
            evidence=flag.document,
        )
    )  # fmt: skip
    case_id = case_id_of(flag.event_id)
    newer = _supersede(connection, upload_id, by=case_id, flag_time=flag.time, now=now)
    open_case(connection, flag, case_id=case_id, kind=Kind.FLAG, known=known, now=now, policy=policy)
    if newer is not None:
        connection.execute(
            update(cases)
            .where(cases.c.case_id == case_id)
            .values(state=State.SUPERSEDED, superseded_by=newer, closed_at=now)
        )
    append(connection, at=now, actor=SYSTEM, action="case.opened", subject=case_id,
           detail={"upload_id": upload_id, "event_id": flag.event_id, "superseded_by": newer})  # fmt: skip
    return True


def open_case(
    connection: Connection,
    flag: Flag,
    *,
    case_id: str,
    kind: Kind,
    known: Mapping[str, Reference | None],
    now: datetime,
    policy: DeskPolicy,
    assigned_to: str | None = None,
    golden_of: str | None = None,
) -> None:
    """Insert a case with its tracks, rightsholders and audio to fetch."""
    evidence = flag.evidence
    upload = connection.execute(select(uploads).where(uploads.c.upload_id == evidence.upload_id)).first()
    best = evidence.matches[0] if evidence.matches else None
    coverage = _total_coverage(evidence)
    ai_probability = evidence.ai.probability if evidence.ai.known else None
    rate = None if best is None else best.false_positive_rate
    stakes = stakes_of(connection, evidence.upload_id, false_positive_rate=rate,
                       ai_probability=ai_probability, coverage=coverage)  # fmt: skip
    share = harm(stakes)
    connection.execute(
        insert(cases).values(
            case_id=case_id,
            kind=kind,
            state=State.OPEN,
            upload_id=evidence.upload_id,
            event_id=flag.event_id,
            rule=evidence.rule[:100],
            reason=evidence.reason,
            title="" if upload is None else upload.title or "",
            artist="" if upload is None else upload.artist or "",
            uploader=None if upload is None else upload.uploader,
            coverage=coverage,
            false_positive_rate=rate,
            ai_probability=ai_probability,
            search_text=_search_text(evidence, upload),
            harm=share,
            rank=rank(share, now, sla_s=policy.sla_s),
            needs_second=kind is Kind.FLAG and _draw_second(case_id, share, policy),
            opened_at=now,
            due_at=now + policy.sla,
            available_at=now,
            assigned_to=assigned_to,
            golden_of=golden_of,
        )
    )
    uri = evidence.audio.uri if upload is None else upload.uri
    _add_tracks(connection, case_id, evidence, known, uri=uri, now=now)


def take_upload(connection: Connection, value: bytes, *, policy: DeskPolicy) -> None:
    """Remember who uploaded what, and bring the upload's live cases up to date. Raises EventError."""
    _, upload = parse_upload(value)
    values = _upload_values(upload)
    changed = connection.execute(
        update(uploads).where(uploads.c.upload_id == upload.upload_id).values(**values)
    )
    if changed.rowcount == 0:
        connection.execute(insert(uploads).values(upload_id=upload.upload_id, **values))
    row = connection.execute(select(uploads).where(uploads.c.upload_id == upload.upload_id)).one()
    mine = cases.c.upload_id == upload.upload_id
    with_evidence = select(cases.c.case_id, flags.c.evidence).join(
        flags, flags.c.event_id == cases.c.event_id
    )
    for case in connection.execute(with_evidence.where(mine)).all():
        evidence = Evidence.model_validate_json(case.evidence)
        connection.execute(
            update(cases)
            .where(cases.c.case_id == case.case_id)
            .values(
                title=row.title or "", artist=row.artist or "", uploader=row.uploader,
                search_text=_search_text(evidence, row),
            )
        )  # fmt: skip
        connection.execute(
            update(case_audio)
            .where(case_audio.c.case_id == case.case_id, case_audio.c.track_id == UPLOAD_AUDIO)
            .where(case_audio.c.state == "pending")
            .values(uri=row.uri)
        )
    rescore(connection, mine, policy=policy)


def set_aside(connection: Connection, value: bytes, error: EventError, *, stream: str, now: datetime) -> None:
    """Keep an event that can't be read, with its bytes; the desk's front page counts them."""
    digest = hashlib.sha256(value).hexdigest()
    if connection.execute(select(rejects.c.sha256).where(rejects.c.sha256 == digest)).first():
        return
    connection.execute(
        insert(rejects).values(
            sha256=digest, stream=stream, body_base64=base64.b64encode(value).decode("ascii"),
            reason=error.reason, message=str(error), received_at=now,
        )
    )  # fmt: skip


def fold(text: str) -> str:
    """For search: compatibility forms and case set aside."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _supersede(
    connection: Connection, upload_id: str, *, by: str, flag_time: datetime, now: datetime
) -> str | None:
    """Retire the live cases of older flags; or return the case of a newer flag that is already here."""
    rows = connection.execute(
        select(cases.c.case_id, cases.c.state, flags.c.event_time)
        .join(flags, flags.c.event_id == cases.c.event_id)
        .where(cases.c.upload_id == upload_id, cases.c.kind == Kind.FLAG)
    ).all()
    newer = [row for row in rows if row.event_time > flag_time]
    if newer:
        return str(max(newer, key=lambda row: row.event_time).case_id)
    for row in rows:
        if row.state in LIVE:
            connection.execute(
                update(cases)
                .where(cases.c.case_id == row.case_id)
                .values(state=State.SUPERSEDED, superseded_by=by, closed_at=now, lease_token=None,
                        lease_user=None, lease_until=None)
            )  # fmt: skip
            append(connection, at=now, actor=SYSTEM, action="case.superseded", subject=row.case_id,
                   detail={"by": by})  # fmt: skip
    return None


def _add_tracks(
    connection: Connection,
    case_id: str,
    evidence: Evidence,
    known: Mapping[str, Reference | None],
    *,
    uri: str,
    now: datetime,
) -> None:
    titles = {match.track_id: match.title for match in reversed(evidence.matches)}
    holders = {finding.rightsholder for finding in evidence.consent}
    audio = [_audio_row(case_id, UPLOAD_AUDIO, uri, "", withdrawn=False, now=now)]
    for track_id, title in titles.items():
        reference = known.get(track_id)
        holders.update(() if reference is None else reference.rightsholders)
        gone = reference is None or reference.withdrawn
        place = None if reference is None else reference.uri
        audio.append(_audio_row(case_id, track_id, place, title, withdrawn=gone, now=now))
        connection.execute(insert(case_tracks).values(case_id=case_id, track_id=track_id))
    for holder in sorted(holders):
        connection.execute(insert(case_rightsholders).values(case_id=case_id, rightsholder=holder[:200]))
    connection.execute(insert(case_audio), audio)


def _audio_row(
    case_id: str, track_id: str, uri: str | None, title: str, *, withdrawn: bool, now: datetime
) -> dict[str, object]:
    return {
        "case_id": case_id, "track_id": track_id, "uri": uri, "title": title, "withdrawn": withdrawn,
        "state": "pending", "attempts": 0, "next_attempt_at": now, "detail": "",
    }  # fmt: skip


def _total_coverage(evidence: Evidence) -> float | None:
    """Matched segments are disjoint, so their coverages add up."""
    if not evidence.matches:
        return None
    return min(1.0, sum(match.coverage for match in evidence.matches))


def _draw_second(case_id: str, share: float, policy: DeskPolicy) -> bool:
    """By a hash of the id: a re-run draws the same cases, and nobody can ask for a redraw."""
    drawn = int.from_bytes(hashlib.sha256(b"second:" + case_id.encode()).digest()[:8], "big") / 2**64
    return share >= policy.second_opinion_harm or drawn < policy.second_opinion_share


def _upload_values(upload: Upload) -> dict[str, object]:
    return {
        "uri": upload.uri,
        "uploader": upload.uploader,
        "title": upload.claim.title,
        "artist": upload.claim.artist,
        "artist_key": artist_key(upload.claim.artist),
        "isrc": None if upload.claim.isrc is None else upload.claim.isrc[:50],
        "disclosure": canonical(upload.ai_disclosure.model_dump(mode="json")),
        "licences": canonical(list(upload.licences)),
        "territory": upload.territory,
    }


def _search_text(evidence: Evidence, upload: object) -> str:
    words: list[str] = [evidence.upload_id, evidence.rule, evidence.reason]
    for match in evidence.matches:
        words += (match.track_id, match.title)
    names: Sequence[str] = ("title", "artist", "uploader", "isrc")
    words += [str(getattr(upload, name)) for name in names if getattr(upload, name, None)]
    return fold(" ".join(dict.fromkeys(words)))


def intake_step(
    database: Database,
    *,
    uploads_source: EventSource,
    flags_source: EventSource,
    references: References,
    policy: DeskPolicy,
    clock: Callable[[], datetime],
    max_wait_s: float = 0.2,
) -> bool:
    """One round: what came on both streams is stored, then acknowledged. False if nothing came.

    Uploads first: a flag comes after its upload, and its case then knows the uploader at once.
    """
    came = False
    for stream, source in (("uploads", uploads_source), ("flags", flags_source)):
        values = source.poll(max_wait_s=max_wait_s)
        for value in values:
            _take(database, value, stream=stream, references=references, policy=policy, now=clock())
        if values:
            source.acknowledge()
            came = True
    return came


def _take(
    database: Database,
    value: bytes,
    *,
    stream: str,
    references: References,
    policy: DeskPolicy,
    now: datetime,
) -> None:
    try:
        if stream == "uploads":
            with database.write() as connection:
                take_upload(connection, value, policy=policy)
            return
        flag = read_flag(value, now=now)
        known = references_of(flag.evidence, references)
        with database.write() as connection:
            take_flag(connection, flag, known=known, now=now, policy=policy)
    except EventError as error:
        with database.write() as connection:
            set_aside(connection, value, error, stream=stream, now=now)
