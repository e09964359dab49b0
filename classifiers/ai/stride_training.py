"""How often chance and human music make a lattice: the calibration of the stride.

The sign learns nothing, so every generator is one it never met, and every recording can be counted.
Recordings are taken as they were published, a minute from their middle.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.calibration import Calibration, calibrate
from classifiers.ai.degrade import republish
from classifiers.ai.detector import DECADES
from classifiers.ai.evaluation import area_under_curve
from classifiers.ai.examples import CLEAN, Source, read_middle
from classifiers.ai.listening import STRETCH_S
from classifiers.ai.sign_stride import search

Member = TypeVar("Member")

LEAST_DECADES: Final = 10.0
"""Of 227 human recordings none passed 4.1; twice that, and some, for the music that is not among them. From
here on the sign is shown."""
CACHE_NAME: Final = "strides.json"
BATCH: Final = 8
"""Recordings between two writes of the cache: an hour's work is not lost to a stop."""
OF_EACH: Final = 8
CODECS_TOO: Final = {"opus-48k": ("human", "machine"), "mp3-128k": ("machine",)}
"""Opus makes lines of its own at low rates: human music is asked whether they count. Most uploads are MP3."""


def strength_of(path: Path, condition: str = CLEAN) -> float:
    """Decades of chance, of a minute from the middle, as published or through a codec of the panel."""
    audio = read_middle(path, length_s=STRETCH_S)
    if condition != CLEAN:
        audio = republish(audio, condition, hurried=True)
    mono = audio.samples.mean(axis=0).astype(np.float32)
    return search(mono, rate_hz=audio.sample_rate_hz)[0].strength


def measure_strides(
    sources: list[Source], *, cache: Path, workers: int = 1, condition: str = CLEAN
) -> NDArray[np.float64]:
    """Strength of every recording, float64 [sources]; what stands in `cache` is not measured again."""
    file = cache / CACHE_NAME
    known: dict[str, float] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    missing = [source for source in sources if _key(source, condition) not in known]
    cache.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for first in range(0, len(missing), BATCH):
            batch = missing[first : first + BATCH]
            strengths = pool.map(strength_of, [Path(source.path) for source in batch], repeat(condition))
            known |= {_key(source, condition): one for source, one in zip(batch, strengths, strict=True)}
            file.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    return np.array([known[_key(source, condition)] for source in sources])


def codec_sample(sources: list[Source]) -> list[int]:
    """Which are measured through codecs too, by index: OF_EACH of every group, spread evenly."""
    chosen: list[int] = []
    for group in sorted({source.group for source in sources}):
        members = [index for index, source in enumerate(sources) if source.group == group]
        chosen += spread(members, count=OF_EACH)
    return sorted(chosen)


def spread(members: list[Member], *, count: int) -> list[Member]:
    """So many at most, from the first to the last."""
    count = min(count, len(members))
    return [members[round(at)] for at in np.linspace(0, len(members) - 1, count)]


def calibrate_stride(sources: list[Source], strengths: NDArray[np.float64]) -> Calibration:
    """Of human and machine-made recordings; synthetic sounds and proxies are no recordings.

    Never under LEAST_DECADES, whatever the human recordings at hand allow.
    """
    calibration = calibrate(
        strengths / DECADES,
        machine_made=np.array([source.machine_made for source in sources]),
        groups=np.array([source.group for source in sources]),
    )
    return replace(calibration, threshold=max(calibration.threshold, LEAST_DECADES / DECADES))


def report_stride(
    sources: list[Source], strengths: NDArray[np.float64], calibration: Calibration
) -> dict[str, Any]:
    """AUC and shares at the calibrated threshold, family by family and package by package."""
    machine = np.array([source.machine_made for source in sources])
    groups = np.array([source.group for source in sources])
    found = strengths / DECADES >= calibration.threshold

    def share(members: NDArray[np.bool_]) -> dict[str, Any]:
        return {"recordings": int(members.sum()), "found": int(found[members].sum())}

    human = strengths[~machine]
    return {
        "threshold_decades": calibration.threshold * DECADES,
        "auc": area_under_curve(human, strengths[machine]),
        "human": share(~machine),
        "machine": share(machine),
        "packages": {str(group): share(groups == group) for group in np.unique(groups[~machine])},
        "families": {
            str(group): share(groups == group) | {"auc": area_under_curve(human, strengths[groups == group])}
            for group in np.unique(groups[machine])
        },
    }


def strides_of(sources: list[Source], *, cache: Path, workers: int = 1) -> dict[tuple[str, str], float]:
    """Strength by path and condition: of all recordings as published, of the sample in CODECS_TOO as well."""
    sample = [sources[index] for index in codec_sample(sources)]
    found: dict[tuple[str, str], float] = {}
    for condition in (CLEAN, *CODECS_TOO):
        measured = sources
        if condition != CLEAN:
            measured = [source for source in sample if source.kind in CODECS_TOO[condition]]
        strengths = measure_strides(measured, cache=cache, workers=workers, condition=condition)
        for source, strength in zip(measured, strengths, strict=True):
            found[source.path, condition] = float(strength)
    return found


def _key(source: Source, condition: str) -> str:
    path = Path(source.path)  # the folder's name too: some packages call every piece song.ogg
    name = f"{source.group}/{path.parent.name}/{path.name}"
    return name if condition == CLEAN else f"{condition} {name}"
