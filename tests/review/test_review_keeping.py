"""What is kept, and for how long: copies of audio, papers; and what plays when originals are gone."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from review.audit import verify
from review.housekeeping import keep_house
from review.media import prepare_next, try_again
from review.ports import Reference, SignPicture, Sound
from review.sign_pictures import paint_next
from review.tables import case_audio, media
from soundalike.errors import AudioNotFound, FetchFailed, NotAudio

YEAR_S = 365 * 86_400


class Files:
    """`AudioReader` over a folder: addresses are paths, every file decodes to a second of a tone."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.down = False

    def copy(self, uri: str, into: Path) -> None:
        self.fetched.append(uri)
        if self.down:
            raise FetchFailed(f"{uri}: the store does not answer")
        path = Path(uri.removeprefix("file://"))
        if not path.exists():
            raise AudioNotFound(f"{uri}: no such file")
        shutil.copyfile(path, into)

    def decode(self, path: Path) -> Sound:
        tone = np.sin(np.arange(8000, dtype=np.float32) / 5)
        return Sound(tone, 8000, -20.0, "flac", "flac")

    def transcode(self, path: Path, into: Path) -> None:
        raise AssertionError("flac is played as it is")


@pytest.fixture
def reader() -> Files:
    return Files()


@pytest.fixture
def files(bench: Any, tmp_path: Path) -> Any:
    """An upload and its reference that exist, and the case on them."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "up.flac").write_bytes(b"the upload")
    (folder / "song.flac").write_bytes(b"the song")
    bench.references.tracks["song"] = Reference("song", "Song", uri=f"file://{folder / 'song.flac'}",
                                                rightsholders=("Label",))  # fmt: skip
    bench.folder = folder
    bench.audio = {
        "uri": f"file://{folder / 'up.flac'}", "duration_s": 1.0,
        "sha256": hashlib.sha256(b"the upload").hexdigest(),
    }  # fmt: skip
    return bench


def prepare(bench: Any, reader: Files, *, rounds: int = 20) -> None:
    for _ in range(rounds):
        if not prepare_next(bench.desk.database, bench.desk.store, reader, now=bench.clock()):
            return
    pytest.fail("the audio worker does not come to an end")


def sounds(bench: Any, case_id: str) -> dict[str, Any]:
    with bench.write() as connection:
        rows = connection.execute(select(case_audio).where(case_audio.c.case_id == case_id)).all()
    return {row.track_id: row for row in rows}


def close(bench: Any, case_id: str, *, who: str = "ann", action: str = "confirm", code: str = "clone") -> Any:
    client = bench.browser(who)
    lease = client.post(f"/api/v1/cases/{case_id}/claim").json()
    body = {"token": lease["token"], "action": action, "reason_code": code, "note": "As it is."}
    answer = client.post(f"/api/v1/cases/{case_id}/decide", json=body)
    assert answer.status_code == 200, answer.text
    bench.clock.forward(31)
    return client


def house(bench: Any) -> bool:
    return keep_house(bench.desk.database, bench.desk.store, now=bench.clock(), policy=bench.desk.policy)


# Audio on old cases


def test_appeal_plays_the_judged_bytes_when_the_original_has_gone(files: Any, reader: Files) -> None:
    case_id = files.flag("up-1", audio=files.audio)
    prepare(files, reader)
    close(files, case_id)
    shutil.rmtree(files.folder)
    reader.fetched.clear()
    answer = files.program().post("/api/v1/appeals", json={"upload_id": "up-1", "statement": "Mine."})
    appeal = answer.json()["appeal_id"]
    prepare(files, reader)
    found = sounds(files, appeal)
    assert {name: row.state for name, row in found.items()} == {"": "ready", "song": "ready"}
    assert found[""].detail == ""  # exactly what was judged: nothing to explain
    assert "the desk's own copy of 2026-11-02" in found["song"].detail
    assert reader.fetched == [f"file://{files.folder / 'song.flac'}"]  # the upload was not even asked for
    ben = files.browser("ben")
    links = ben.get(f"/api/v1/cases/{appeal}").json()["media"]
    assert ben.get(links[""]["audio"]).content == b"the upload"
    assert ben.get(links["song"]["audio"]).content == b"the song"


def test_reference_without_an_address_plays_from_an_earlier_copy(files: Any, reader: Files) -> None:
    files.flag("up-1", audio=files.audio)
    prepare(files, reader)
    files.references.tracks.clear()  # withdrawn: nobody knows any more where its audio lies
    later = files.flag("up-2", audio=files.audio)
    prepare(files, reader)
    assert sounds(files, later)["song"].state == "ready"
    assert "nobody knows where" in sounds(files, later)["song"].detail
    page = files.browser("ann").get(f"/cases/{later}").text
    assert "no longer in the catalog" in page


def test_reference_withdrawn_while_the_case_is_open_is_marked(files: Any) -> None:
    case_id = files.flag("up-1", audio=files.audio)
    ann = files.browser("ann")
    assert ann.get(f"/api/v1/cases/{case_id}").json()["case"]["reference_audio"][0]["withdrawn"] is False
    files.references.tracks["song"] = replace(files.references.tracks["song"], withdrawn=True)
    assert ann.get(f"/api/v1/cases/{case_id}").json()["case"]["reference_audio"][0]["withdrawn"] is True
    assert "no longer in the catalog" in ann.get(f"/cases/{case_id}").text


def test_another_uploads_copy_is_never_played_instead(files: Any, reader: Files) -> None:
    files.flag("up-1", audio=files.audio)
    prepare(files, reader)
    gone = {"uri": f"file://{files.folder / 'gone.flac'}", "duration_s": 1.0, "sha256": "cd" * 32}
    case_id = files.flag("up-2", audio=gone)
    prepare(files, reader)
    assert sounds(files, case_id)[""].state == "missing"
    assert "no such file" in sounds(files, case_id)[""].detail


def test_store_that_does_not_answer_is_asked_again_and_then_given_up(files: Any, reader: Files) -> None:
    case_id = files.flag("up-1", audio=files.audio)
    reader.down = True
    for _ in range(5):
        prepare(files, reader)
        files.clock.forward(200)
    assert len(reader.fetched) == 10
    assert "given up after 5 tries" in sounds(files, case_id)[""].detail
    reader.down = False
    with files.write() as connection:
        assert try_again(connection, case_id, now=files.clock()) == 2
    prepare(files, reader)
    assert {row.state for row in sounds(files, case_id).values()} == {"ready"}


def test_audio_of_a_case_that_was_decided_before_it_came_is_fetched_all_the_same(
    files: Any, reader: Files
) -> None:
    case_id = files.flag("up-1", audio=files.audio)
    close(files, case_id)
    prepare(files, reader)
    assert {row.state for row in sounds(files, case_id).values()} == {"ready"}


# Retention


def test_copies_are_deleted_when_the_last_case_is_long_closed(files: Any, reader: Files) -> None:
    first, second = files.flag("up-1", audio=files.audio), files.flag("up-2", audio=files.audio)
    prepare(files, reader)
    ann = close(files, first)
    files.clock.forward(YEAR_S + 60)
    assert house(files) is False  # the second case is open and needs both
    ann = close(files, second)
    files.clock.forward(YEAR_S - 60)
    assert house(files) is False
    files.clock.forward(120)
    assert house(files) is True
    assert [path for path in files.desk.store.folder.rglob("*") if path.is_file()] == []
    with files.write() as connection:
        assert connection.execute(select(media)).all() == []
        verify(connection)
    row = sounds(files, first)["song"]
    assert (row.state, row.sha256) == ("missing", None)
    assert "deleted on 2028-" in row.detail
    ann = files.browser("ann")
    assert ann.post(f"/api/v1/cases/{first}/audio/retry").json() == 2
    prepare(files, reader)
    assert sounds(files, first)["song"].state == "ready"
    assert house(files) is False  # fetched anew for somebody: kept for the full time again


def test_copies_of_golden_cases_stay(files: Any, reader: Files) -> None:
    case_id = files.flag("up-1", audio=files.audio)
    prepare(files, reader)
    close(files, case_id)
    lea = files.browser("lea")
    body = {"case_id": case_id, "action": "confirm", "reason_code": "clone"}
    assert lea.post("/api/v1/golden", json=body).status_code == 204
    assert lea.get(f"/api/v1/cases/{case_id}").json()["case"]["golden"] is True
    assert files.browser("ben").get(f"/api/v1/cases/{case_id}").json()["case"]["golden"] is False
    files.clock.forward(2 * YEAR_S)
    assert house(files) is False
    assert files.browser("lea").delete(f"/api/v1/golden/{case_id}").status_code == 204
    assert house(files) is True


# Papers


def test_what_the_uploader_sent_stands_on_the_case_and_on_its_appeal(files: Any) -> None:
    case_id = files.flag("up-1")
    close(files, case_id, action="documents", code="licence")
    program = files.program()
    sent = program.post(f"/api/v1/cases/{case_id}/documents", json={"note": "Licence 12: https://x.test/12"})
    assert sent.status_code == 204
    ben = files.browser("ben")
    papers = ben.get(f"/api/v1/cases/{case_id}").json()["case"]["papers"]
    assert [(paper["actor"], paper["note"]) for paper in papers] == [
        ("service:uploads", "Licence 12: https://x.test/12")
    ]
    assert "Licence 12" in ben.get(f"/cases/{case_id}").text
    close(files, case_id, who="ben")
    answer = program.post("/api/v1/appeals", json={"upload_id": "up-1", "statement": "Read my licence."})
    appeal = answer.json()["appeal_id"]
    assert files.browser("lea").get(f"/api/v1/cases/{appeal}").json()["case"]["papers"] == papers


def test_case_is_open_again_when_no_papers_came(files: Any) -> None:
    case_id = files.flag("up-1")
    close(files, case_id, action="documents", code="licence")
    files.clock.forward(14 * 86_400 - 60)
    assert house(files) is False
    files.clock.forward(60)
    assert house(files) is True
    case = files.browser("ben").get(f"/api/v1/cases/{case_id}").json()["case"]
    assert case["line"]["state"] == "open"
    assert case["papers"][0]["note"] == "Nothing came within 14 days."


# Pictures of signs


class Painter:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.broken = False

    def paint(self, path: Path, names: Sequence[str]) -> list[SignPicture]:
        assert path.read_bytes() == b"the upload"
        self.asked.append(tuple(names))
        if self.broken:
            raise NotAudio("not audio after all")
        return [SignPicture(name, f"what {name} looks like", b"\x89PNG") for name in names if name == "comb"]


def signs(*names: str) -> dict[str, Any]:
    found = [{"name": name, "value": 1.0, "probability": 0.7, "detail": ""} for name in names]
    return {"known": True, "probability": 0.8, "low": 0.6, "high": 0.9, "signs": found}


def test_signs_stand_on_the_case_with_their_pictures(files: Any, reader: Files) -> None:
    case_id = files.flag("up-1", audio=files.audio, ai=signs("comb", "unheard-of", "../../etc/passwd"))
    prepare(files, reader)
    painter, desk = Painter(), files.desk
    assert paint_next(desk.database, desk.store, painter) is True
    assert paint_next(desk.database, desk.store, painter) is False
    assert painter.asked == [("comb", "unheard-of")]  # a name that is no plain word never becomes a file
    ann = files.browser("ann")
    answer = ann.get(f"/api/v1/cases/{case_id}").json()
    assert set(answer["media"][""]["signs"]) == {"comb"}
    assert answer["media"]["song"]["signs"] == {}
    picture = ann.get(answer["media"][""]["signs"]["comb"])
    assert (picture.headers["content-type"], picture.content) == ("image/png", b"\x89PNG")
    page = ann.get(f"/cases/{case_id}").text
    assert 'alt="what comb looks like"' in page
    unsigned = answer["media"][""]["signs"]["comb"].partition("?")[0]
    assert ann.get(f"{unsigned}?expires=99999999999&signature=0").status_code == 403
    other = answer["media"][""]["signs"]["comb"].replace("/comb.png", "/..%2Fcomb.png")
    assert ann.get(other).status_code == 404


def test_audio_that_cannot_be_drawn_is_tried_once(files: Any, reader: Files) -> None:
    files.flag("up-1", audio=files.audio, ai=signs("comb"))
    prepare(files, reader)
    painter = Painter()
    painter.broken = True
    assert paint_next(files.desk.database, files.desk.store, painter) is True
    assert paint_next(files.desk.database, files.desk.store, painter) is False
