"""What is special about the spool: unfinished lines, torn lines, several writers, lost files."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.log import Record, TopicPlan
from pipeline.spool_log import SpoolLog
from soundalike.errors import BrokerError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spool(tmp_path: Path) -> SpoolLog:
    spool = SpoolLog(tmp_path / "spool")
    spool.create_topics([TopicPlan("uploads")])
    return spool


def read(spool: SpoolLog, *, start: int = 0) -> list[Record]:
    return spool.open_reader("uploads", "group").read({0: start}, max_records=10_000, max_wait_s=0.0)


def values(spool: SpoolLog) -> list[bytes]:
    return [record.value for record in read(spool)]


def test_a_line_that_is_still_being_written_is_not_read(spool: SpoolLog) -> None:
    path = spool.path("uploads")
    path.write_bytes(b'{"n":1}\n{"n":')
    assert values(spool) == [b'{"n":1}']
    with path.open("ab") as file:
        file.write(b"2}\n")
    assert values(spool) == [b'{"n":1}', b'{"n":2}']


def test_offsets_are_positions_of_lines(spool: SpoolLog) -> None:
    spool.path("uploads").write_bytes(b"first\n\n  \nsecond\r\nthird\n")
    records = read(spool)
    assert [(r.offset, r.next_offset, r.value) for r in records] == [
        (0, 6, b"first"),
        (10, 18, b"second"),
        (18, 24, b"third"),
    ]
    assert read(spool, start=records[0].next_offset) == records[1:]


def test_a_torn_line_does_not_spoil_the_next_event(spool: SpoolLog) -> None:
    spool.path("uploads").write_bytes(b'{"n":1}\n{"n":')  # its writer died here
    writer = spool.open_writer()
    writer.send("uploads", None, b'{"n":3}')
    writer.flush()
    writer.close()
    assert values(spool) == [b'{"n":1}', b'{"n":', b'{"n":3}']


def test_an_event_of_several_lines_is_refused(spool: SpoolLog) -> None:
    writer = spool.open_writer()
    with pytest.raises(BrokerError, match="one event per line"):
        writer.send("uploads", None, b"{\n}")
    writer.close()
    assert values(spool) == []


def test_several_processes_may_write_at_once(spool: SpoolLog) -> None:
    # Longer than a pipe's or a page's atomic write, so that unlocked appends would get mixed up.
    code = (
        "import sys; from pathlib import Path; from pipeline.spool_log import SpoolLog\n"
        "writer = SpoolLog(Path(sys.argv[1])).open_writer()\n"
        "for n in range(100): writer.send('uploads', None, sys.argv[2].encode() * 20_000)\n"
        "writer.flush()"
    )
    command = [sys.executable, "-c", code, str(spool.folder)]
    writers = [subprocess.Popen([*command, letter], cwd=ROOT) for letter in "abc"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = values(spool)
    assert len(found) == 300
    assert set(found) == {letter * 20_000 for letter in (b"a", b"b", b"c")}


def test_progress_is_a_readable_file_of_its_own_per_group(spool: SpoolLog) -> None:
    spool.path("uploads").write_bytes(b"one\ntwo\n")
    reader = spool.open_reader("uploads", "job")
    reader.commit({0: 4})
    assert json.loads((spool.folder / ".progress/job/uploads.json").read_text()) == {"next_offset": 4}
    assert [path.name for path in (spool.folder / ".progress/job").iterdir()] == ["uploads.json"]
    assert spool.open_reader("uploads", "other").committed(0) is None


def test_a_spool_that_was_made_anew_is_read_from_its_start(
    spool: SpoolLog, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.path("uploads")
    path.write_bytes(b"old and long\n")
    spool.open_reader("uploads", "group").commit({0: 13})
    for content in (b"new\n", b"new and even longer\n"):  # shorter than the progress; no line begins there
        path.write_bytes(content)
        reader = spool.open_reader("uploads", "group")
        with caplog.at_level(logging.WARNING):
            assert reader.start_offset(0) == 0
        assert "was replaced" in caplog.text
        caplog.clear()
    reader.commit({0: 4})
    assert spool.open_reader("uploads", "group").committed(0) == 4, "progress in the new file counts"


def test_a_file_that_is_cut_under_its_reader_is_an_error(spool: SpoolLog) -> None:
    spool.path("uploads").write_bytes(b"short\n")
    with pytest.raises(BrokerError, match="was cut to 6 bytes while it was read at 100"):
        read(spool, start=100)


def test_a_damaged_progress_file_says_what_to_do(spool: SpoolLog) -> None:
    progress = spool.folder / ".progress" / "group" / "uploads.json"
    progress.parent.mkdir(parents=True)
    for content in ("", "[]", "{}", '{"next_offset": null}'):
        progress.write_text(content)
        with pytest.raises(BrokerError, match=r"delete it to read 'uploads' from its start"):
            spool.open_reader("uploads", "group").committed(0)


@pytest.mark.parametrize("name", ["", "../uploads", ".hidden", "a/b", "/etc/passwd", "nul\0"])
def test_names_can_not_leave_the_spool(spool: SpoolLog, name: str) -> None:
    with pytest.raises(BrokerError, match="has to be usable as a file name"):
        spool.path(name)
    with pytest.raises(BrokerError, match="has to be usable as a file name"):
        spool.open_reader("uploads", name)


def test_a_folder_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BrokerError, match=r"making the spool .* failed: Not a directory"):
        SpoolLog(tmp_path / "file" / "spool").create_topics([])


def test_flush_syncs_what_was_sent(spool: SpoolLog, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())))
    writer = spool.open_writer()
    writer.send("uploads", None, b"event")
    assert synced == []
    writer.flush()
    assert synced == [str(spool.path("uploads"))]
    writer.flush()
    assert len(synced) == 1, "nothing new to sync"
    writer.close()
