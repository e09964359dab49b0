"""Recordings as a DDEX ERN 4.3 message delivers them, beside their audio files.

The message is read by defusedxml (no DTD, no entities, nothing fetched) and bound to typed models by xsdata;
what they mean for the catalog is decided here. A recording's id is its ISRC. Its rightsholders are the
parties that control the rights in the recording (`ResourceRightsController`); a message that names none
leaves them to `--rightsholder`. Every fault names the recording, and the sound recordings are still read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from index.metadata_csv import Fault, Metadata, Row
from index.splits import apportion, check_sum
from index.terms import check_name, clean_name
from index.tracks import Right, Role, clean_isrc, clean_iswc
from soundalike.errors import CatalogError

if TYPE_CHECKING:
    from index.ddex_message import File, NewReleaseMessage, SoundRecording

MOST_BYTES = 64 * 1024 * 1024
"""Of one message: an album is some 100 KiB. Larger ones are delivered in parts."""

_ROOT = re.compile(r"\{http://ddex\.net/xml/ern/43\d?\}NewReleaseMessage")
"""4.3, 4.3.1 and 4.3.2 differ in nothing that is read here."""

_HASHES = {"MD5": "md5", "SHA1": "sha1", "SHA-1": "sha1", "SHA2": "sha256", "SHA-256": "sha256"}


def read_message(path: Path) -> Metadata:
    """Raises CatalogError if the message can't be read at all: absent, no XML, with a DTD, another one."""
    message = _bound(path)
    parties = _parties(message)
    rows: dict[str, Row] = {}
    faults: list[Fault] = []
    recordings = message.resource_list.sound_recording if message.resource_list is not None else []
    if not recordings:
        raise CatalogError(f"the message {path} delivers no SoundRecording; nothing to add")
    for number, recording in enumerate(recordings, start=1):
        where = f"SoundRecording {clean_name(recording.resource_reference or '') or number}"
        try:
            row = _row(recording, number=number, parties=parties, folder=path.parent)
        except CatalogError as error:
            faults.append(Fault(number, None, str(error), where=where))
            continue
        if row.track_id in rows:
            faults.append(Fault(number, None, f"the ISRC {row.track_id} comes twice", where=where))
        else:
            rows[row.track_id] = row
    return Metadata(tuple(rows.values()), tuple(faults))


def _bound(path: Path) -> NewReleaseMessage:
    from xml.etree.ElementTree import ParseError  # noqa: PLC0415 -- the error only; defusedxml parses

    from defusedxml import DefusedXmlException  # noqa: PLC0415 -- only deliveries need XML
    from defusedxml.ElementTree import parse  # noqa: PLC0415
    from xsdata.exceptions import ParserError  # noqa: PLC0415
    from xsdata.formats.dataclass.parsers import XmlParser  # noqa: PLC0415
    from xsdata.formats.dataclass.parsers.config import ParserConfig  # noqa: PLC0415
    from xsdata.formats.dataclass.parsers.handlers import XmlEventHandler  # noqa: PLC0415

    from index.ddex_message import NAMESPACE, NewReleaseMessage  # noqa: PLC0415

    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise CatalogError(
                f"the message {path} has {size} bytes; {MOST_BYTES} are the most that is read; split it"
            )
        tree = parse(path, forbid_dtd=True)
    except OSError as error:
        raise CatalogError(f"can't read the message {path}: {error.strerror}") from error
    except DefusedXmlException as error:
        raise CatalogError(
            f"the message {path} holds a DTD or entities, which no DDEX message needs: refused"
        ) from error
    except (ParseError, LookupError, ValueError) as error:
        raise CatalogError(f"the message {path} is no XML: {error}") from error
    root = tree.getroot()
    if not _ROOT.fullmatch(root.tag):
        raise CatalogError(
            f"the message {path} is {str(root.tag)[:120]!r}, no NewReleaseMessage of ERN 4.3; ask its"
            f" sender for one ({NAMESPACE}), or give the metadata as CSV"
        )
    root.tag = f"{{{NAMESPACE}}}NewReleaseMessage"
    parser = XmlParser(config=ParserConfig(fail_on_unknown_properties=False), handler=XmlEventHandler)
    try:
        return parser.parse(tree, NewReleaseMessage)
    except ParserError as error:
        raise CatalogError(f"the message {path} is not as ERN 4.3 has it: {error}") from error


def _parties(message: NewReleaseMessage) -> dict[str, str]:
    """Reference → name."""
    listed = message.party_list.party if message.party_list is not None else []
    return {
        party.party_reference: clean_name(name.full_name)
        for party in listed
        for name in reversed(party.party_name)  # the first of several names wins
        if party.party_reference and name.full_name
    }


def _row(recording: SoundRecording, *, number: int, parties: Mapping[str, str], folder: Path) -> Row:
    isrcs = [
        one.isrc for edition in recording.edition for one in edition.resource_id if (one.isrc or "").strip()
    ]
    if not isrcs:
        raise CatalogError("has no ISRC, which is its id here; give the metadata as CSV to choose another")
    isrc = clean_isrc(isrcs[0] or "")
    iswcs = [one.iswc for one in recording.work_id if one.iswc]
    titles = [*recording.display_title_text, *(one.title_text or "" for one in recording.display_title)]
    return Row(
        line=number,
        track_id=isrc,
        file=_file(recording, folder=folder),
        title=next((clean_name(title) for title in titles if title and clean_name(title)), None),
        artists=_artists(recording, parties),
        isrc=isrc,
        iswc=clean_iswc(iswcs[0]) if iswcs else None,
        release_date=_release_date(recording),
        rights=_rights(recording, parties, of=isrc),
    )


def _file(recording: SoundRecording, *, folder: Path) -> Path:
    files = [
        delivered.file
        for edition in recording.edition
        for details in edition.technical_details
        for delivered in details.delivery_file
        if delivered.file is not None and delivered.file.uri and delivered.type_value in (None, "AudioFile")
    ]
    if not files:
        raise CatalogError("names no audio file (TechnicalDetails/DeliveryFile/File/URI)")
    uri = (files[0].uri or "").strip()
    path = (folder / uri.removeprefix("file://")).resolve()
    if "://" in uri.removeprefix("file://") or not path.is_relative_to(folder.resolve()):
        raise CatalogError(f"its file {uri!r} lies outside of the delivery; put it beside the message")
    if path.is_file():
        _check_hash(files[0], path)
    return path


def _check_hash(file: File, path: Path) -> None:
    if file.hash_sum is None or not file.hash_sum.value:
        return
    algorithm = _HASHES.get((file.hash_sum.algorithm or "").strip().upper())
    if algorithm is None:
        return
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, algorithm).hexdigest()
    if found != file.hash_sum.value.strip().lower():
        raise CatalogError(
            f"{path.name} has the {algorithm} {found}, not {file.hash_sum.value.strip()} as the message says;"
            " have it delivered again"
        )


def _artists(recording: SoundRecording, parties: Mapping[str, str]) -> tuple[str, ...]:
    named = [parties.get(one.artist_party_reference or "", "") for one in recording.display_artist]
    names = [name for name in named if name] or [clean_name(one) for one in recording.display_artist_name]
    for name in names:
        check_name(name, what="an artist")
    return tuple(dict.fromkeys(names))


def _release_date(recording: SoundRecording) -> date | None:
    """The standard also allows a year, or a year and month: not a day, so none."""
    for text in recording.first_publication_date:
        try:
            return date.fromisoformat(text.strip()[:10])
        except ValueError:
            continue
    return None


def _rights(recording: SoundRecording, parties: Mapping[str, str], *, of: str) -> tuple[Right, ...]:
    held: dict[str, Fraction] = {}
    controllers = recording.rights_controller
    for controller in controllers:
        name = parties.get(controller.party_reference or "")
        if name is None:
            raise CatalogError(
                f"the rights controller {controller.party_reference!r} is not in the PartyList; add it there"
            )
        check_name(name, what="a rights controller")
        if controller.share_percentage is None and len(controllers) > 1:
            raise CatalogError(
                f"{name} controls it without a RightSharePercentage, beside others; say how much"
            )
        held[name] = held.get(name, Fraction(0)) + _share(controller.share_percentage or "100", of=name)
    if not held:
        return ()
    check_sum(held, of=of)
    return tuple(Right(name, share, Role.LABEL) for name, share in apportion(held).items())


def _share(text: str, *, of: str) -> Fraction:
    try:
        percentage = Decimal(text.strip())
    except InvalidOperation as error:
        raise CatalogError(f"the RightSharePercentage of {of} is {text!r}; write a number") from error
    if not (percentage.is_finite() and 0 < percentage <= 100):
        raise CatalogError(f"the RightSharePercentage of {of} is {text}; it lies between 0 and 100")
    return Fraction(percentage) / 100
