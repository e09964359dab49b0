"""How long until a change of the catalog has its effect, while the job judges uploads.

    python -m bench.freshness --uploads soundalike/demo_audio --changes 40

Starts `soundalike run` on a spool in a temporary folder, publishes an upload of 15 seconds to it every
`--every` seconds, and adds and removes tracks meanwhile. A change counts as effective once the job's own
metrics show that a generation with it is served; the clock starts when `Catalog.add` or `Catalog.remove`
returned, which is the acknowledgement. It measures only from the first verdict on, counts the verdicts that
were given while it measured, and fails if there was none.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from bench.arguments import above_zero, at_least
from bench.clonebench.recordings import find
from classifiers.fingerprint import ReferencePrint, load_fingerprinter
from index.catalog import Catalog
from index.tracks import Track
from pipeline import topics
from pipeline.decode import decode
from pipeline.events import event_key, upload_event
from pipeline.spool_log import SpoolLog
from soundalike.publishing import upload_of

POLL_S = 0.05
START_S = 600.0
ONE_CHANGE_S = 120.0
UPLOAD_S = 15.0
CUTS = 8
GENERATION = "soundalike_index_generation"
VERDICTS = "soundalike_verdicts_total"
AUDIO = "soundalike_audio_seconds_total"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=Path, required=True, help="recordings to cut uploads from")
    parser.add_argument("--changes", type=at_least(1), default=40)
    parser.add_argument("--every", type=above_zero, default=2.0, help="seconds between two uploads")
    parser.add_argument("--longest", type=above_zero, default=200.0, help="seconds of changes at most")
    options = parser.parse_args(arguments)
    fingerprinter = load_fingerprinter()
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder, "data"), create=True) as catalog:
        cuts = _cuts(options.uploads, Path(folder, "cuts"))
        heard = fingerprinter.reference(decode(cuts[0]).audio)
        catalog.add(_track("first", 0), heard, model_sha256=fingerprinter.sha256)
        log = SpoolLog(Path(folder, "spool"))
        topics.ensure(log)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        job = _soundalike(
            "run", "--spool", str(Path(folder, "spool")), "--data", str(Path(folder, "data")),
            "--allow-uri", Path(folder, "cuts").as_uri() + "/", "--metrics-port", str(port),
        )  # fmt: skip
        try:
            with _published(log, cuts, every_s=options.every) as published:
                _wait(port, GENERATION, catalog.generation(), START_S)
                _wait(port, VERDICTS, 1, START_S)
                answer = _measure(
                    catalog, heard, model=fingerprinter.sha256, port=port, changes=options.changes,
                    longest_s=options.longest,
                )  # fmt: skip
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(timeout=300)
        answer |= {"uploads_published": len(published), "generations_judged": _judged(log)}
    print(json.dumps(answer, indent=1))
    if answer["verdicts_meanwhile"] < 1:
        print("no upload was judged while it was measured: this shows nothing; give it more --longest",
              file=sys.stderr)  # fmt: skip
        return 1
    return 0


def _measure(
    catalog: Catalog, heard: ReferencePrint, *, model: str, port: int, changes: int, longest_s: float
) -> dict[str, Any]:
    added: list[float] = []
    removed: list[float] = []
    began, verdicts, audio_s = time.monotonic(), _metric(port, VERDICTS), _metric(port, AUDIO)
    while len(removed) < changes and time.monotonic() - began < longest_s:
        number = len(removed)
        generation = catalog.add(_track(f"t{number}", number + 1), heard, model_sha256=model).generation
        added.append(_wait(port, GENERATION, generation, ONE_CHANGE_S))
        generation = catalog.remove(f"t{number}")
        removed.append(_wait(port, GENERATION, generation, ONE_CHANGE_S))
    return {
        "changes": len(removed),
        "seconds": round(time.monotonic() - began, 1),
        "add_to_searchable_s": _percentiles(added),
        "remove_to_unsearchable_s": _percentiles(removed),
        "verdicts_meanwhile": int(_metric(port, VERDICTS) - verdicts),
        "audio_seconds_meanwhile": round(_metric(port, AUDIO) - audio_s),
        "load_average": os.getloadavg()[0],
    }


@contextmanager
def _published(log: SpoolLog, cuts: list[Path], *, every_s: float) -> Iterator[list[str]]:
    """Publishes an upload every so often until the end of the `with`; yields the growing list of ids."""
    stop = threading.Event()
    ids: list[str] = []
    writer = log.open_writer()

    def publish() -> None:
        for number in count():
            upload = upload_of(str(cuts[number % len(cuts)]), upload_id=f"up-{number}", uploader="bench")
            event = upload_event(upload)
            writer.send(topics.UPLOADS, event_key(event), event.to_bytes())
            writer.flush()
            ids.append(upload.upload_id)
            if stop.wait(every_s):
                return

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield ids
    finally:
        stop.set()
        thread.join()
        writer.close()


def _cuts(folder: Path, into: Path) -> list[Path]:
    """15 seconds from the middle of each of some recordings."""
    into.mkdir()
    cuts = []
    for number, file in enumerate(find(folder)[:CUTS]):
        audio = decode(file).audio
        first = max(audio.samples.shape[1] // 2 - round(UPLOAD_S / 2 * audio.sample_rate_hz), 0)
        cut = audio.samples[:, first : first + round(UPLOAD_S * audio.sample_rate_hz)]
        soundfile.write(into / f"{number}.flac", cut.T, audio.sample_rate_hz)
        cuts.append(into / f"{number}.flac")
    return cuts


def _judged(log: SpoolLog) -> int:
    """By how many different generations verdicts were given."""
    lines = log.path(topics.VERDICTS).read_text(encoding="utf-8").splitlines()
    return len({json.loads(line)["data"]["index"]["generation"] for line in lines})


def _soundalike(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "soundalike", *arguments], stdout=subprocess.DEVNULL)


def _percentiles(seconds: list[float]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(seconds, p)), 3) for p in (50, 99, 100)}


def _wait(port: int, name: str, at_least: float, longest_s: float) -> float:
    """Seconds until the metric is that high."""
    began = time.monotonic()
    while time.monotonic() - began < longest_s:
        if _metric(port, name) >= at_least:
            return time.monotonic() - began
        time.sleep(POLL_S)
    raise RuntimeError(f"{name} did not reach {at_least} within {longest_s} s")


def _metric(port: int, name: str) -> float:
    """Summed over its labels; 0 while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
            text = answered.read().decode()
    except urllib.error.URLError:
        return 0.0
    found = re.findall(rf"^{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE)
    return sum(map(float, found))


def _track(name: str, number: int) -> Track:
    return Track(track_id=name, title=name, audio_sha256=f"{number:064x}", duration_s=1.0)


if __name__ == "__main__":
    sys.exit(main())
