"""A recording of the licensed catalog, and who holds which share of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from index.splits import apportion, check_sum, parse_share
from index.terms import check_name
from soundalike.errors import CatalogError

SHA256 = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """In which capacity a party holds its share. `RIGHTSHOLDER`: it was not said."""

    LABEL = "label"
    DISTRIBUTOR = "distributor"
    ARTIST = "artist"
    PUBLISHER = "publisher"
    SOCIETY = "society"
    WRITER = "writer"
    RIGHTSHOLDER = "rightsholder"


RECORDING_ROLES = frozenset({Role.LABEL, Role.DISTRIBUTOR, Role.ARTIST, Role.RIGHTSHOLDER})
"""Those who may deliver the recording itself; the others hold the work that is played in it."""


@dataclass(frozen=True, slots=True)
class Right:
    """One party's share of a track; the shares of a track sum to exactly 1."""

    rightsholder: str
    share: Decimal
    role: Role = Role.RIGHTSHOLDER


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One recording.

    audio_sha256: hex, over the bytes of the file as delivered.
    isrc: 12 characters without hyphens; iswc: `T` and 10 digits without dots.
    The last three are set by the catalog: the model that heard the recording when it was added, and its life.
    """

    track_id: str
    title: str
    audio_sha256: str
    duration_s: float
    artists: tuple[str, ...] = ()
    isrc: str | None = None
    iswc: str | None = None
    release_date: date | None = None
    model_sha256: str | None = None
    added_at: datetime | None = None
    removed_at: datetime | None = None


def check_track(track: Track) -> None:
    """Raises CatalogError, naming the track and the field, if the track can't be meant."""
    check_name(track.track_id, what="the track id")
    if not track.title.strip():
        raise CatalogError(f"track {track.track_id} has no title; the file's name will do")
    if not SHA256.fullmatch(track.audio_sha256):
        raise CatalogError(f"track {track.track_id}: {track.audio_sha256!r} is no sha256 in lower-case hex")
    if not track.duration_s > 0.0:
        raise CatalogError(f"track {track.track_id} lasts {track.duration_s} s; a recording has some audio")
    for code, clean in ((track.isrc, clean_isrc), (track.iswc, clean_iswc)):
        if code is not None and clean(code) != code:
            raise CatalogError(f"track {track.track_id}: write the code {code} as {clean(code)}")


def clean_isrc(text: str) -> str:
    """`GB-AYE-06-01498` or `GBAYE0601498` → the latter. Raises CatalogError for anything that is no ISRC."""
    code = text.strip().upper().replace("-", "").replace(" ", "")
    if not re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}", code):
        raise CatalogError(
            f"{text!r} is no ISRC: two letters, three letters or digits, seven digits, as GBAYE0601498"
        )
    return code


def clean_iswc(text: str) -> str:
    """`T-034.524.680-1` → `T0345246801`. Raises CatalogError if it is no ISWC or its check digit is wrong.

    Check digit as in ISO 15707: 1 for the T plus each digit times its place, made up to a multiple of ten.
    """
    code = re.sub(r"[-. ]", "", text.strip().upper())
    if not re.fullmatch(r"T[0-9]{10}", code):
        raise CatalogError(f"{text!r} is no ISWC: a T and ten digits, as T-034.524.680-1")
    digits = [int(character) for character in code[1:]]
    weighted = 1 + sum(place * digit for place, digit in enumerate(digits[:9], start=1))
    if (weighted + digits[9]) % 10 != 0:
        raise CatalogError(f"the check digit of the ISWC {text!r} is wrong; look it up again")
    return code


def parse_rights(text: str, *, of: str) -> tuple[Right, ...]:
    """`Label:1/2:label|Publisher:0.5:publisher` → shares that sum to exactly 1; the role may be left out.

    Colons in a name are kept: the share and the role are read from the right. `of` names the track in errors.
    """
    held: dict[tuple[str, Role], Fraction] = {}
    for entry in text.split("|"):
        name, share, role = _split_entry(entry.strip())
        check_name(name, what=f"the rightsholder in {entry.strip()!r}")
        if (name, role) in held:
            raise CatalogError(f"{name} is listed twice as {role}; add its shares up")
        held[name, role] = parse_share(share)
    check_sum({f"{name} ({role})": share for (name, role), share in held.items()}, of=of)
    return tuple(Right(name, share, role) for (name, role), share in apportion(held).items())


def check_rights(rights: Sequence[Right], *, of: str) -> None:
    """Raises CatalogError unless the rights can be recorded. No rights are some too: then nobody consents."""
    for right in rights:
        check_name(right.rightsholder, what=f"a rightsholder of {of}")
        if right.share <= 0:
            raise CatalogError(
                f"{right.rightsholder} holds {right.share} of {of}; leave it out, or give it a share"
            )
    if len({(right.rightsholder, right.role) for right in rights}) < len(rights):
        raise CatalogError(f"a rightsholder of {of} is listed twice in the same role; add its shares up")
    if rights:
        check_sum({f"{right.rightsholder} ({right.role})": right.share for right in rights}, of=of)


def _split_entry(entry: str) -> tuple[str, str, Role]:
    parts = entry.rsplit(":", 2)
    if len(parts) == 3 and parts[2].strip() in set(Role):
        return parts[0].strip(), parts[1], Role(parts[2].strip())
    name, colon, last = entry.rpartition(":")
    if not colon:
        raise CatalogError(f"{entry!r} has no share; write NAME:SHARE or NAME:SHARE:ROLE, as Label:0.5:label")
    try:
        parse_share(last)
    except CatalogError as error:
        raise CatalogError(
            f"{entry!r} is not NAME:SHARE:ROLE; shares are 0.5 or 1/2, roles {', '.join(Role)}"
        ) from error
    return name.strip(), last, Role.RIGHTSHOLDER
