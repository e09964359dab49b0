"""Read a topic from where it begins, or from where a group left off, for people to look at."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.log import Log, Record

ASIDE = "soundalike-look"
"""Group of a reader that only looks: it never commits, so it always begins with the oldest record."""

_BATCH = 200
_WAIT_S = 0.5


def follow(log: Log, topic: str, *, once: bool, group: str | None = None) -> Iterator[Record]:
    """Records of `topic`; with `once`, those that are there, else without end.

    With a `group` its progress is kept: a batch is committed when all of it was taken.
    Raises BrokerError.
    """
    reader = log.open_reader(topic, group or ASIDE)
    positions: dict[int, int] = {}
    try:
        while True:
            for partition in reader.partitions():
                if partition not in positions:
                    positions[partition] = reader.start_offset(partition)
            records = reader.read(positions, max_records=_BATCH, max_wait_s=_WAIT_S)
            for record in records:
                yield record
                positions[record.partition] = record.next_offset
            if records and group is not None:
                reader.commit(positions)
            if once and not records and not any(reader.lag_records(positions).values()):
                return
    finally:
        reader.close()
