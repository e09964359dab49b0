"""DDEX ERN 4.3: what a delivery says becomes tracks; what is wrong is named; what attacks is refused."""

from __future__ import annotations

import hashlib
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from index.ddex import read_message
from index.tracks import Right, Role
from soundalike.errors import CatalogError

NAMESPACE = "http://ddex.net/xml/ern/43"
PARTIES = """<PartyList>
  <Party><PartyReference>P1</PartyReference><PartyName><FullName>Ada Keller</FullName></PartyName></Party>
  <Party><PartyReference>P2</PartyReference><PartyName><FullName>Firn Records</FullName></PartyName></Party>
  <Party><PartyReference>P3</PartyReference><PartyName><FullName>Verlag</FullName></PartyName></Party>
</PartyList>"""


def controller(party: str, percent: str | None) -> str:
    share = "" if percent is None else f"<RightSharePercentage>{percent}</RightSharePercentage>"
    return (
        "<ResourceRightsController>"
        f"<RightsControllerPartyReference>{party}</RightsControllerPartyReference>"
        f"<RightsControlType>RightsController</RightsControlType>{share}</ResourceRightsController>"
    )


def recording(
    isrc: str = "GBAYE0601498",
    *,
    uri: str = "audio/alp.flac",
    more: str = "",
    held: str = "",
    number: int = 1,
) -> str:
    return f"""<SoundRecording>
  <ResourceReference>A{number}</ResourceReference>
  <Type>MusicalWorkSoundRecording</Type>
  <WorkId><ISWC>T0345246801</ISWC></WorkId>
  <SoundRecordingEdition>
    <Type>NonImmersiveEdition</Type>
    <ResourceId><ISRC>{isrc}</ISRC></ResourceId>
    <PLine><Year>2024</Year><PLineText>2024 Firn</PLineText></PLine>
    <TechnicalDetails>
      <TechnicalResourceDetailsReference>T{number}</TechnicalResourceDetailsReference>
      <DeliveryFile><Type>AudioFile</Type><AudioCodecType>FLAC</AudioCodecType>
        <File><URI>{uri}</URI>{more}</File></DeliveryFile>
    </TechnicalDetails>
  </SoundRecordingEdition>
  <DisplayTitleText ApplicableTerritoryCode="Worldwide">Alpenglow</DisplayTitleText>
  <DisplayTitle ApplicableTerritoryCode="Worldwide"><TitleText>Alpenglow</TitleText></DisplayTitle>
  <DisplayArtistName>Ada Keller</DisplayArtistName>
  <DisplayArtist SequenceNumber="1"><ArtistPartyReference>P1</ArtistPartyReference>
    <DisplayArtistRole>MainArtist</DisplayArtistRole></DisplayArtist>
  {held}
  <Duration>PT3M5S</Duration>
  <FirstPublicationDate>2024-05-17</FirstPublicationDate>
</SoundRecording>"""


def message(tmp_path: Path, *recordings: str, namespace: str = NAMESPACE, head: str = "") -> Path:
    path = tmp_path / "message.xml"
    body = "\n".join(recordings)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>{head}'
        f'<ern:NewReleaseMessage xmlns:ern="{namespace}" LanguageAndScriptCode="en">'
        f"<MessageHeader><MessageId>M1</MessageId></MessageHeader>{PARTIES}"
        f"<ResourceList>{body}</ResourceList><ReleaseList><Release/></ReleaseList></ern:NewReleaseMessage>",
        encoding="utf-8",
    )
    return path


@pytest.mark.parametrize("edition", ["", "1", "2"])
def test_a_recording_becomes_a_track(tmp_path: Path, edition: str) -> None:
    held = controller("P2", "66.67") + controller("P3", "33.33")
    read = read_message(message(tmp_path, recording(held=held), namespace=NAMESPACE + edition))
    assert read.faults == ()
    (row,) = read.rows
    assert (row.track_id, row.isrc, row.iswc) == ("GBAYE0601498", "GBAYE0601498", "T0345246801")
    assert (row.title, row.artists, row.release_date) == ("Alpenglow", ("Ada Keller",), date(2024, 5, 17))
    assert row.file == tmp_path / "audio" / "alp.flac"
    assert row.rights == (
        Right("Firn Records", Decimal("0.6667"), Role.LABEL),
        Right("Verlag", Decimal("0.3333"), Role.LABEL),
    )


def test_one_controller_without_a_percentage_holds_all_and_none_is_none(tmp_path: Path) -> None:
    alone = recording(held=controller("P2", None))
    nobody = recording("GBAYE0601499", number=2)
    first, second = read_message(message(tmp_path, alone, nobody)).rows
    assert first.rights == (Right("Firn Records", Decimal(1), Role.LABEL),)
    assert second.rights == ()


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (recording("nonsense", number=2), "is no ISRC"),
        (recording("", number=2), "has no ISRC"),
        (recording(number=2), "comes twice"),
        (recording("GBAYE0601499", uri="../../etc/passwd", number=2), "outside of the delivery"),
        (recording("GBAYE0601499", uri="/etc/passwd", number=2), "outside of the delivery"),
        (recording("GBAYE0601499", uri="file:///etc/passwd", number=2), "outside of the delivery"),
        (recording("GBAYE0601499", uri="https://example.org/a.flac", number=2), "outside of the delivery"),
        (recording("GBAYE0601499", uri="", number=2), "names no audio file"),
        (recording("GBAYE0601499", held=controller("P2", "60"), number=2), "sum to 0.6, not to 1"),
        (recording("GBAYE0601499", held=controller("P9", "100"), number=2), "not in the PartyList"),
        (recording("GBAYE0601499", held=controller("P2", "lots"), number=2), "write a number"),
        (recording("GBAYE0601499", held=controller("P2", "150"), number=2), "between 0 and 100"),
        (
            recording("GBAYE0601499", held=controller("P2", None) + controller("P3", "50"), number=2),
            "without a RightSharePercentage",
        ),
    ],
)
def test_a_faulty_recording_is_named_and_the_others_are_read(tmp_path: Path, bad: str, fault: str) -> None:
    read = read_message(message(tmp_path, recording(), bad, recording("GBAYE0601500", number=3)))
    assert [row.track_id for row in read.rows] == ["GBAYE0601498", "GBAYE0601500"]
    (found,) = read.faults
    assert str(found).startswith("SoundRecording A2: ")
    assert fault in str(found)


def test_a_file_that_was_damaged_on_the_way_is_found(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "alp.flac").write_bytes(b"music")
    right = hashlib.sha256(b"music").hexdigest()
    for value, faults in ((right, 0), ("0" * 64, 1)):
        told = f"<HashSum><Algorithm>SHA2</Algorithm><HashSumValue>{value}</HashSumValue></HashSum>"
        assert len(read_message(message(tmp_path, recording(more=told))).faults) == faults


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
OUTSIDE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE, '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'])
def test_bombs_and_entities_are_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(CatalogError, match="DTD or entities"):
        read_message(message(tmp_path, recording(), head=head))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is no XML"),
        (b"<a", "is no XML"),
        (b"\xff\xfe\x00", "is no XML"),
        (b"<html/>", "no NewReleaseMessage of ERN 4.3"),
        (b'<x:NewReleaseMessage xmlns:x="http://ddex.net/xml/ern/382"/>', "no NewReleaseMessage of ERN 4.3"),
        (b'<x:NewReleaseMessage xmlns:x="http://ddex.net/xml/ern/43"/>', "delivers no SoundRecording"),
        (b'<?xml version="1.0" encoding="nonsense"?><a/>', "is no XML"),
    ],
)
def test_what_is_no_delivery_is_said_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "message.xml"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=reason) as raised:
        read_message(path)
    assert "\n" not in str(raised.value)


def test_an_absent_message_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="can't read the message"):
        read_message(tmp_path / "absent.xml")
