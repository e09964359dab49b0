"""Train the second ear: `python -m classifiers.train_detector --help`.

    python -m classifiers.train_detector --human runs/corpora/tracks.csv --machine ai/MANIFEST.csv \\
        --machine-folder ace-step=music/calm --cache runs/ai --out classifiers/weights/detector

Only the splits `train` and `tune` of the human table are read; `test` is for `bench.aibench` alone. What was
measured is kept under --cache, so that a second run starts at the learning. With `--without-fold K` the
families and packages of one fold are left out of everything, calibration too: a detector that never met them,
for `bench.aibench --weights`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from threadpoolctl import threadpool_limits

from classifiers.ai.calibration import Calibration
from classifiers.ai.detector import DECADES, Detector
from classifiers.ai.evaluation import accusations, evaluate
from classifiers.ai.examples import (
    CLEAN,
    Source,
    folder_sources,
    human_sources,
    machine_sources,
    synthetic_sources,
)
from classifiers.ai.stride_training import calibrate_stride, report_stride
from classifiers.ai.training import (
    FOLDS,
    Table,
    fit,
    measure_sources,
    nested,
    out_of_fold,
    with_decades,
    with_repeats,
)
from classifiers.ai.whole import measure_wholes
from soundalike.errors import SettingsError, SoundalikeError

SYNTHETIC = 240
"""Sounds of the recipes, half of them pads."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m classifiers.train_detector", description=__doc__)
    add_sources(parser)
    parser.add_argument("--cache", type=Path, required=True, help="keeps what was measured")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights and training.json")
    parser.add_argument("--workers", type=int, default=2, help="processes that render and measure")
    parser.add_argument(
        "--without-fold", type=int, choices=range(len(FOLDS)), help="leave one fold out of everything"
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    # Sums in one order, NumPy's too: the same seed gives the same weights to the byte.
    torch.set_num_threads(1)
    limited = threadpool_limits(limits=1)
    try:
        sources = sources_of(options)
        console.print(f"{len(sources)} recordings; measuring what is not in {options.cache} yet")
        table = measure_sources(sources, cache=options.cache / "looks", workers=options.workers)
        recordings = [source for source in sources if source.kind in ("human", "machine")]
        console.print(f"{len(table.groups)} looks; looking for strides and repeats")
        wholes = measure_wholes(recordings, cache=options.cache, workers=options.workers)
        console.print("learning")
        table = table.with_wholes(wholes)
        strengths = np.array([wholes.strides[source.path, CLEAN] for source in recordings])
        stride = calibrate_stride(recordings, strengths)
        detector, report = train(table, stride=stride)
        report["stride"] = report_stride(recordings, strengths, stride)
    except SoundalikeError as error:
        console.print(f"[red]{error}[/red]")
        return 2
    finally:
        limited.restore_original_limits()
    detector.save(options.out)
    text = json.dumps(report, indent=1, sort_keys=True)
    (options.out / "training.json").write_text(text + "\n", encoding="utf-8")
    console.print_json(text)
    return 0


def train(table: Table, *, stride: Calibration | None = None) -> tuple[Detector, dict[str, Any]]:
    """The detector, and what its signs are worth on groups that were held out."""
    odds, scored = out_of_fold(table)
    detector = fit(table, odds, scored, stride=stride)
    joined = np.asarray(detector.join(odds), dtype=np.float64)
    repeated = with_repeats(table, joined, detector.repeats)
    everything = with_decades(table, repeated, detector.decade)
    apart, apart_repeated = nested(table, odds, scored)
    scores = {
        "repeats": -table.repeats,
        "joined": joined,
        "joined_repeats": repeated,
        "all": everything,
        "nested": apart,
        "nested_repeats": apart_repeated,
        "nested_all": with_decades(table, apart_repeated, detector.decade),
    }
    report = evaluate(table, odds | scores, scored)
    report["accused"] = accusations(
        table,
        everything,
        scored,
        threshold=detector.long.threshold,
        least_decades=DECADES * (np.inf if stride is None else stride.threshold),
    )
    report["by_score_alone"] = accusations(
        table, everything, scored, threshold=detector.long.threshold, least_decades=-np.inf
    )
    return detector, report | {
        "weights": detector.weights,
        "decade": detector.decade,
        "repeats_line": detector.repeats,
        "sha256": detector.sha256,
    }


def add_sources(parser: argparse.ArgumentParser) -> None:
    """The options that `sources_of` reads."""
    parser.add_argument("--human", type=Path, required=True, help="tracks.csv of bench.corpora")
    parser.add_argument("--machine", type=Path, action="append", default=[], help="manifest: file, generator")
    parser.add_argument(
        "--machine-folder", action="append", default=[], metavar="FAMILY=DIR", help="a generator's folder"
    )


def sources_of(options: argparse.Namespace) -> list[Source]:
    """All recordings that the options name, without the test split and without the fold that is left out."""
    human = [source for source in human_sources(options.human.resolve()) if source.split != "test"]
    machine = [source for manifest in options.machine for source in machine_sources(manifest.resolve())]
    for statement in options.machine_folder:
        family, _, folder = statement.partition("=")
        if not folder or not Path(folder).is_dir():
            raise SettingsError(
                f"--machine-folder {statement!r}: write FAMILY=DIR, with a folder that exists"
            )
        machine += folder_sources(Path(folder).resolve(), kind="machine", group=family)
    if not human or not machine:
        raise SettingsError("training needs human and machine-made recordings: give --human and --machine")
    out = frozenset() if options.without_fold is None else FOLDS[options.without_fold]
    kept = [source for source in (*human, *machine) if source.group not in out]
    return [*kept, *synthetic_sources(SYNTHETIC)]


if __name__ == "__main__":
    sys.exit(main())
