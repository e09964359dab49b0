"""Marks of origin in a child process: read as they are, and no file can hurt the job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifiers.provenance import Claim, read_provenance
from pipeline import decode_worker, marks
from pipeline.decode import DecodeLimits
from pipeline.marks import read_marks
from soundalike.errors import AudioNotFound, DecoderUnavailable, DecodeTimedOut, NotAudio


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    path = tmp_path / "a file without an ending"
    with soundfile.SoundFile(path, "w", 44_100, 2, format="FLAC") as file:
        file.comment = "made with suno; created=2026-03-13T05:04:16Z; id=4262"
        file.write(np.zeros((8_000, 2)))
    return path


def test_the_same_claims_as_without_a_process(tagged: Path) -> None:
    found = read_marks(tagged)

    assert list(found) == read_provenance(tagged)
    assert [(claim.kind, claim.state) for claim in found] == [("c2pa", "absent"), ("tag", "found")]
    assert found[1].says_machine_made


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioNotFound, match="nothing"):
        read_marks(tmp_path / "nothing.mp3")


@pytest.mark.parametrize(
    ("failure", "said"), [(DecodeTimedOut("slow"), "within 60 s"), (NotAudio("SIGABRT, twice"), "crash")]
)
def test_a_file_that_hurts_its_reader_is_broken(
    tagged: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(marks, "decode_in_process", fail)

    (claim,) = read_marks(tagged)
    assert (claim.kind, claim.state, claim.says_machine_made) == ("file", "broken", False)
    assert said in claim.detail


def test_no_process_is_not_the_files_fault(tagged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DecoderUnavailable("ended twice")

    monkeypatch.setattr(marks, "decode_in_process", fail)

    with pytest.raises(DecoderUnavailable):
        read_marks(tagged)


@pytest.mark.parametrize("failure", [MemoryError(), KeyError("a frame that no reader expects")])
def test_what_a_reader_raises_is_an_answer(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(_: Path) -> list[Claim]:
        raise failure

    monkeypatch.setattr("classifiers.provenance.read_provenance", fail)

    answer = decode_worker.answer_marks(
        {"marks_of": "x", "max_memory_bytes": DecodeLimits().max_memory_bytes}
    )
    assert set(answer) == {"error", "message"}


def test_a_tag_that_asks_for_all_memory_is_broken(tmp_path: Path) -> None:
    # An RIFF chunk of ID3 frames whose size field promises 256 MB more than there is.
    path = tmp_path / "greedy.mp3"
    frame = b"TXXX" + bytes([0x7F, 0x7F, 0x7F, 0x7F]) + b"\0\0" + b"\3comment\0made with suno"
    path.write_bytes(b"ID3\4\0\0" + bytes([0x7F, 0x7F, 0x7F, 0x7F]) + frame)

    limits = DecodeLimits(max_memory_bytes=150_000_000)
    assert all(not claim.says_machine_made for claim in read_marks(path, limits=limits))
