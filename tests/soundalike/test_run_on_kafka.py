"""`soundalike run` on a real Kafka: 200 uploads of real audio pass, it is killed thrice, none is lost."""

from __future__ import annotations

import collections
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import wavfile

from pipeline import topics
from pipeline.decode import decode
from pipeline.events import Upload, event_key, parse_event, upload_event
from pipeline.evidence import Evidence
from pipeline.kafka_log import KafkaLog
from pipeline.payloads import DeadLetter

ROOT = Path(__file__).parents[2]
AUDIO = ROOT / "soundalike" / "demo_audio"
UPLOADS = 200
CLIP_S = 6
PATIENCE_S = 400.0
"""For one phase, start of the job included, on a machine that does other things too."""

EXPECTED = {"copy": "flagged", "clear": "clear", "text": "undecodable"}


def kind_of(number: int) -> str:
    """Mostly music; every tenth upload is a text file, every twentieth no event at all."""
    if number % 20 == 19:
        return "poison"
    if number % 10 == 4:
        return "text"
    return "copy" if number % 2 else "clear"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copy.wav (of a catalog track), clear.wav (of no track) and text.wav (no audio)."""
    folder = tmp_path_factory.mktemp("clips")
    for kind, name in (("copy", "secret-garden"), ("clear", "boom-boom-boom")):
        audio = decode(AUDIO / f"{name}.opus").audio
        start = 10 * audio.sample_rate_hz
        clip: NDArray[np.float32] = audio.samples[:1, start : start + CLIP_S * audio.sample_rate_hz]
        wavfile.write(folder / f"{kind}.wav", audio.sample_rate_hz, clip.T)
    (folder / "text.wav").write_text("no audio at all\n" * 100)
    return folder


def publish(log: KafkaLog, topic: str, clips: Path) -> None:
    writer = log.open_writer()
    for number in range(UPLOADS):
        upload_id, kind = f"upload-{number:03}", kind_of(number)
        if kind == "poison":
            writer.send(topic, upload_id.encode(), f"no event: {upload_id}".encode())
            continue
        event = upload_event(
            Upload(upload_id=upload_id, uri=(clips / f"{kind}.wav").as_uri(), uploader="ann")
        )
        writer.send(topic, event_key(event), event.to_bytes())
    writer.flush()
    writer.close()


@contextmanager
def job(command: list[str], log_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDALIKE_")}
    with log_file.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Outcomes:
    """All that the job wrote to one prefix: verdicts by upload, dead letters by original, ids by count."""

    def __init__(self, log: KafkaLog, prefix: str) -> None:
        self._readers = {
            name: log.open_reader(prefix + name, "tail") for name in (topics.VERDICTS, topics.DEAD_LETTERS)
        }
        self._positions: dict[str, dict[int, int]] = {name: {} for name in self._readers}
        self.ids: collections.Counter[str] = collections.Counter()
        self.verdicts: dict[str, str] = {}
        self.dead: set[bytes] = set()

    def read(self) -> int:
        """Reads on to the end; how many uploads have an outcome."""
        for name, reader in self._readers.items():
            positions = self._positions[name]
            for partition in reader.partitions():
                positions.setdefault(partition, 0)
            while sum(reader.lag_records(positions).values()):
                for record in reader.read(positions, max_records=500, max_wait_s=5.0):
                    positions[record.partition] = record.next_offset
                    self._take(record.value)
        return len(self.verdicts) + len(self.dead)

    def _take(self, value: bytes) -> None:
        event, document = parse_event(value)
        self.ids[event.id] += 1
        if isinstance(document, Evidence):
            verdict = document.verdict.value
            assert self.verdicts.setdefault(document.upload_id, verdict) == verdict
        elif isinstance(document, DeadLetter):
            self.dead.add(document.original()[1])

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[bytes], *, log_file: Path) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        assert process.poll() is None, log_file.read_text()[-3000:]
        assert time.monotonic() < deadline_s, log_file.read_text()[-3000:]
        time.sleep(0.2)


@pytest.mark.timeout(900)
def test_no_upload_is_lost_when_the_real_job_is_killed_three_times(
    kafka_log: KafkaLog, unique: Callable[[str], str], data: Path, clips: Path, tmp_path: Path
) -> None:
    prefix = unique("spine") + "."
    topics.ensure(kafka_log, prefix=prefix, partitions=3)
    publish(kafka_log, prefix + topics.UPLOADS, clips)
    log_file = tmp_path / "job.log"
    command = [
        *(
            sys.executable,
            "-m",
            "soundalike",
            "run",
            "--brokers",
            kafka_log.brokers,
            "--topic-prefix",
            prefix,
        ),
        *("--group", prefix + "job", "--data", str(data), "--allow-uri", clips.as_uri() + "/"),
    ]
    outcomes = Outcomes(kafka_log, prefix)
    moment = random.Random(7)  # kills at different points of a bundle, the same ones in every run
    for kill in range(1, 4):
        with job(command, log_file) as process:
            wait_for(lambda kill=kill: outcomes.read() >= kill * 40, process, log_file=log_file)  # type: ignore[misc]
            time.sleep(moment.uniform(0.0, 0.3))
            assert outcomes.read() < UPLOADS, "it was too quick to be killed in the middle"
            process.send_signal(signal.SIGKILL)
    port = free_port()
    with job([*command, "--metrics-port", str(port)], log_file) as process:
        wait_for(lambda: outcomes.read() >= UPLOADS, process, log_file=log_file)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0

    outcomes.read()
    kinds = {f"upload-{number:03}": kind_of(number) for number in range(UPLOADS)}
    assert outcomes.verdicts == {u: EXPECTED[kind] for u, kind in kinds.items() if kind != "poison"}
    assert outcomes.dead == {f"no event: {u}".encode() for u, kind in kinds.items() if kind == "poison"}
    assert len(outcomes.ids) == UPLOADS  # one event id an upload, however often it was judged
    duplicates = outcomes.ids.total() - UPLOADS
    logging.getLogger(__name__).info("%d uploads, 3 kills: %d duplicates by event id", UPLOADS, duplicates)
    assert duplicates <= 3 * 16  # a kill repeats at most the bundle in hand
    assert 'soundalike_verdicts_total{rule="unlicensed_use",verdict="flagged"}' in metrics
    assert f'soundalike_kafka_lag_records{{partition="0",topic="{prefix}uploads"}}' in metrics
    assert "soundalike_index_tracks 2.0" in metrics
    judged = [json.loads(line) for line in log_file.read_text().splitlines() if '"event": "judged"' in line]
    assert {line["upload_id"] for line in judged} >= set(outcomes.verdicts)
    outcomes.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
