"""A batch of many files with broken ones in it, loaded by the command as a user runs it, killed and resumed.

    python -m bench.batch --corpora runs/corpora --work runs/batch --files 1000 --out batch.json

Cuts short real recordings into files of several formats, breaks some of them in different ways, and runs
`soundalike catalog add FOLDER`: it is killed with -9 in the middle, run again to its end, and once more. Each
run's CPU time is its own and its children's (decoding happens in one).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import soundfile

from bench.arguments import at_least
from index.catalog import Catalog
from soundalike.errors import CatalogError

FORMATS = ("wav", "flac", "ogg", "mp3")
LENGTH_S = 5.0
POLL_S = 0.5
SUMMARY = re.compile(r"(\d+) (added|skipped|failed)")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--files", type=at_least(1), default=1000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    shutil.rmtree(options.work, ignore_errors=True)
    folder, data = options.work / "files", options.work / "data"
    broken = make(folder, corpora=options.corpora, files=options.files)
    sound = options.files - len(broken)
    killed = _add(folder, data, kill_at=sound * 2 // 5)
    whole = _all_whole(data)
    resumed, again = _add(folder, data), _add(folder, data)
    found = {
        "files": options.files,
        "broken": broken,
        "killed": killed | {"tracks_after": whole},
        "resumed": resumed,
        "again": again,
    }
    print(json.dumps(found, indent=1))
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1))
    right = (
        resumed["failed"] == again["failed"] == len(broken)
        and resumed["added"] + resumed["skipped"] == sound
        and resumed["skipped"] == whole >= killed["acknowledged"]
        and (again["added"], again["skipped"]) == (0, sound)
        and resumed["exit_code"] == again["exit_code"] == 2
        and all(name in again["stderr_tail"] for name in broken)
    )
    return 0 if right else 1


def make(folder: Path, *, corpora: Path, files: int, seed: int = 0) -> dict[str, str]:
    """Writes the files; the names of those that can't be loaded, and how each was broken."""
    draw = random.Random(seed)  # noqa: S311 -- places to cut at
    with (corpora / "tracks.csv").open(newline="", encoding="utf-8") as opened:
        rows = [row for row in csv.DictReader(opened) if float(row["duration_s"]) > 2 * LENGTH_S]
    folder.mkdir(parents=True)
    written: list[Path] = []
    while len(written) < files:
        number = len(written)
        row = rows[number % len(rows)]
        path = folder / f"track-{number:04d}.{FORMATS[number % len(FORMATS)]}"
        try:
            with soundfile.SoundFile(corpora / row["path"]) as music:
                music.seek(int(draw.uniform(0, music.frames - LENGTH_S * music.samplerate)))
                samples = music.read(int(LENGTH_S * music.samplerate), dtype="float32")
                soundfile.write(path, samples, music.samplerate)
        except (soundfile.LibsndfileError, ValueError):
            rows.remove(row)  # a format that this library does not read or write
            path.unlink(missing_ok=True)
            continue
        written.append(path)
    return _break(written)


def _break(files: list[Path]) -> dict[str, str]:
    """Seven of them, each in its own way; and two that are not broken but odd: a copy, a silent half."""
    wav, flac, ogg, mp3 = ([file for file in files if file.suffix == f".{kind}"] for kind in FORMATS)
    os.truncate(wav[3], wav[3].stat().st_size // 3)
    os.truncate(flac[3], flac[3].stat().st_size // 3)
    os.truncate(ogg[3], 0)
    mp3[3].write_text("shopping list: lemons, strings\n" * 100)
    soundfile.write(wav[5], [], 44_100)
    soundfile.write(flac[5], [[0.0, 0.0]] * 44_100, 44_100)
    ogg[5].unlink()
    ogg[5].symlink_to("gone.ogg")
    shutil.copyfile(wav[7], wav[9])  # the same bytes under a second id: loaded, and said
    return {
        wav[3].name: "cut to a third",
        flac[3].name: "cut to a third",
        ogg[3].name: "no bytes",
        mp3[3].name: "text",
        wav[5].name: "no samples",
        flac[5].name: "a second of silence",
        ogg[5].name: "a link to nowhere",
    }


def _add(folder: Path, data: Path, *, kill_at: int | None = None) -> dict[str, Any]:
    """One run of the command; killed once `kill_at` tracks are in the catalog."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "soundalike", "catalog", "add", str(folder), "--data", str(data)]
    with (data.parent / "stderr.txt").open("w+", encoding="utf-8") as told:
        run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True)
        if kill_at is not None:
            while run.poll() is None and _count(data) < kill_at:
                time.sleep(POLL_S)
            run.send_signal(signal.SIGKILL)
        stdout, _ = run.communicate()
        told.seek(0)
        stderr = told.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counts = {name: int(count) for count, name in SUMMARY.findall(stdout)}
    return {
        "exit_code": run.returncode,
        "added": counts.get("added", 0),
        "skipped": counts.get("skipped", 0),
        "failed": counts.get("failed", 0),
        "acknowledged": len(re.findall(r"^added ", stderr, re.MULTILINE)),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "wall_s": round(time.monotonic() - began, 1),
        "stderr_tail": stderr[-3000:],
    }


def _count(data: Path) -> int:
    try:
        with Catalog.open(data) as catalog:
            return catalog.count()
    except CatalogError:
        return 0


def _all_whole(data: Path) -> int:
    """How many tracks there are; raises CatalogDamaged if one has no whole print."""
    with Catalog.open(data) as catalog:
        return len(catalog.load_prints())


if __name__ == "__main__":
    sys.exit(main())
