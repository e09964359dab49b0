"""The review desk's seams, filled with the log, the fetcher, the decoder and the catalog."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from review.ports import Quarantine, Reference, SignPicture, Sound
from soundalike.errors import (
    CatalogBusy,
    CatalogError,
    CatalogUnavailable,
    DecisionRefused,
    DeskBusy,
    SettingsError,
)

if TYPE_CHECKING:
    from index.catalog import Catalog
    from pipeline.decode import DecodeLimits
    from pipeline.fetch import FetchPolicy
    from pipeline.log import Log, LogReader, LogWriter

MAX_POLLED = 200

AUDIO_SUFFIXES = frozenset({
    ".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma",
})  # fmt: skip


class LogEventSource:
    """`review.ports.EventSource` over one topic."""

    def __init__(self, log: Log, topic: str, group: str) -> None:
        self._reader: LogReader = log.open_reader(topic, group)
        self._positions: dict[int, int] = {}

    def poll(self, *, max_wait_s: float) -> list[bytes]:
        for partition in self._reader.partitions():
            if partition not in self._positions:
                self._positions[partition] = self._reader.start_offset(partition)
        records = self._reader.read(self._positions, max_records=MAX_POLLED, max_wait_s=max_wait_s)
        for record in records:
            self._positions[record.partition] = record.next_offset
        return [record.value for record in records]

    def acknowledge(self) -> None:
        self._reader.commit(self._positions)

    def close(self) -> None:
        self._reader.close()


class LogDecisionSink:
    """`review.ports.DecisionSink` over one topic."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._writer: LogWriter | None = None

    def publish(self, events: Sequence[tuple[str, bytes]]) -> None:
        writer = self._writer or self._log.open_writer()
        self._writer = None  # after a failure a new one is opened: a broken writer may not recover
        for key, value in events:
            writer.send(self._topic, key.encode(), value)
        writer.flush()
        self._writer = writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


@dataclass(frozen=True)
class PipelineAudio:
    """`review.ports.AudioReader`: the same fences around strangers' files as in the pipeline."""

    policy: FetchPolicy
    limits: DecodeLimits

    def copy(self, uri: str, into: Path) -> None:
        from pipeline.fetch import fetch  # noqa: PLC0415 -- `--help` stays quick

        with fetch(uri, policy=self.policy) as fetched:
            shutil.copyfile(fetched.path, into)

    def decode(self, path: Path) -> Sound:
        from pipeline.decode import decode  # noqa: PLC0415
        from pipeline.loudness import integrated_lufs  # noqa: PLC0415

        decoded = decode(path, limits=self.limits)
        audio = decoded.audio
        return Sound(
            mono=audio.samples.mean(axis=0, dtype=np.float32),
            sample_rate_hz=audio.sample_rate_hz,
            loudness_lufs=integrated_lufs(audio, layout=decoded.layout),
            codec=decoded.codec,
            container=decoded.container,
        )

    def transcode(self, path: Path, into: Path) -> None:
        import soundfile  # noqa: PLC0415

        from pipeline.decode import decode  # noqa: PLC0415

        audio = decode(path, limits=self.limits).audio
        samples = audio.samples if audio.channels <= 2 else audio.samples.mean(axis=0, keepdims=True)
        soundfile.write(
            into, np.clip(samples.T, -1.0, 1.0), audio.sample_rate_hz, format="FLAC", subtype="PCM_16"
        )


@dataclass(frozen=True)
class DetectorPainter:
    """`review.ports.SignPainter`: the signs as the second ear measures them."""

    limits: DecodeLimits

    def paint(self, path: Path, names: Sequence[str]) -> list[SignPicture]:
        from classifiers.ai.sign_drawing import draw_signs  # noqa: PLC0415
        from pipeline.decode import decode  # noqa: PLC0415

        drawn = draw_signs(decode(path, limits=self.limits).audio, names)
        return [SignPicture(name, picture.caption, picture.png) for name, picture in drawn.items()]


@dataclass
class CatalogReferences:
    """`review.ports.References`: titles and rights from the catalog, audio from folders by track id.

    The catalog keeps no audio. A folder's files are named by track id, as `soundalike catalog add` names
    tracks by default.
    """

    catalog: Catalog | None
    folders: tuple[Path, ...]
    _files: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in self.folders:
            if not folder.is_dir():
                raise SettingsError(f"--references {folder}: no such folder")
            self._files |= {path.stem: path for path in _audio_files(folder)}

    def find(self, track_id: str) -> Reference | None:
        file = self._files.get(track_id)
        uri = None if file is None else file.resolve().as_uri()
        if self.catalog is None:
            return None if uri is None else Reference(track_id, track_id, uri=uri)
        track = self.catalog.find(track_id)
        if track is None:
            return None if uri is None else Reference(track_id, track_id, uri=uri, withdrawn=True)
        holders = tuple(right.rightsholder for right in self.catalog.rights_of(track_id))
        return Reference(track_id, track.title, artists=track.artists, uri=uri, rightsholders=holders)


@dataclass(frozen=True)
class CatalogQuarantines:
    """`review.ports.Quarantines`: the catalog's own, with its errors in the desk's words."""

    catalog: Catalog

    def waiting(self) -> list[Quarantine]:
        from index.suppression import Kind  # noqa: PLC0415

        store = self.catalog.suppressions
        with _in_the_desks_words():
            return [
                Quarantine(
                    one.suppression_id,
                    one.track_id,
                    one.reason,
                    one.recorded_at,
                    flood.accused,
                    flood.set_aside,
                )
                for one in store.list(kind=Kind.QUARANTINED)
                for flood in [store.flood(one.suppression_id)]
            ]

    def keep(
        self, quarantine_id: str, *, reason: str, by: str, start_s: float | None, end_s: float | None
    ) -> None:
        with _in_the_desks_words():
            self.catalog.suppressions.confirm(
                quarantine_id, reason=reason, by=by, start_s=start_s, end_s=end_s
            )

    def release(self, quarantine_id: str, *, reason: str, by: str) -> tuple[str, ...]:
        with _in_the_desks_words():
            return self.catalog.suppressions.release(quarantine_id, reason=reason, by=by)[1]


@contextmanager
def _in_the_desks_words() -> Iterator[None]:
    try:
        yield
    except (CatalogBusy, CatalogUnavailable) as error:
        raise DeskBusy(str(error)) from error
    except CatalogError as error:
        raise DecisionRefused(str(error)) from error


def _audio_files(folder: Path) -> Iterable[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )
