"""The parts of a DDEX ERN 4.3 NewReleaseMessage that the catalog reads, as typed models for xsdata.

Names are the standard's, in the order of its message. What is not named here is skipped by the parser. Only
the root is in the standard's namespace; that is how its schema is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "http://ddex.net/xml/ern/43"


def _element(name: str) -> Any:
    return field(default=None, metadata={"name": name, "type": "Element", "namespace": ""})


def _elements(name: str) -> Any:
    return field(default_factory=list, metadata={"name": name, "type": "Element", "namespace": ""})


@dataclass
class PartyName:
    full_name: str | None = _element("FullName")


@dataclass
class Party:
    party_reference: str | None = _element("PartyReference")
    party_name: list[PartyName] = _elements("PartyName")


@dataclass
class PartyList:
    party: list[Party] = _elements("Party")


@dataclass
class HashSum:
    algorithm: str | None = _element("Algorithm")
    value: str | None = _element("HashSumValue")


@dataclass
class File:
    uri: str | None = _element("URI")
    hash_sum: HashSum | None = _element("HashSum")


@dataclass
class DeliveryFile:
    type_value: str | None = _element("Type")
    file: File | None = _element("File")


@dataclass
class TechnicalDetails:
    delivery_file: list[DeliveryFile] = _elements("DeliveryFile")


@dataclass
class ResourceId:
    isrc: str | None = _element("ISRC")


@dataclass
class SoundRecordingEdition:
    resource_id: list[ResourceId] = _elements("ResourceId")
    technical_details: list[TechnicalDetails] = _elements("TechnicalDetails")


@dataclass
class WorkId:
    iswc: str | None = _element("ISWC")


@dataclass
class DisplayTitle:
    title_text: str | None = _element("TitleText")


@dataclass
class DisplayArtist:
    artist_party_reference: str | None = _element("ArtistPartyReference")


@dataclass
class ResourceRightsController:
    party_reference: str | None = _element("RightsControllerPartyReference")
    share_percentage: str | None = _element("RightSharePercentage")


@dataclass
class SoundRecording:
    resource_reference: str | None = _element("ResourceReference")
    work_id: list[WorkId] = _elements("WorkId")
    edition: list[SoundRecordingEdition] = _elements("SoundRecordingEdition")
    display_title_text: list[str] = _elements("DisplayTitleText")
    display_title: list[DisplayTitle] = _elements("DisplayTitle")
    display_artist_name: list[str] = _elements("DisplayArtistName")
    display_artist: list[DisplayArtist] = _elements("DisplayArtist")
    rights_controller: list[ResourceRightsController] = _elements("ResourceRightsController")
    first_publication_date: list[str] = _elements("FirstPublicationDate")


@dataclass
class ResourceList:
    sound_recording: list[SoundRecording] = _elements("SoundRecording")


@dataclass
class NewReleaseMessage:
    class Meta:
        namespace = NAMESPACE

    party_list: PartyList | None = _element("PartyList")
    resource_list: ResourceList | None = _element("ResourceList")
