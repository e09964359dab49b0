"""How long until a change of the catalog has its effect, while the job judges uploads.

    python -m bench.freshness --uploads runs/sets/tune --changes 40

Publishes uploads to a spool in a temporary folder, starts `soundalike run` on it, and adds and removes tracks
while it judges them. A change counts as effective once the job's own metrics show that a generation with it
is served; the clock starts when `Catalog.add` or `Catalog.remove` returned, which is the acknowledgement.
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
import time
import urllib.error
import urllib.request
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from bench.clonebench.recordings import find
from classifiers.fingerprint import ReferencePrint, load_fingerprinter
from index.catalog import Catalog
from index.tracks import Track
from pipeline.decode import decode

POLL_S = 0.05
START_S = 900.0
ONE_CHANGE_S = 120.0
GENERATION = "soundalike_index_generation"
UPLOADS = "soundalike_uploads_total"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--uploads", type=Path, required=True)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--count", type=int, default=200, help="uploads published; the job must not run dry")
    options = parser.parse_args(arguments)
    files = find(options.uploads)
    fingerprinter = load_fingerprinter()
    heard = fingerprinter.reference(decode(files[0]).audio)
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder, "data"), create=True) as catalog:
        catalog.add(_track("first", 0), heard, model_sha256=fingerprinter.sha256)
        spool = Path(folder, "spool")
        uploads = [str(file) for _, file in zip(range(options.count), cycle(files), strict=False)]
        _soundalike("publish", *uploads, "--spool", str(spool)).wait()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        prefix = options.uploads.absolute().as_uri() + "/"
        job = _soundalike(
            "run", "--spool", str(spool), "--data", str(Path(folder, "data")), "--allow-uri", prefix,
            "--metrics-port", str(port),
        )  # fmt: skip
        try:
            answer = _measure(catalog, heard, model=fingerprinter.sha256, port=port, changes=options.changes)
        finally:
            job.send_signal(signal.SIGTERM)
            job.wait(timeout=300)
    print(json.dumps(answer | {"uploads_published": options.count}, indent=1))
    if answer["uploads_read"] >= options.count:
        print("the job ran dry: publish more with --count", file=sys.stderr)
        return 1
    return 0


def _measure(
    catalog: Catalog, heard: ReferencePrint, *, model: str, port: int, changes: int
) -> dict[str, Any]:
    added, removed = [], []
    _wait(port, GENERATION, catalog.generation(), START_S)
    _wait(port, UPLOADS, 1, START_S)
    for number in range(changes):
        generation = catalog.add(_track(f"t{number}", number + 1), heard, model_sha256=model).generation
        added.append(_wait(port, GENERATION, generation, ONE_CHANGE_S))
        generation = catalog.remove(f"t{number}")
        removed.append(_wait(port, GENERATION, generation, ONE_CHANGE_S))
    return {
        "changes": changes,
        "add_to_searchable_s": _percentiles(added),
        "remove_to_unsearchable_s": _percentiles(removed),
        "audio_seconds_judged": _metric(port, "soundalike_audio_seconds_total"),
        "uploads_read": _metric(port, UPLOADS),
        "load_average": os.getloadavg()[0],
    }


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
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answered:
            text = answered.read().decode()
    except urllib.error.URLError:
        return 0.0
    found = re.search(rf"^{name} ([0-9.e+]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _track(name: str, number: int) -> Track:
    return Track(track_id=name, title=name, audio_sha256=f"{number:064x}", duration_s=1.0)


if __name__ == "__main__":
    sys.exit(main())
