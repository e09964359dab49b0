"""From what is on record to an answer: what each rightsholder of a track says to one upload."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from index import consents, recordings
from index.terms import SILENCE, Decision, Use, decide, licensees_of
from index.tracks import RECORDING_ROLES, Right

NOBODY = "unknown"
"""Rightsholder in the finding for a track on which no rightsholder is recorded: nobody could allow it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rightsholder agreed to for one use of one track.

    `term_id` and `version` are None where no term speaks of it: silence means deny.
    own: the uploader's account speaks for this rightsholder.
    """

    track_id: str
    rightsholder: str
    use: Use
    decision: Decision
    term_id: str | None
    version: int | None
    own: bool


def find(
    connection: Connection,
    track_id: str,
    use: Use,
    *,
    uploader: str,
    licences: Collection[str],
    distributor: str | None = None,
    ai_tool: str | None = None,
    territory: str | None,
    at: datetime,
    known_at: datetime | None,
) -> tuple[Finding, ...]:
    """One finding per rightsholder, by name; never empty. Raises UnknownTrack for an id that never was."""
    holders = sorted({right.rightsholder for right in _rights(connection, track_id, known_at=known_at)})
    terms = consents.terms_for(connection, rightsholders_named=holders, track_id=track_id, use=use)
    own = consents.speaks_for(connection, uploader, known_at=known_at).intersection(holders)
    decisions = {
        holder: decide(
            terms,
            rightsholder=holder,
            track_id=track_id,
            use=use,
            licensees=licensees_of(uploader, licences, distributor=distributor, ai_tool=ai_tool),
            territory=territory,
            at=at,
            known_at=known_at,
        )
        for holder in holders
    } or {NOBODY: SILENCE}
    return tuple(
        Finding(track_id, holder, use, by.decision, by.term_id, by.version, own=holder in own)
        for holder, by in decisions.items()
    )


def owns(connection: Connection, track_id: str, uploader: str, *, known_at: datetime | None) -> bool:
    """Whether the account speaks for a party that may deliver the recording. Raises UnknownTrack."""
    held = _rights(connection, track_id, known_at=known_at)
    own = consents.speaks_for(connection, uploader, known_at=known_at)
    deliverers = {right.rightsholder for right in held if right.role in RECORDING_ROLES}
    return not own.isdisjoint(deliverers or {right.rightsholder for right in held})


def _rights(connection: Connection, track_id: str, *, known_at: datetime | None) -> tuple[Right, ...]:
    row = recordings.row_known_at(connection, track_id, known_at=known_at)
    return recordings.rights_of_row(connection, row.row_id, known_at=known_at)
