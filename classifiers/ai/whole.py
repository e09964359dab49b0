"""Numbers of whole recordings: a minute from the middle, as published or through a codec, measured once.

For the signs that are properties of a recording and learn nothing (`sign_stride`, `sign_repeats`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
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
STRIDES: Final = "strides-2"
REPEATS: Final = "repeats-1"
"""Files of a cache, with their edition: raise it when the sign finds otherwise, or older numbers count on."""
SHORT_S: Final = 10.0
"""Between the shortest clip of which anything is said (4.5 s) and the longest that accuses nobody (20 s)."""

Measure = Callable[[Float, int], float]
"""Of a stretch, float32 [channels, samples], and its rate in Hz."""
Numbers = dict[tuple[str, str], float]
"""By path and condition."""


def stride_of(channels: Float, rate_hz: int) -> float:
    """Decades that count in a score."""
    return sign_stride.search(*mid_and_side(channels), rate_hz=rate_hz).decades


def repeats_of(channels: Float, rate_hz: int) -> float:
    """Mean log odds of the strokes' likeness, as a minute would show it; NaN where there are too few."""
    stretch, _ = mid_and_side(channels)
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
) -> Numbers:
    """`measure` of all recordings, as published and through the panel."""
    found: Numbers = {}
    for condition in (CLEAN, *PANEL):
        numbers = measure_recordings(
            sources, measure, cache=cache, workers=workers, condition=condition, length_s=length_s
        )
        found |= {(source.path, condition): float(one) for source, one in zip(sources, numbers, strict=True)}
    return found


@dataclass(frozen=True, slots=True)
class Wholes:
    """What belongs to whole recordings, by path and condition.

    strides: decades that count in a score. repeats: log odds, NaN where unknown. short_strides,
    short_repeats: the same of SHORT_S alone, what a clip shows that is too short to accuse anybody.
    """

    strides: Numbers
    repeats: Numbers
    short_strides: Numbers
    short_repeats: Numbers


def measure_wholes(sources: list[Source], *, cache: Path, workers: int = 1) -> Wholes:
    """Of all recordings, through the whole panel. Each number has a file in the folder `cache`."""

    def measured(measure: Measure, name: str, length_s: float) -> Numbers:
        file = cache / f"{name}.json"
        return measure_panel(sources, measure, cache=file, workers=workers, length_s=length_s)

    return Wholes(
        strides=measured(stride_of, STRIDES, STRETCH_S),
        repeats=measured(repeats_of, REPEATS, STRETCH_S),
        short_strides=measured(stride_of, f"{STRIDES}-short", SHORT_S),
        short_repeats=measured(repeats_of, f"{REPEATS}-short", SHORT_S),
    )


def _measure(source: Source, *, measure: Measure, condition: str, length_s: float) -> float:
    audio = read_middle(Path(source.path), length_s=length_s)
    if condition != CLEAN:
        audio = republish(audio, condition, hurried=True)
    return measure(audio.samples, audio.sample_rate_hz)


def _key(source: Source, condition: str) -> str:
    path = Path(source.path)  # the folder's name too: some packages call every piece song.ogg
    name = f"{source.group}/{path.parent.name}/{path.name}"
    return name if condition == CLEAN else f"{condition} {name}"
