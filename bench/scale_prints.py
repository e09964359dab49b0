"""The real vectors of the scale measurements: prints of the public music, made once and kept.

    python -m bench.scale_prints --corpora runs/corpora --out runs/scale/prints

Of every recording of `tracks.csv` a reference print, and of `--queries` of them a query as an upload would
ask it: 3 minutes that begin a quarter of a second between two catalog windows, with noise 20 dB below.
That is 240 questions: every 1.5 s as it is, every three seconds transposed by three semitones either way.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from safetensors.numpy import load_file, save_file

from bench.arguments import at_least
from classifiers.audio import Audio
from classifiers.fingerprint import Fingerprinter, ReferencePrint, load_fingerprinter
from pipeline.decode import decode
from soundalike.errors import AudioError

QUERY_S = 180.0
QUERY_START_S = 0.25
NOISE_DB = -20.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--queries", type=at_least(1), default=60)
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    with (options.corpora / "tracks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # Long recordings ask as many windows as an upload of three minutes does.
    asking = sorted(rows, key=lambda row: -min(float(row["duration_s"]), QUERY_S))[: options.queries]
    options.out.mkdir(parents=True, exist_ok=True)
    fingerprinter = load_fingerprinter()
    rows = asking + [row for row in rows if row not in asking]
    for row in track(rows, description="Recordings", console=console):
        target = options.out / f"{row['sha256']}.safetensors"
        if target.exists():
            continue
        try:
            audio = decode(options.corpora / row["path"]).audio
        except AudioError as error:
            console.print(f"left out: {row['path']}: {error}")
            continue
        arrays = fingerprinter.reference(audio).to_arrays()
        if row in asking:
            arrays["query"] = query(audio, fingerprinter)
        part = target.with_suffix(".part")
        save_file(arrays, part)
        part.replace(target)
    return 0


def query(audio: Audio, fingerprinter: Fingerprinter) -> NDArray[np.float32]:
    """What an upload of this recording asks: float32 [questions, dimension]."""
    first = round(QUERY_START_S * audio.sample_rate_hz)
    cut = audio.samples[:, first : first + round(QUERY_S * audio.sample_rate_hz)]
    noise = np.random.default_rng(0).standard_normal(cut.shape)
    level = float(np.sqrt(np.mean(np.square(cut)))) * 10.0 ** (NOISE_DB / 20.0)
    return fingerprinter.query(replace(audio, samples=(cut + level * noise).astype(np.float32))).vectors


def load_real(folder: Path) -> tuple[list[ReferencePrint], list[NDArray[np.float32]]]:
    """All prints, those that ask first, and the queries."""
    prints, queries = [], []
    for file in sorted(folder.glob("*.safetensors")):
        arrays = load_file(file)
        if "query" in arrays:
            queries.append(arrays["query"])
        prints.append(ReferencePrint.from_arrays(arrays))
    return prints, queries


if __name__ == "__main__":
    sys.exit(main())
