"""The desk's seams to the rest of the world, each narrow enough for a twin of a few lines in a test.

`review` knows the wire documents and nothing else of the pipeline: `soundalike/commands/review.py` wires
these to the log, the fetcher, the decoder and the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class EventSource(Protocol):
    """Raw events of one topic, at least once."""

    def poll(self, *, max_wait_s: float) -> list[bytes]:
        """The next events; empty if none came in time. Raises SoundalikeError if the store fails."""
        ...

    def acknowledge(self) -> None:
        """All that was polled is stored: never deliver it again (a crash before this call does)."""
        ...

    def close(self) -> None: ...


class DecisionSink(Protocol):
    """Where decisions go."""

    def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        """Send (key, value) pairs in order; returns only when all are stored. Raises SoundalikeError."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sound:
    """A decoded recording, as far as pictures and level matching need it.

    mono: float32 [n], the mean of the channels. codec, container: as the decoder names them.
    """

    mono: NDArray[np.float32]
    sample_rate_hz: int
    loudness_lufs: float | None
    codec: str
    container: str


class AudioReader(Protocol):
    """Fetching, decoding and re-encoding."""

    def copy(self, uri: str, into: Path) -> None:
        """Write the original bytes of `uri` to the file `into`. Raises AudioError, FetchFailed."""
        ...

    def decode(self, path: Path) -> Sound:
        """Raises AudioError, DecoderUnavailable."""
        ...

    def transcode(self, path: Path, into: Path) -> None:
        """Write `into` as FLAC, 16 bit, at most two channels. Raises AudioError, DecoderUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class SignPicture:
    """One sign of machine-made music, as it looks in one recording. name: as in evidence. png: the file."""

    name: str
    caption: str
    png: bytes


class SignPainter(Protocol):
    """Draws what the detector of machine-made music looked at."""

    def paint(self, path: Path, names: Sequence[str]) -> list[SignPicture]:
        """A picture for each sign that it knows among `names`. Raises AudioError, DecoderUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """A track of the licensed catalog. uri: None when nobody knows where its audio lies."""

    track_id: str
    title: str
    artists: tuple[str, ...] = ()
    uri: str | None = None
    rightsholders: tuple[str, ...] = ()
    withdrawn: bool = False


class References(Protocol):
    """The licensed catalog, seen from the desk."""

    def find(self, track_id: str) -> Reference | None:
        """None: the catalog does not know it (any more)."""
        ...


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A reference that flooded and accuses nobody until a person has looked. since: when it was set aside.

    accused: uploads that were flagged for it just before; set_aside: uploads whose match was, since.
    """

    quarantine_id: str
    track_id: str
    reason: str
    since: datetime
    accused: tuple[str, ...] = ()
    set_aside: tuple[str, ...] = ()


class Quarantines(Protocol):
    """The catalog's quarantines. All raise DecisionRefused or DeskBusy."""

    def waiting(self) -> list[Quarantine]: ...

    def keep(
        self, quarantine_id: str, *, reason: str, by: str, start_s: float | None, end_s: float | None
    ) -> None:
        """The reference, or the span of it, stays out."""
        ...

    def release(self, quarantine_id: str, *, reason: str, by: str) -> tuple[str, ...]:
        """It accuses again; returns the uploads that went by."""
        ...
