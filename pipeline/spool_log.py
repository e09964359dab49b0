"""The log as a folder of files: the same job on a laptop, with no broker.

`<folder>/<topic>.jsonl` holds one event per line and can be written by anything that appends whole lines::

    spool/uploads.jsonl                    one partition, number 0; offset: the byte where a line begins
    spool/verdicts.jsonl                   an output, readable with `tail -f`
    spool/.progress/<group>/<topic>.json   how far a consumer group has read, replaced atomically

A line counts once its newline is there: a reader never sees half an event. Writers lock the file while they
append and sync it in `flush`, so several processes may write to one spool. Keys and headers are not kept:
the key of each of our events is its `subject`. Empty lines are no records.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.log import Headers, Record, TopicPlan
from soundalike.errors import BrokerError

_log = logging.getLogger(__name__)

_PARTITION = 0

_POLL_S = 0.05
"""How often a waiting reader looks at its file: 20 `fstat` a second are not measurable, and 50 ms are not
felt."""


@dataclass(frozen=True)
class SpoolLog:
    """The spool in `folder`."""

    folder: Path

    def create_topics(self, plans: Iterable[TopicPlan]) -> None:
        with _as_broker_error(f"making the spool {self.folder}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            for plan in plans:
                self.path(plan.name).touch()

    def path(self, topic: str) -> Path:
        """The file of `topic`."""
        return self.folder / f"{_file_name(topic)}.jsonl"

    def open_reader(self, topic: str, group: str) -> SpoolReader:
        progress = self.folder / ".progress" / _file_name(group) / f"{_file_name(topic)}.json"
        return SpoolReader(self.path(topic), progress, topic)

    def open_writer(self) -> SpoolWriter:
        return SpoolWriter(self)


class SpoolReader:
    """`LogReader` over one file of lines."""

    def __init__(self, path: Path, progress: Path, topic: str) -> None:
        self._path = path
        self._progress = progress
        self._topic = topic
        self._committed = -1  # highest offset that this reader committed

    def partitions(self) -> tuple[int, ...]:
        return (_PARTITION,) if self._path.exists() else ()

    def start_offset(self, partition: int) -> int:
        committed = self.committed(partition) or 0
        with self._open() as file:
            size = os.fstat(file.fileno()).st_size
            if committed <= size and _starts_line(file, committed):
                return committed
        _log.warning(
            "%s was replaced since it was read up to byte %d; reading it from its start",
            self._path,
            committed,
        )
        return 0

    def committed(self, partition: int) -> int | None:
        try:
            document = json.loads(self._progress.read_bytes())
            return int(document["next_offset"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokerError(
                f"the progress file {self._progress} can't be read ({error}); delete it to read "
                f"{self._topic!r} from its start"
            ) from error

    def read(self, positions: Mapping[int, int], *, max_records: int, max_wait_s: float) -> list[Record]:
        if _PARTITION not in positions:
            time.sleep(max_wait_s)  # the file is not there yet: wait as for its first line
            return []
        deadline_s = time.monotonic() + max_wait_s
        with self._open() as file:
            while True:
                records = list(self._complete_lines(file, positions[_PARTITION], max_records))
                if records or time.monotonic() >= deadline_s:
                    return records
                time.sleep(_POLL_S)

    def lag_records(self, positions: Mapping[int, int]) -> dict[int, int]:
        lag = {}
        for partition, offset in positions.items():
            with self._open() as file:
                file.seek(offset)
                lag[partition] = sum(1 for line in file if line.endswith(b"\n") and line.strip())
        return lag

    def commit(self, offsets: Mapping[int, int]) -> None:
        offset = offsets.get(_PARTITION, -1)
        if offset <= self._committed:
            return
        with _as_broker_error(f"writing the progress file {self._progress}"):
            _replace(self._progress, json.dumps({"next_offset": offset}).encode())
        self._committed = offset

    def close(self) -> None:
        pass

    def _complete_lines(self, file: IO[bytes], offset: int, max_records: int) -> Iterator[Record]:
        status = os.fstat(file.fileno())
        if status.st_size < offset:
            raise BrokerError(f"{self._path} was cut to {status.st_size} bytes while it was read at {offset}")
        file.seek(offset)
        count = 0
        while count < max_records:
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            value = line.rstrip(b"\r\n")
            if value.strip():
                count += 1
                yield Record(
                    topic=self._topic,
                    partition=_PARTITION,
                    offset=offset,
                    key=None,
                    value=value,
                    timestamp_ms=status.st_mtime_ns // 1_000_000,
                    span=len(line),
                )
            offset += len(line)

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        with _as_broker_error(f"reading the spool file {self._path}"), self._path.open("rb") as file:
            yield file


class SpoolWriter:
    """`LogWriter` that appends lines; each is visible to readers at once, and durable after `flush`."""

    def __init__(self, log: SpoolLog) -> None:
        self._log = log
        self._files: dict[str, int] = {}  # topic -> descriptor
        self._unsynced: set[str] = set()

    def send(self, topic: str, key: bytes | None, value: bytes, headers: Headers = ()) -> None:
        if b"\n" in value or b"\r" in value:
            raise BrokerError(f"an event for {topic!r} spans lines; a spool holds one event per line")
        path = self._log.path(topic)
        with _as_broker_error(f"appending to the spool file {path}"):
            if topic not in self._files:
                # No O_CREAT: as on a broker, a topic is created on purpose, and a typing error is found out.
                self._files[topic] = os.open(path, os.O_RDWR | os.O_APPEND)
            _append_line(self._files[topic], value)
        self._unsynced.add(topic)

    def flush(self) -> None:
        unsynced, self._unsynced = self._unsynced, set()
        for topic in sorted(unsynced):
            with _as_broker_error(f"syncing the spool file {self._log.path(topic)}"):
                os.fsync(self._files[topic])

    def close(self) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}


def _append_line(descriptor: int, value: bytes) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        size = os.fstat(descriptor).st_size
        # A writer that died in the middle of a line leaves a torn one: close it off, so that it becomes a
        # malformed event of its own and does not spoil this one.
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        rest = memoryview((b"\n" if torn else b"") + value + b"\n")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _starts_line(file: IO[bytes], offset: int) -> bool:
    if offset == 0:
        return True
    file.seek(offset - 1)
    return file.read(1) == b"\n"


def _replace(path: Path, content: bytes) -> None:
    """Write `path` so that a crash at any moment leaves the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _file_name(name: str) -> str:
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise BrokerError(
            f"{name!r} can't name a topic or group of a spool: it has to be usable as a file name"
        )
    return name


@contextmanager
def _as_broker_error(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BrokerError(f"{what} failed: {error.strerror or error}") from error
