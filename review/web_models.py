"""Bodies of the JSON API, strict about what comes in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from review.case_view import CaseView
from review.queue import CaseLine
from review.reasons import MAX_NOTE_CHARACTERS, Action
from review.roles import Role

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Token = Annotated[str, Field(min_length=1, max_length=200)]
Note = Annotated[str, Field(max_length=MAX_NOTE_CHARACTERS)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Every answer of 400 and above."""

    reason: str = Field(description="stable code")
    message: str = Field(description="one line for a person")


class SignIn(Body):
    user_id: Name
    password: Annotated[str, Field(max_length=500)]


class LeaseToken(Body):
    token: Token


class DecideBody(Body):
    token: Token
    action: Action
    reason_code: Annotated[str, Field(max_length=40)]
    note: Note = ""


class BulkBody(Body):
    case_ids: Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1, max_length=200)]
    action: Action
    reason_code: Annotated[str, Field(max_length=40)]
    note: Note = ""


class NextBody(Body):
    text: Annotated[str, Field(max_length=200)] = ""
    rule: Annotated[str, Field(max_length=100)] | None = None
    uploader: Name | None = None
    track_id: Name | None = None


class AppealBody(Body):
    upload_id: Name
    statement: Annotated[str, Field(min_length=1, max_length=10_000)]


class DocumentsBody(Body):
    note: Annotated[str, Field(min_length=1, max_length=10_000)]


class ArtistReach(Body):
    artist: Name
    monthly_listeners: Annotated[int, Field(ge=0, le=10_000_000_000)]


class UploadReach(Body):
    plays: Annotated[int, Field(ge=0, le=1_000_000_000_000)]


class GoldenBody(Body):
    case_id: Annotated[str, Field(max_length=40)]
    action: Literal[Action.CONFIRM, Action.DISMISS]
    reason_code: Annotated[str, Field(max_length=40)]


class ReleaseBody(Body):
    """reason: one line; it stands in the catalog's history."""

    reason: Annotated[str, Field(min_length=1, max_length=1000)]


class KeepBody(ReleaseBody):
    """start_s, end_s: the span of the reference that proves nothing; without both, all of it."""

    start_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    end_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class UserBody(Body):
    user_id: Name
    role: Role
    password: Annotated[str, Field(max_length=500)] | None = None
    display_name: Annotated[str, Field(max_length=200)] = ""
    rightsholder: Name | None = None


class UserChange(Body):
    role: Role | None = None
    password: Annotated[str, Field(max_length=500)] | None = None
    disabled: Literal[True] | None = None


class TokenBody(Body):
    name: Name


@dataclass(frozen=True, slots=True)
class Me:
    """The caller. csrf goes into `X-CSRF-Token` of every change."""

    user_id: str
    display_name: str
    role: Role
    rightsholder: str | None
    csrf: str


@dataclass(frozen=True, slots=True)
class MediaLinks:
    """Addresses of one recording that work until they expire. signs: pictures by the name of the sign."""

    audio: str
    peaks: str
    spectrogram: str
    signs: dict[str, str]


@dataclass(frozen=True, slots=True)
class CaseAnswer:
    """media: by track id, the upload under the empty id; only recordings that are there."""

    case: CaseView
    media: dict[str, MediaLinks]


@dataclass(frozen=True, slots=True)
class QueueAnswer:
    cases: tuple[CaseLine, ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True, slots=True)
class BulkLine:
    """What became of one case of a bulk action. opinion_id, undo_until: None when it was refused."""

    case_id: str
    opinion_id: int | None
    problem: str
    undo_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class UserLine:
    user_id: str
    display_name: str
    role: Role
    rightsholder: str | None
    enabled: bool


@dataclass(frozen=True, slots=True)
class ReasonLine:
    action: Action
    code: str
    label: str
    note_required: bool


@dataclass(frozen=True, slots=True)
class RejectLine:
    """An event that could not be read."""

    sha256: str
    stream: str
    body_base64: str
    reason: str
    message: str
    received_at: datetime
