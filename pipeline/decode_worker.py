"""The process that FFmpeg and the readers of marks run in: it is handed a file, and answers about it.

Started as `python -P -m pipeline.decode_worker SOCKET_FD PCM_FD` by `pipeline.decode_process` only.
Beside the whitelists of `pipeline.ffmpeg_decode` it has two fences of its own: while FFmpeg runs, the
process can't open any file descriptor (RLIMIT_NOFILE 0), and its address space is bounded (RLIMIT_AS).

Protocol, one line of JSON each way: the process states its block size once it is ready; the parent sends the
limits, with the source as a file descriptor beside them (SCM_RIGHTS); the samples go to PCM_FD as blocks, see
`pipeline.sample_sink`; the answer is `{"ok": {...}}` or `{"error": "<a class of soundalike.errors>",
"message": "..."}`. A request with `marks_of`, the file's path, is answered with `{"marks": [{...}]}`, see
`classifiers.provenance`. The process ends when the parent hangs up.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import resource
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging

from pipeline.ffmpeg_decode import decode_descriptor
from pipeline.sample_sink import BLOCK_SAMPLES, DecodeBounds, Refused

_MAX_LINE_BYTES = 65_536


@contextmanager
def _soft_limit(kind: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (lowered, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def answer(request: dict[str, Any], *, source_fd: int, pcm_fd: int) -> dict[str, Any]:
    """Decode one source under the limits of `request`; always returns an answer."""
    memory_bytes = int(request.pop("max_memory_bytes"))
    bounds = DecodeBounds(**request)
    os.ftruncate(pcm_fd, 0)
    os.lseek(pcm_fd, 0, os.SEEK_SET)
    try:
        with _soft_limit(resource.RLIMIT_AS, memory_bytes), _soft_limit(resource.RLIMIT_NOFILE, 0):
            return {"ok": asdict(decode_descriptor(source_fd, pcm_fd, bounds))}
    except Refused as refused:
        return {"error": refused.error, "message": str(refused)}
    except (MemoryError, av.error.MemoryError):
        message = f"needs more than {memory_bytes} bytes of memory to decode, the limit"
        return {"error": "AudioTooLarge", "message": message}


def answer_marks(request: dict[str, Any]) -> dict[str, Any]:
    """What one file says of its origin, under the memory limit of `request`."""
    from classifiers.provenance import read_provenance  # noqa: PLC0415 -- decoding alone needs none of it

    memory_bytes = int(request["max_memory_bytes"])
    try:
        with _soft_limit(resource.RLIMIT_AS, memory_bytes):
            return {"marks": [asdict(claim) for claim in read_provenance(Path(request["marks_of"]))]}
    except MemoryError:
        message = f"more than {memory_bytes} bytes of memory are needed, the limit"
        return {"error": "AudioTooLarge", "message": message}
    except Exception as error:  # noqa: BLE001 -- tag readers leak whatever a forged file makes them raise
        return {"error": "NotAudio", "message": f"{type(error).__name__}: {error}"}


def serve(channel: socket.socket, pcm_fd: int) -> None:
    """Answer requests until the parent hangs up."""
    channel.sendall(json.dumps({"block_samples": BLOCK_SAMPLES}).encode() + b"\n")
    while True:
        line, descriptors, _, _ = socket.recv_fds(channel, _MAX_LINE_BYTES, 1)
        while line and not line.endswith(b"\n"):
            line += channel.recv(_MAX_LINE_BYTES)
        if not line:
            return
        (source_fd,) = descriptors
        try:
            request = json.loads(line)
            if "marks_of" in request:
                reply = answer_marks(request)
            else:
                reply = answer(request, source_fd=source_fd, pcm_fd=pcm_fd)
        finally:
            os.close(source_fd)
        channel.sendall(json.dumps(reply).encode() + b"\n")


def _import_all_of_pyav() -> None:
    """PyAV imports parts of itself when a file first needs them, which RLIMIT_NOFILE 0 would forbid."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _import_all_of_pyav()
    av.logging.set_level(None)  # damaged uploads would fill the job's log
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel, int(sys.argv[2]))


if __name__ == "__main__":
    main()
