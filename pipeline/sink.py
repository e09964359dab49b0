"""The sink: sends each output, and ends a bundle only when all of them are acknowledged.

This is one half of "no upload may vanish"; the other is the source, which commits a bundle's offsets only
after the bundle has ended well. A bundle that fails between the two is read again, and its outputs are
written twice with the same event ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apache_beam as beam

from pipeline.log import Headers, Log, LogWriter


@dataclass(frozen=True)
class Outgoing:
    """One event on its way to a topic."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers = ()


class WriteLog(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """PCollection[Outgoing] -> PDone-like: writes to whatever topics the elements name.

    A graph may hold several, one per output; a Flatten in front of a single one would break the stage on the
    local runner, and with it the order of acknowledging and committing.
    """

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def expand(self, outputs: Any) -> Any:
        return outputs | "Write" >> beam.ParDo(_Write(self._log))


class _Write(beam.DoFn):  # type: ignore[misc]  # Beam is untyped
    """Outgoing -> nothing."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def setup(self) -> None:
        self._writer: LogWriter = self._log.open_writer()

    def process(self, outgoing: Outgoing) -> None:
        self._writer.send(outgoing.topic, outgoing.key, outgoing.value, outgoing.headers)

    def finish_bundle(self) -> None:
        self._writer.flush()

    def teardown(self) -> None:
        writer = getattr(self, "_writer", None)
        if writer is not None:  # None when setup failed
            writer.close()
