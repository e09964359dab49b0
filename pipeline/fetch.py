"""Fetch one upload's bytes from an allowed place into a bounded temporary file.

    with fetch("https://cdn.example/audio/1.flac", policy=policy) as fetched:
        fetched.path, fetched.sha256, fetched.size_bytes

The URI comes from outside. So nothing is fetched that no prefix of the operator covers (see
`pipeline.uri_rules`), whatever symbolic links, redirects or name servers say; never more than `max_bytes`,
whatever headers say; and never for longer than `timeout_s` in all. Messages show URIs without their query,
which signs the URL.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pipeline.http_get import Resolver, download, resolve, within
from pipeline.uri_rules import HTTP, Location, is_under, parse_location, parse_prefix, redact
from soundalike.errors import (
    AudioNotFound,
    AudioTooLarge,
    FetchFailed,
    SettingsError,
    SoundalikeError,
    UriNotAllowed,
)

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchPolicy:
    """Where uploads may lie and what fetching one may cost.

    prefixes: file:///srv/uploads/, https://cdn.example/audio/, s3://bucket/, …; none: nothing is allowed.
    max_bytes: of one file. timeout_s: wall seconds for one fetch, redirects included.
    private_hosts: http(s) hosts that may resolve to private, loopback or link-local addresses.
    temp_dir: where the temporary files go; None: the system's place.

    Raises SettingsError for a prefix that is none.
    """

    prefixes: tuple[str, ...]
    max_bytes: int = 512 * 2**20
    timeout_s: float = 60.0
    max_redirects: int = 3
    private_hosts: frozenset[str] = frozenset()
    temp_dir: Path | None = None
    _parsed: tuple[Location, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parsed", tuple(parse_prefix(prefix) for prefix in self.prefixes))

    def covering(self, location: Location) -> Location:
        """The prefix that covers a location. Raises UriNotAllowed when none does."""
        for prefix in self._parsed:
            if is_under(location, prefix):
                return prefix
        raise UriNotAllowed(f"{location}: lies under none of the allowed prefixes")

    def allow(self, uri: str) -> Location:
        """A URI, parsed and covered. Raises UriNotAllowed."""
        location = parse_location(uri)
        self.covering(location)
        return location


class FetchedAudio:
    """A temporary file with the bytes of one upload; removed on `close` or at the end of a `with`.

    uri: without its query, fit for logs and evidence. sha256: hex, of exactly the bytes at `path`.
    """

    def __init__(self, *, uri: str, path: Path, sha256: str, size_bytes: int) -> None:
        self.uri = uri
        self.path = path
        self.sha256 = sha256
        self.size_bytes = size_bytes

    def close(self) -> None:
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> FetchedAudio:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def fetch(uri: str, *, policy: FetchPolicy, resolver: Resolver = resolve) -> FetchedAudio:
    """Copy what lies at `uri` into a temporary file, hashing it on the way.

    Raises
    ------
    UriNotAllowed: the scheme, the place, a redirect's target or its address is not covered by the policy.
    AudioNotFound: nothing lies there, or no regular file.
    AudioTooLarge: more than `policy.max_bytes`.
    FetchFailed: the store did not answer, refused, broke off, or took too long; worth another attempt.
    SettingsError: the library for s3 or gs is not installed.
    """
    deadline = time.monotonic() + policy.timeout_s
    location = policy.allow(uri)
    with contextlib.ExitStack() as on_failure:
        spool = _Spool(shown=str(location), policy=policy, deadline=deadline)
        on_failure.callback(spool.discard)
        if location.scheme == "file":
            _copy_file(location, policy.covering(location), spool.write)
        elif location.scheme in HTTP:
            download(
                location,
                write=spool.write,
                allow=policy.allow,
                deadline=deadline,
                max_bytes=policy.max_bytes,
                max_redirects=policy.max_redirects,
                private_hosts=policy.private_hosts,
                resolver=resolver,
            )
        else:
            _copy_object(location, spool, deadline)
        fetched = spool.finish(redact(uri))
        on_failure.pop_all()
    return fetched


class _Spool:
    """The temporary file while it grows: counts, hashes, and minds the deadline."""

    def __init__(self, *, shown: str, policy: FetchPolicy, deadline: float) -> None:
        self.shown = shown
        self._policy = policy
        self._deadline = deadline
        self._hash = hashlib.sha256()
        self._size_bytes = 0
        descriptor, name = tempfile.mkstemp(prefix="soundalike-", dir=policy.temp_dir)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._policy.max_bytes:
            raise AudioTooLarge(f"{self.shown}: more than {self._policy.max_bytes} bytes, the limit")
        if time.monotonic() > self._deadline:
            raise FetchFailed(f"{self.shown}: not fetched within {self._policy.timeout_s:g} s")
        self._hash.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise FetchFailed(f"{self.shown}: no room for it at {self._path.parent} ({error})") from error

    def finish(self, uri: str) -> FetchedAudio:
        self._file.close()
        return FetchedAudio(
            uri=uri, path=self._path, sha256=self._hash.hexdigest(), size_bytes=self._size_bytes
        )

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def _copy_file(location: Location, prefix: Location, write: Callable[[bytes], None]) -> None:
    """Copy a local file whose real place, all symbolic links followed, lies under the prefix."""
    try:
        root = Path(prefix.path).resolve()
        real = Path(location.path).resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise AudioNotFound(f"{location}: no such file") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, until Python 3.12
        raise AudioNotFound(f"{location}: can't be followed to a file ({error})") from error
    if not real.is_relative_to(root):
        raise UriNotAllowed(f"{location}: a symbolic link leads out of the allowed prefix")
    try:
        descriptor = _open_without_links(root, real)
    except OSError as error:
        raise FetchFailed(f"{location}: can't be opened ({error})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise AudioNotFound(f"{location}: not a regular file")
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            while piece := file.read(_READ_BYTES):
                write(piece)
        except OSError as error:
            raise FetchFailed(f"{location}: can't be read ({error})") from error


def _open_without_links(root: Path, real: Path) -> int:
    """Open step by step from the root, following no link: one that was put there after the check fails."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a named pipe must not block us
    steps = real.relative_to(root).parts
    descriptor = os.open(root, flags)
    for step in steps:
        parent = descriptor
        try:
            descriptor = os.open(step, flags | os.O_NOFOLLOW, dir_fd=parent)
        finally:
            os.close(parent)
    return descriptor


def _copy_object(location: Location, spool: _Spool, deadline: float) -> None:
    """Copy an object through fsspec, which knows no total time limit: a thread is left behind when late."""
    abandoned = threading.Event()

    def copy() -> None:
        for piece in _object_pieces(location):
            if abandoned.is_set():
                return
            spool.write(piece)

    try:
        within(deadline, copy)
    except SoundalikeError:
        raise
    except ImportError as error:
        extra = {"s3": "s3", "gs": "gcs"}[location.scheme]
        raise SettingsError(
            f"{location}: reading {location.scheme}:// needs a library: install the extra soundalike[{extra}]"
        ) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise AudioNotFound(f"{location}: no such object") from error
    except Exception as error:  # each store's library has exceptions of its own, none with a common base
        raise FetchFailed(f"{location}: the store failed ({type(error).__name__}: {error})") from error
    finally:
        abandoned.set()


def _object_pieces(location: Location) -> Iterator[bytes]:
    import fsspec  # noqa: PLC0415 - only deployments on an object store pay for it

    store: Any = fsspec.filesystem(location.scheme)
    with store.open(f"{location.host}{location.path}", "rb", block_size=_READ_BYTES) as file:
        if getattr(file, "details", {}).get("type") == "directory":  # s3fs would read it as empty
            raise IsADirectoryError(location.path)
        while piece := file.read(_READ_BYTES):
            yield piece
