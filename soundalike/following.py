"""Read a topic from where it begins, or from where a group left off, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.log import Log, LogReader, Record

ASIDE = "soundalike-look"
"""Group of a reader that only looks: it never commits, so it always begins with the oldest record."""

_BATCH = 200
_WAIT_S = 0.5


def follow(log: Log, topic: str, *, once: bool, group: str | None = None) -> Iterator[Record]:
    """Records of `topic`; with `once`, those that are there when it begins, else without end.

    What `once` leaves out is what comes while it reads: a dead letter that is replayed and fails again comes
    back to the topic that is being read, and would be replayed for ever.

    With a `group` its progress is kept: a batch is committed when all of it was taken.
    Raises BrokerError.
    """
    reader = log.open_reader(topic, group or ASIDE)
    positions: dict[int, int] = {}
    try:
        _find_partitions(reader, positions)
        left = reader.lag_records(positions) if once else {}
        while not once or any(left.values()):
            if not once:
                _find_partitions(reader, positions)
            records = reader.read(positions, max_records=_BATCH, max_wait_s=_WAIT_S)
            for record in records:
                if once:
                    if not left[record.partition]:
                        continue
                    left[record.partition] -= 1
                yield record
                positions[record.partition] = record.next_offset
            if records and group is not None:
                reader.commit(positions)
            if once and not records and not any(reader.lag_records(positions).values()):
                return  # the log counted places without a record, such as the mark of a transaction
    finally:
        reader.close()


def _find_partitions(reader: LogReader, positions: dict[int, int]) -> None:
    """Add those that are new, each from where the group stands."""
    for partition in reader.partitions():
        if partition not in positions:
            positions[partition] = reader.start_offset(partition)
