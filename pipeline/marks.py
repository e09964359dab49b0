"""Marks of origin (manifests, tags) of a file from a stranger, read in a child process.

    for claim in read_marks(Path("song.mp3"), limits=DecodeLimits()):
        ...

The readers parse what an uploader may have forged on purpose, so they run where FFmpeg does
(`pipeline.decode_worker`): bounded in time and memory, and a crash takes nothing with it. Reading takes 1 to
10 ms; hashing a manifest's audio adds about a second for half a gigabyte.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from classifiers.provenance import Claim
from pipeline.decode import DecodeLimits
from pipeline.decode_process import decode_in_process
from soundalike.errors import AudioNotFound, DecodeTimedOut, NotAudio

MOST_S: Final = 60.0
"""Wall seconds. The largest upload needs one; the rest is for a machine that is overloaded."""


def read_marks(path: Path, *, limits: DecodeLimits | None = None) -> tuple[Claim, ...]:
    """All claims of a file. What makes the reader crash, hang or eat memory is `broken`, not an error.

    Raises AudioNotFound without the file, DecoderUnavailable when no process can be started.
    """
    limits = limits or DecodeLimits()
    request = {"marks_of": str(path.absolute()), "max_memory_bytes": limits.max_memory_bytes}
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise AudioNotFound(f"{path}: can't be read for marks of origin ({error.strerror})") from error
    try:
        answer, _ = decode_in_process(descriptor, request, limit_s=MOST_S)
    except DecodeTimedOut:
        return (Claim("file", "broken", f"its marks of origin can't be read within {MOST_S:g} s"),)
    except NotAudio:
        return (Claim("file", "broken", "its marks of origin crash their reader"),)
    finally:
        os.close(descriptor)
    if "error" in answer:
        return (Claim("file", "broken", f"its marks of origin can't be read: {answer['message']}"),)
    return tuple(Claim(**claim) for claim in answer["marks"])
