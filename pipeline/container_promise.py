"""How much audio a container promises, read from its own bytes.

FFmpeg hides most truncations: it clamps the data size of WAV, W64 and CAF to the file, takes the duration of
Ogg from the last page it finds, estimates that of a headerless MP3 or ADTS from the bit rate, and
can't open an MP4 whose index was cut off. So the promise is read here, before FFmpeg runs, by walking
the outermost structure only: bounded steps, no recursion, nothing trusted but compared.

Sources: RIFF/RF64 (EBU Tech 3306), Sony Wave64, Apple CAF 1.0, ISO/IEC 14496-12 (boxes), RFC 3533 (Ogg
pages), ASF 1.2 (file properties object), ISO/IEC 11172-3 and the Xing/VBRI headers (MP3).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

_MAX_STEPS: Final = 10_000
"""Chunks or boxes looked at before giving up; real files have tens."""

_LARGEST_OFFSET: Final = 2**62
"""Beyond any file, and within what lseek takes."""

_OGG_TAIL_BYTES: Final = 2 * 65_307
"""Twice the largest Ogg page (27 + 255 + 255·255 bytes): always holds the head of the last page."""

_MP3_HEAD_BYTES: Final = 4_096
"""The Xing or VBRI header lies in the first frame, which is at most 1,441 bytes long."""

_UNKNOWN_SIZES: Final = frozenset({0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF})
"""What writers to a pipe leave where the size belongs: no promise."""

_W64_RIFF: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_W64_DATA: Final = bytes.fromhex("64617461f3acd3118cd100c04f8edb8a")
_ASF_HEADER: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_HONEST: Final = (b"fLaC", b"FORM", b"wvpk", b"\x1a\x45\xdf\xa3")
"""FLAC, AIFF, WavPack, Matroska: FFmpeg reports the duration that the header states."""

_ASF_FILE_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")


@dataclass(frozen=True, slots=True)
class Promise:
    """What the container says about itself.

    end_byte: where its audio should end, when it says so; more than `size_bytes` means that the file was cut.
    size_bytes: how long the file really is.
    cut: the file ends inside a structure which says how long it is, though the total is unknown.
    states_duration: the duration in the header is a statement, not an estimate from the bit rate.
    """

    size_bytes: int
    end_byte: int | None = None
    cut: bool = False
    states_duration: bool = True

    @property
    def missing_share(self) -> float:
        """Share of the promised bytes that are not there, 0 … 1; 0 when nothing is promised."""
        if self.end_byte is None or self.end_byte <= self.size_bytes:
            return 0.0
        return 1.0 - self.size_bytes / self.end_byte


def read_promise(file: BinaryIO) -> Promise:
    """Read the promise of a seekable file; its position is undefined afterwards. Never raises on content."""
    size_bytes = file.seek(0, 2)
    head = _read_at(file, 0, 16)
    for at, magic, read_end in _END_READERS:
        if head.startswith(magic, at):
            return Promise(size_bytes=size_bytes, end_byte=read_end(file, size_bytes))
    if head.startswith(b"OggS"):
        return Promise(size_bytes=size_bytes, cut=_ogg_cut(file, size_bytes), states_duration=False)
    states_duration = head.startswith(_HONEST) or _mp3_counts_frames(file, head)
    return Promise(size_bytes=size_bytes, states_duration=states_duration)


def _read_at(file: BinaryIO, offset: int, length: int) -> bytes:
    if offset > _LARGEST_OFFSET:  # a size field of 64 bits may say anything
        return b""
    file.seek(offset)
    return file.read(length)


def _wav_end(file: BinaryIO, size_bytes: int) -> int | None:
    offset, long_size = 12, 0
    for _ in range(_MAX_STEPS):
        header = _read_at(file, offset, 8)
        if len(header) < 8 or offset > size_bytes:
            return None
        length = int.from_bytes(header[4:], "little")
        if header[:4] == b"ds64":
            long_size = int.from_bytes(_read_at(file, offset + 16, 8), "little")
        if header[:4] == b"data":
            length = long_size if length == 0xFFFFFFFF and long_size else length
            return None if length in _UNKNOWN_SIZES else offset + 8 + length
        offset += 8 + length + length % 2
    return None


def _w64_end(file: BinaryIO, size_bytes: int) -> int | None:
    offset = 40
    for _ in range(_MAX_STEPS):
        header = _read_at(file, offset, 24)
        if len(header) < 24 or offset > size_bytes:
            return None
        length = int.from_bytes(header[16:], "little")  # of the whole chunk, header included
        if header[:16] == _W64_DATA:
            return None if length in _UNKNOWN_SIZES else offset + length
        if length < 24:
            return None
        offset += (length + 7) // 8 * 8
    return None


def _caf_end(file: BinaryIO, size_bytes: int) -> int | None:
    offset = 8
    for _ in range(_MAX_STEPS):
        header = _read_at(file, offset, 12)
        if len(header) < 12 or offset > size_bytes:
            return None
        length = int.from_bytes(header[4:], "big")
        if header[:4] == b"data":
            return None if length in _UNKNOWN_SIZES else offset + 12 + length
        offset += 12 + length
    return None


def _mp4_end(file: BinaryIO, size_bytes: int) -> int | None:
    """End of the last outermost box that begins inside the file."""
    offset = 0
    for _ in range(_MAX_STEPS):
        header = _read_at(file, offset, 16)
        if len(header) < 8:
            return offset
        length = int.from_bytes(header[:4], "big")
        if length == 1 and len(header) == 16:
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0: "to the end of the file"; anything else is no box
            return None
        offset += length
        if offset >= size_bytes:
            return offset
    return None


def _ogg_cut(file: BinaryIO, size_bytes: int) -> bool:
    """Whether the last page is longer than what is left of the file."""
    start = max(0, size_bytes - _OGG_TAIL_BYTES)
    tail = _read_at(file, start, _OGG_TAIL_BYTES)
    page = tail.rfind(b"OggS\x00")
    if page < 0:
        return False
    if len(tail) < page + 27:
        return True
    lacing = tail[page + 27 : page + 27 + tail[page + 26]]
    return len(lacing) < tail[page + 26] or page + 27 + len(lacing) + sum(lacing) > len(tail)


def _asf_end(file: BinaryIO, _: int) -> int | None:
    """The file size that the file properties object states, unless it marks itself as a broadcast."""
    head = _read_at(file, 0, 65_536)
    at = head.find(_ASF_FILE_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return None
    (stated,) = struct.unpack_from("<Q", head, at + 40)
    (flags,) = struct.unpack_from("<I", head, at + 88)
    return None if flags & 1 or stated in _UNKNOWN_SIZES else int(stated)


def _mp3_counts_frames(file: BinaryIO, head: bytes) -> bool:
    """Whether an MP3 carries a frame count; without one, a duration is a guess from the bit rate."""
    offset = 0
    if head[:3] == b"ID3":
        length = 0
        for byte in head[6:10]:  # four bytes of seven bits
            length = length << 7 | byte & 0x7F
        offset = 10 + length + (10 if head[5] & 0x10 else 0)
    first_frame = _read_at(file, offset, _MP3_HEAD_BYTES)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))


_END_READERS: Final[tuple[tuple[int, bytes, Callable[[BinaryIO, int], int | None]], ...]] = (
    (8, b"WAVE", _wav_end),
    (0, _W64_RIFF, _w64_end),
    (0, b"caff", _caf_end),
    (0, _ASF_HEADER, _asf_end),
    *((4, box, _mp4_end) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
)
"""Where a magic number stands, what it is, and who reads the end that the container promises."""
