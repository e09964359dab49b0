"""Numbers of whole recordings: a minute from the middle, as published or through a codec, measured once.

For the signs that are properties of a recording and learn nothing (`sign_stride`, `sign_repeats`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai import sign_repeats, sign_stride
from classifiers.ai.degrade import republish
from classifiers.ai.examples import CLEAN, PANEL, Source, read_middle
from classifiers.ai.listening import STRETCH_S, Float, mid_and_side

BATCH: Final = 8
"""Recordings between two writes of the cache: an hour's work is not lost to a stop."""

Measure = Callable[[Float, int], float]
"""Of a stretch, float32 [channels, samples], and its rate in Hz."""


def stride_of(channels: Float, rate_hz: int) -> float:
    """Decades that count in a score."""
    return sign_stride.search(*mid_and_side(channels), rate_hz=rate_hz).decades


def repeats_of(channels: Float, rate_hz: int) -> float:
    """Mean log odds of the strokes' likeness; NaN where there are too few, or too little to come back in."""
    stretch, _ = mid_and_side(channels)
    if stretch.size < sign_repeats.LEAST_S * rate_hz:
        return float("nan")
    return sign_repeats.search(stretch, rate_hz=rate_hz).value


def measure_recordings(
    sources: list[Source],
    measure: Measure,
    *,
    cache: Path,
    workers: int = 1,
    condition: str = CLEAN,
    length_s: float = STRETCH_S,
) -> NDArray[np.float64]:
    """`measure` of the middle of every recording, float64 [sources].

    What stands in the file `cache` is not done again: each length has its own.
    """
    known: dict[str, float] = json.loads(cache.read_text(encoding="utf-8")) if cache.exists() else {}
    missing = [source for source in sources if _key(source, condition) not in known]
    cache.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(workers) as pool:
        for first in range(0, len(missing), BATCH):
            batch = missing[first : first + BATCH]
            one = partial(_measure, measure=measure, condition=condition, length_s=length_s)
            numbers = pool.map(one, batch)
            known |= {_key(source, condition): value for source, value in zip(batch, numbers, strict=True)}
            cache.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    return np.array([known[_key(source, condition)] for source in sources])


def measure_panel(
    sources: list[Source], measure: Measure, *, cache: Path, workers: int = 1, length_s: float = STRETCH_S
) -> dict[tuple[str, str], float]:
    """`measure` by path and condition: of all recordings, as published and through the panel."""
    found: dict[tuple[str, str], float] = {}
    for condition in (CLEAN, *PANEL):
        numbers = measure_recordings(
            sources, measure, cache=cache, workers=workers, condition=condition, length_s=length_s
        )
        found |= {(source.path, condition): float(one) for source, one in zip(sources, numbers, strict=True)}
    return found


def measure_repeats(sources: list[Source], *, cache: Path, workers: int = 1) -> dict[tuple[str, str], float]:
    return measure_panel(sources, repeats_of, cache=cache / "repeats.json", workers=workers)


def _measure(source: Source, *, measure: Measure, condition: str, length_s: float) -> float:
    audio = read_middle(Path(source.path), length_s=length_s)
    if condition != CLEAN:
        audio = republish(audio, condition, hurried=True)
    return measure(audio.samples, audio.sample_rate_hz)


def _key(source: Source, condition: str) -> str:
    path = Path(source.path)  # the folder's name too: some packages call every piece song.ogg
    name = f"{source.group}/{path.parent.name}/{path.name}"
    return name if condition == CLEAN else f"{condition} {name}"
