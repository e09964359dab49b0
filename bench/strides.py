"""The stride alone, on folders: `python -m bench.strides --human DIR --ai DIR --out FILE [--conditions …]`.

AiBench judges by all signs, and what they learnt they learnt on the generated music at hand. The stride
learnt nothing: it may be judged on all of it, under every condition, in a second a recording. Every
sub-folder of --ai is one generator. Prints and writes, for each condition, how many recordings of each folder
reach the threshold of the shipped calibration, how many have anything that counts in a score, a lattice in
short spectra, too, and the most that a human one has.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bench.aibench import files_of
from bench.aibench_conditions import CONDITIONS, chosen, render
from bench.aibench_measure import wilson
from bench.arguments import at_least, names
from classifiers.ai.detector import DECADES, load_detector
from classifiers.ai.evaluation import area_under_curve
from classifiers.ai.examples import read_middle
from classifiers.ai.listening import STRETCH_S, mid_and_side
from classifiers.ai.sign_stride import search
from soundalike.errors import NotAudio, SettingsError, SoundalikeError

Row = tuple[str, bool, dict[str, tuple[float, float]]]
"""Folder, whether a machine made it, and by condition the strength and the decades that count."""
SIDES: Final = ("human", "ai")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.strides",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--human", type=Path, required=True, help="folder of human music")
    parser.add_argument("--ai", type=Path, required=True, help="one sub-folder for each generator")
    parser.add_argument("--out", type=Path, required=True, help="file for the results, JSON")
    parser.add_argument("--conditions", nargs="*", default=[], metavar="NAME", help=", ".join(CONDITIONS))
    parser.add_argument("--workers", type=at_least(1), default=1, help="processes")
    options = parser.parse_args(arguments)
    try:
        conditions = list(chosen(names(options.conditions)))
        jobs = [
            (path, source, side == "ai", conditions)
            for side in SIDES
            for source, paths in files_of(getattr(options, side), what=f"--{side}").items()
            for path in paths
        ]
        stride = load_detector().stride
        if stride is None:
            raise SettingsError("the shipped detector has no calibration of the stride: train it")
        with ProcessPoolExecutor(options.workers) as pool:
            rows = [row for row in pool.map(strengths, jobs) if row is not None]
        results = summary(rows, conditions, threshold=stride.threshold * DECADES)
    except SoundalikeError as error:
        print(error, file=sys.stderr)
        return 2
    text = json.dumps(results, indent=1)
    options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def strengths(job: tuple[Path, str, bool, list[str]]) -> Row | None:
    """None for what can't be decoded."""
    path, source, made, names = job
    try:
        whole = read_middle(path, length_s=STRETCH_S)
    except NotAudio:
        return None
    found = {}
    for name in names:
        audio = render(whole, name, file_name=path.name)
        heard = search(*mid_and_side(audio.samples), rate_hz=audio.sample_rate_hz)
        found[name] = heard.strength, heard.decades
    return source, made, found


def summary(rows: list[Row], names: list[str], *, threshold: float) -> dict[str, Any]:
    """Counts at the threshold (decades of chance), Wilson intervals and areas under the curve."""
    cells: dict[str, Any] = {}
    for name in names:
        human = np.array([found[name] for _, made, found in rows if not made]).reshape(-1, 2)
        machine = np.array([found[name] for _, made, found in rows if made]).reshape(-1, 2)
        by_source: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for source, made, found in rows:
            if made:
                by_source[source].append(found[name])
        cells[name] = {
            "human": _share(human, threshold) | {"most_decades": float(human[:, 1].max(initial=0.0))},
            "machine": _share(machine, threshold),
            "auc": area_under_curve(human[:, 1], machine[:, 1]),
            "generators": {
                source: _share(np.array(values), threshold) for source, values in sorted(by_source.items())
            },
        }
    return {"threshold_decades": threshold, "conditions": cells}


def _share(values: NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """values: [recordings, 2], strength and decades."""
    flags = [bool(strength >= threshold) for strength in values[:, 0]]
    counted = int((values[:, 1] > 0).sum())
    return {"recordings": len(flags), "found": sum(flags), "share_95": wilson(flags), "counted": counted}


if __name__ == "__main__":
    sys.exit(main())
