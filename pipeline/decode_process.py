"""Decoding processes: started when needed, reused, killed on time-out, replaced after a crash.

FFmpeg reads bytes from strangers, so it never runs in the job's own process: a hang would hold the
bundle for ever and a crash would take torch, Kafka and all uploads in flight with it. A process is started
with `subprocess` (no fork of a process full of threads) and kept for the next upload. Measured with
`python -m bench.decode_speed`; the numbers stand in docs/decisions.md.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundalike.errors import DecoderKilled, DecoderUnavailable, DecodeTimedOut, NotAudio

_START_LIMIT_S: Final = 60.0
"""Python and FFmpeg load in 0.4 s; this is for a machine that is swapping."""

_GRACE_S: Final = 1.0
"""The process stops itself at the time limit and says so; when it does not within this, it is killed."""

_RECYCLE_AFTER: Final = 1_000
"""Uploads per process: bounds whatever a decoder may leak, at 0.4 ms an upload."""

_ENVIRONMENT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
    "TMPDIR",
)
"""All that the process inherits: no credentials, no proxies."""


_FAULTS: Final = frozenset({"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"})
"""Ends that the bytes can bring about; others (SIGKILL, an exit status) are not the file's fault."""


class _Crashed(Exception):
    """The process ended without an answer; the message says how."""


class DecodeProcess:
    """One child process and its two channels; not safe for use by two threads at once."""

    def __init__(self) -> None:
        self.decoded = 0
        self._pcm_fd = _anonymous_file()
        ours, theirs = socket.socketpair()
        self._channel = ours
        root = str(Path(__file__).resolve().parent.parent)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "pipeline.decode_worker",
                    str(theirs.fileno()),
                    str(self._pcm_fd),
                ],
                pass_fds=(theirs.fileno(), self._pcm_fd),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            ours.close()
            os.close(self._pcm_fd)
            raise DecoderUnavailable(f"the decoding process does not start: {error}") from error
        finally:
            theirs.close()
        try:
            self._block_samples = int(json.loads(self._read_line(_START_LIMIT_S))["block_samples"])
        except (TimeoutError, _Crashed) as error:
            self.kill()
            raise DecoderUnavailable(
                f"the decoding process does not start ({error or 'no answer'}); its own message is on stderr"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, source_fd: int, request: dict[str, Any], *, limit_s: float) -> dict[str, Any]:
        """One decode. Raises TimeoutError or _Crashed, after either of which the process must be killed."""
        line = json.dumps(request).encode() + b"\n"
        try:
            socket.send_fds(self._channel, [line], [source_fd])
        except OSError as error:
            raise _Crashed(self._how_it_ended()) from error
        answer: dict[str, Any] = json.loads(self._read_line(limit_s + _GRACE_S))
        self.decoded += 1
        return answer

    def read_samples(self, *, channels: int, samples: int) -> NDArray[np.float32]:
        """The samples of the last answer, float32 [channels, samples]; they are gone afterwards."""
        result = np.empty((channels, samples), dtype=np.float32)
        offset = 0
        for start in range(0, samples, self._block_samples):
            rows = [row[start : start + self._block_samples].data.cast("B") for row in result]
            expected = sum(len(row) for row in rows)
            if os.preadv(self._pcm_fd, rows, offset) != expected:
                raise _Crashed("its samples are incomplete")
            offset += expected
        os.ftruncate(self._pcm_fd, 0)
        return result

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._channel.close()
        with contextlib.suppress(OSError):
            os.close(self._pcm_fd)

    def _read_line(self, limit_s: float) -> bytes:
        deadline = time.monotonic() + limit_s
        line = b""
        while not line.endswith(b"\n"):
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                part = self._channel.recv(65_536)
            except ConnectionError:
                part = b""
            if not part:
                raise _Crashed(self._how_it_ended())
            line += part
        return line

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            return "hung up"
        if code >= 0:
            return f"exit status {code}"
        return signal.Signals(-code).name


def _anonymous_file() -> int:
    """A file in memory where the system has such, else an unlinked temporary one. Returns its descriptor."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("soundalike-pcm")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class _Idle:
    """Processes that wait for the next upload, at most one per core."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[DecodeProcess] = []
        self._most = max(1, os.cpu_count() or 1)

    def take(self) -> DecodeProcess:
        with self._lock:
            if self._processes:
                return self._processes.pop()
        return DecodeProcess()

    def put_back(self, process: DecodeProcess) -> None:
        if process.decoded < _RECYCLE_AFTER:
            with self._lock:
                if len(self._processes) < self._most:
                    self._processes.append(process)
                    return
        process.kill()

    def close(self) -> None:
        with self._lock:
            processes, self._processes = self._processes, []
        for process in processes:
            process.kill()

    def forget(self) -> None:
        """In a forked child: the processes belong to the parent, which still talks to them."""
        self._lock = threading.Lock()
        self._processes = []


_idle = _Idle()
atexit.register(_idle.close)
os.register_at_fork(after_in_child=_idle.forget)


def decode_in_process(
    source_fd: int, request: dict[str, Any], *, limit_s: float
) -> tuple[dict[str, Any], NDArray[np.float32] | None]:
    """Decode `source_fd` in a child process: (answer, samples float32 [channels, n] when the answer is ok).

    `pipeline.marks` asks the same processes another question, whose answer has no samples.

    A crash is tried once more in a fresh process: only a file that crashes it twice is blamed.

    Raises
    ------
    DecodeTimedOut: no answer within `limit_s` (wall); the process was killed.
    NotAudio: the decoder crashed twice.
    DecoderUnavailable: no process could be started.
    DecoderKilled: it ended twice for a reason outside the file.
    """
    how = ""
    for attempt in (1, 2):
        process = _idle.take() if attempt == 1 else DecodeProcess()
        try:
            answer = process.ask(source_fd, request, limit_s=limit_s)
            samples = None
            if "ok" in answer:
                samples = process.read_samples(
                    channels=answer["ok"]["channels"], samples=answer["ok"]["samples"]
                )
        except TimeoutError as error:
            process.kill()
            raise DecodeTimedOut(
                f"takes longer than {limit_s:g} s to decode; the decoder was killed"
            ) from error
        except _Crashed as crash:
            process.kill()
            how = str(crash)
            continue
        except BaseException:
            process.kill()
            raise
        _idle.put_back(process)
        return answer, samples
    if how not in _FAULTS:
        raise DecoderKilled(f"the decoding process ended twice ({how}); its own message is on stderr")
    raise NotAudio(f"crashes the decoder ({how}, twice)")


def close_idle() -> None:
    """End all waiting processes; the next decode starts a new one."""
    _idle.close()
