"""A whole job with next to no work in it: `uploads` in, `verdicts` and `uploads.dlq` out, one each.

Run as a program by the tests that kill, drain and starve a job: `echo_job.py --brokers HOST:PORT --prefix P.
…`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipeline import topics
from pipeline.kafka_log import KafkaLog
from pipeline.log import Log, Record
from pipeline.runner import run_streaming
from pipeline.sink import Outgoing, WriteLog
from pipeline.source import ReadSettings, SlotPlan
from pipeline.spool_log import SpoolLog
from soundalike.errors import SoundalikeError


def echo(record: Record, *, prefix: str, work_s: float) -> Outgoing:
    """A verdict with an id that depends on the upload alone, or a dead letter for what is not JSON."""
    logging.getLogger("echo").info("working on %s", record.place)
    time.sleep(work_s)
    try:
        upload_id = json.loads(record.value)["upload_id"]
    except ValueError:
        return Outgoing(prefix + topics.DEAD_LETTERS, record.key or b"", record.value)
    verdict = {"id": f"verdict-{upload_id}", "upload_id": upload_id}
    return Outgoing(prefix + topics.VERDICTS, upload_id.encode(), json.dumps(verdict).encode())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brokers")
    parser.add_argument("--spool", type=Path)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--work-s", type=float, default=0.0)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--stop-when-idle-s", type=float)
    parser.add_argument("beam_args", nargs="*")
    arguments = parser.parse_args()
    # force: importing Beam logs a warning, which makes a root handler of its own
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s", force=True
    )
    logging.getLogger("kafka").setLevel(logging.WARNING)
    log: Log = KafkaLog(arguments.brokers) if arguments.brokers else SpoolLog(arguments.spool)

    def build(records: Any) -> Any:
        verdicts = records | beam.Map(echo, prefix=arguments.prefix, work_s=arguments.work_s)
        return verdicts | WriteLog(log)

    try:
        topics.ensure(log, prefix=arguments.prefix, partitions=3)
        return run_streaming(
            build,
            ReadSettings(
                log,
                arguments.prefix + topics.UPLOADS,
                "echo",
                slots=SlotPlan(arguments.slots, tuple(range(arguments.slots))),
                stop_when_idle_s=arguments.stop_when_idle_s,
            ),
            beam_args=arguments.beam_args,
        )
    except SoundalikeError as error:
        sys.exit(f"{type(error).__name__}: {error}")  # one line on stderr, status 1


if __name__ == "__main__":
    sys.exit(main())
