"""The topics of the pipeline: their names, and how they are created where they are absent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pipeline.log import Log, TopicPlan

UPLOADS = "uploads"
CATALOG = "catalog"
VERDICTS = "verdicts"
FLAGS = "flags"
ATTRIBUTIONS = "attributions"
DEAD_LETTERS = "uploads.dlq"
DECISIONS = "decisions"
CATALOG_DEAD_LETTERS = "catalog.dlq"

OUTPUTS = (VERDICTS, FLAGS, ATTRIBUTIONS, DEAD_LETTERS)
ALL = (UPLOADS, CATALOG, *OUTPUTS, DECISIONS, CATALOG_DEAD_LETTERS)

DEFAULT_PARTITIONS = 6
"""Enough for six readers in parallel. Partitions can be added to a running topic, never taken away."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record that our writers send and our output topics take.

Kafka's default limit for an upload event is 1 MiB. Its dead letter holds the same bytes in base64 (4/3)
together with key, headers and reason: under the default limit the largest malformed events could never be
put aside, and the job would fail on them for ever. 4 MiB leaves room for an operator who doubles the limit
of `uploads`.
"""


def plan(name: str, *, partitions: int = DEFAULT_PARTITIONS, replication: int = 1) -> TopicPlan:
    """The plan of one topic. `replication` is 1 for a single broker; use 3 in production."""
    settings = (
        (("max.message.bytes", str(MAX_MESSAGE_BYTES)),) if name in (*OUTPUTS, CATALOG_DEAD_LETTERS) else ()
    )
    return TopicPlan(name, partitions=partitions, replication=replication, settings=settings)


def ensure(
    log: Log,
    names: Iterable[str] = ALL,
    *,
    prefix: str = "",
    partitions: int = DEFAULT_PARTITIONS,
    replication: int = 1,
) -> None:
    """Create those of `names`, each after `prefix`, that are absent; topics that exist are left as they are.

    Raises BrokerError if the log does not answer or refuses.
    """
    plans = [plan(name, partitions=partitions, replication=replication) for name in names]
    log.create_topics([replace(each, name=prefix + each.name) for each in plans])
