"""The source: one unbounded splittable DoFn over any log.

The elements are *slots*: slot `i` of `N` reads the partitions `p` with `p mod N == i`, so that partitions
which are added while the job runs have a reader at once. (One element per partition, found by a watching
DoFn, starves on the local runner: the readers never run.) A slot's restriction is where it stands,
`{partition: next offset}`, in JSON.

Each call of `process` reads one bounded batch, hands it down record by record, and defers the rest. Its
offsets are committed by the bundle's finalizer, which a runner calls once the outputs of the bundle are
safe: on the local runner that is after `finish_bundle` of everything fused with the source, where the sinks
wait for their acknowledgements; on Flink it is after the checkpoint. Hence: never a shuffle between source
and sink on the local runner (`pipeline.runner` refuses to run such a graph).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from pipeline.log import Log, LogReader, Record
from soundalike.errors import BrokerError

_log = logging.getLogger(__name__)

LagHook = Callable[[str, int, int], None]
"""Called with topic, partition and lag in records. Has to be importable by name: it travels with the
graph."""

LAG_EVERY_S = 5.0
"""How often the lag is asked for. It is one request to the broker, and the dashboards look every 15 s."""

MAX_FAILED_COMMITS = 5
"""Commits that may fail in a row. The next bundle tries again, so a change of leader is no reason to stop;
but a group that may not commit at all would begin anew at every restart, and has to be seen."""

draining = threading.Event()
"""Set it to end every source of this process after the record in hand; what was not read stays in the log.

Only a process that runs the graph itself can use it (the local runner); remote runners have their own way to
drain.
"""


@dataclass(frozen=True)
class SlotPlan:
    """Which slots this job reads: `indices` of `total`. Replicas of a job each take other indices."""

    total: int = 1
    indices: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.total < 1 or not self.indices or not all(0 <= i < self.total for i in self.indices):
            raise ValueError(f"slots {list(self.indices)} are not within 0 to {self.total - 1}")


@dataclass(frozen=True)
class ReadSettings:
    """What to read, and in which portions.

    `max_records` bounds what one bundle holds, and so what is read twice after a crash; `max_wait_s` bounds
    how long an idle bundle waits, and so how quickly a drain is noticed. With `stop_when_idle_s` a slot ends
    once nothing came for that long and the log confirms that nothing is left; without it, it ends only by
    `draining`.
    """

    log: Log
    topic: str
    group: str
    slots: SlotPlan = SlotPlan()
    max_records: int = 16
    max_wait_s: float = 0.5
    stop_when_idle_s: float | None = None
    on_lag: LagHook | None = None


class ReadLog(beam.PTransform):  # type: ignore[misc]  # Beam is untyped
    """PBegin -> PCollection[Record]: what the group has not read of the topic yet, and all that follows."""

    def __init__(self, settings: ReadSettings) -> None:
        super().__init__()
        self._settings = settings

    def expand(self, pbegin: Any) -> Any:
        return (
            pbegin
            | "Slots" >> beam.Create(self._settings.slots.indices)
            | "Read" >> beam.ParDo(_ReadSlot(self._settings)).with_output_types(Record)
        )


@dataclass(frozen=True)
class SlotRestriction:
    """Where a slot stands. Partitions that it has not read from yet are absent.

    A class of its own, and not the bare mapping, because Beam takes a falsy residual for "nothing left to
    do".
    """

    next_offsets: Mapping[int, int] = field(default_factory=dict)
    ended: bool = False


END = None
"""The position that ends a slot for good."""


class SlotTracker(RestrictionTracker):  # type: ignore[misc]  # Beam is untyped
    """Claims `Record`s in the order in which each partition holds them, and `END`."""

    def __init__(self, restriction: SlotRestriction) -> None:
        self._next_offsets = dict(restriction.next_offsets)
        self._ended = restriction.ended

    def current_restriction(self) -> SlotRestriction:
        return SlotRestriction(dict(self._next_offsets), self._ended)

    def try_claim(self, position: Record | None) -> bool:
        if self._ended:
            return False
        if position is END:
            self._ended = True
            return True
        stands_at = self._next_offsets.get(position.partition, position.offset)
        if position.offset < stands_at:
            raise ValueError(f"{position.place} was claimed before: the slot stands at {stands_at}")
        self._next_offsets[position.partition] = position.next_offset
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[SlotRestriction, SlotRestriction] | None:
        """Only a checkpoint (fraction 0): what remains of an endless log has no middle to split at."""
        if self._ended or fraction_of_remainder > 0:
            return None
        residual = self.current_restriction()
        self._ended = True
        return self.current_restriction(), residual

    def check_done(self) -> bool:
        if not self._ended:
            raise ValueError(f"the slot still stands at {self._next_offsets}: neither deferred nor ended")
        return True

    def current_progress(self) -> RestrictionProgress:
        return RestrictionProgress(fraction=1.0 if self._ended else 0.0)

    def is_bounded(self) -> bool:
        return False


class SlotRestrictionCoder(beam.coders.Coder):  # type: ignore[misc]  # Beam is untyped
    """JSON, so that a checkpoint can be read by people and by the next version."""

    def encode(self, value: SlotRestriction) -> bytes:
        return json.dumps(
            {"next_offsets": {str(p): o for p, o in sorted(value.next_offsets.items())}, "ended": value.ended}
        ).encode()

    def decode(self, encoded: bytes) -> SlotRestriction:
        document = json.loads(encoded)
        return SlotRestriction({int(p): o for p, o in document["next_offsets"].items()}, document["ended"])

    def is_deterministic(self) -> bool:
        return True


class SlotProvider(RestrictionProvider):  # type: ignore[misc]  # Beam is untyped
    """Every slot begins with no position of its own: the group's progress in the log is the truth."""

    def initial_restriction(self, element: int) -> SlotRestriction:
        return SlotRestriction()

    def create_tracker(self, restriction: SlotRestriction) -> SlotTracker:
        return SlotTracker(restriction)

    def restriction_size(self, element: int, restriction: SlotRestriction) -> float:
        return 0.0 if restriction.ended else 1.0

    def restriction_coder(self) -> SlotRestrictionCoder:
        return SlotRestrictionCoder()


_SLOT = beam.DoFn.RestrictionParam(SlotProvider())
_WALLTIME = beam.DoFn.WatermarkEstimatorParam(WalltimeWatermarkEstimator.default_provider())


class _ReadSlot(beam.DoFn):  # type: ignore[misc]  # Beam is untyped
    """int (slot index) -> Record."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings

    def setup(self) -> None:
        self._reader: LogReader = self._settings.log.open_reader(self._settings.topic, self._settings.group)
        # The finalizer of one bundle may run in another thread than the next bundle; a reader serves one at
        # a time.
        self._reader_lock = threading.Lock()
        self._starts: dict[int, int] = {}  # partition -> where the group stood when it was first seen
        self._last_record_s: dict[int, float] = {}  # slot -> monotonic time of its last record
        self._lag_due_s = 0.0
        self._uncommitted: dict[int, int] = {}  # written, but the commit failed
        self._failed_commits = 0
        self._commit_error: BrokerError | None = None

    def teardown(self) -> None:
        reader = getattr(self, "_reader", None)
        if reader is not None:  # None when setup failed
            reader.close()

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam is untyped
    def process(
        self,
        slot: int,
        # The finalizer stands before the tracker: the other way round Beam passes the tracker twice.
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = _SLOT,
        watermark: Any = _WALLTIME,
    ) -> Iterator[TimestampedValue]:
        if self._failed_commits > MAX_FAILED_COMMITS and self._commit_error is not None:
            raise self._commit_error
        if draining.is_set():
            tracker.try_claim(END)
            return
        with self._reader_lock:
            positions = self._positions(slot, tracker.current_restriction().next_offsets)
            records = self._reader.read(
                positions, max_records=self._settings.max_records, max_wait_s=self._settings.max_wait_s
            )
            ended = not records and self._is_exhausted(slot, positions)
            self._report_lag(positions)
        finished: dict[int, int] = {}
        for record in records:
            if draining.is_set() or not tracker.try_claim(record):
                break
            yield TimestampedValue(record, Timestamp.now())
            finished[record.partition] = record.next_offset
        if finished:
            self._last_record_s[slot] = time.monotonic()
        if finished or self._uncommitted:
            finalizer.register(lambda: self._commit(finished))
        if ended or draining.is_set():
            tracker.try_claim(END)
        else:
            tracker.defer_remainder()

    def _positions(self, slot: int, next_offsets: Mapping[int, int]) -> dict[int, int]:
        """{partition: next offset} of every partition that belongs to the slot, new ones included."""
        mine = [p for p in self._reader.partitions() if p % self._settings.slots.total == slot]
        positions = {}
        for partition in mine:
            if partition in next_offsets:
                positions[partition] = next_offsets[partition]
                continue
            if partition not in self._starts:
                self._starts[partition] = self._reader.start_offset(partition)
            positions[partition] = self._starts[partition]
        return positions

    def _is_exhausted(self, slot: int, positions: Mapping[int, int]) -> bool:
        if self._settings.stop_when_idle_s is None:
            return False
        idle_s = time.monotonic() - self._last_record_s.setdefault(slot, time.monotonic())
        if idle_s < self._settings.stop_when_idle_s:
            return False
        # Silence alone proves nothing, a broker that is away is silent too: the log itself has to say so.
        return not any(self._reader.lag_records(positions).values())

    def _report_lag(self, positions: Mapping[int, int]) -> None:
        """Ask for the lag now and then, with or without a hook.

        A consumer whose broker is gone returns nothing and raises nothing: this request is what finds out.
        """
        now_s = time.monotonic()
        if now_s < self._lag_due_s:
            return
        self._lag_due_s = now_s + LAG_EVERY_S
        lag_records = self._reader.lag_records(positions)
        if self._settings.on_lag is not None:
            for partition, records in lag_records.items():
                self._settings.on_lag(self._settings.topic, partition, records)

    def _commit(self, finished: Mapping[int, int]) -> None:
        with self._reader_lock:
            for partition, offset in finished.items():
                self._uncommitted[partition] = max(offset, self._uncommitted.get(partition, 0))
            try:
                self._reader.commit(self._uncommitted)
            except BrokerError as error:
                # Beam would swallow it. The outputs are written, so the bundle has not failed: try with the
                # next.
                self._failed_commits += 1
                self._commit_error = error
                _log.warning("commit %d in a row failed: %s", self._failed_commits, error)
            else:
                self._uncommitted = {}
                self._failed_commits = 0
