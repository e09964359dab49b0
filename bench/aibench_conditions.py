"""What is done to recordings before the second ear hears them: one condition, one cell of the table."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from numpy.random import Generator

from bench.effects import rooms, tone, warp
from classifiers.ai.degrade import CODECS, through_codec, unclipped
from classifiers.audio import Audio
from soundalike.errors import SettingsError

Condition = Callable[[Audio, Generator], Audio]
SHORT_S: Final = 5.0


def _codec(name: str) -> Condition:
    def apply(audio: Audio, _random: Generator) -> Audio:
        samples = unclipped(audio.samples[:2])
        return Audio(*through_codec(samples, rate_hz=audio.sample_rate_hz, codec=CODECS[name]))

    return apply


def _changed(change: Callable[..., np.ndarray], **options: float) -> Condition:
    def apply(audio: Audio, _random: Generator) -> Audio:
        out = change(audio.samples[:2], rate_hz=audio.sample_rate_hz, **options)
        return Audio(np.ascontiguousarray(out, dtype=np.float32), audio.sample_rate_hz)

    return apply


def _noise(audio: Audio, random: Generator) -> Audio:
    rate_hz = audio.sample_rate_hz
    out = rooms.add_pink_noise(audio.samples[:2], rate_hz=rate_hz, snr_db=20.0, random=random)
    return Audio(np.ascontiguousarray(out, dtype=np.float32), rate_hz)


def _short(audio: Audio, random: Generator) -> Audio:
    length = round(SHORT_S * audio.sample_rate_hz)
    start = int(random.integers(max(audio.samples.shape[1] - length, 0) + 1))
    return Audio(audio.samples[:, start : start + length], audio.sample_rate_hz)


CONDITIONS: Final[dict[str, Condition]] = {
    "clean": lambda audio, _random: audio,
    **{name: _codec(name) for name in ("mp3-64k", "mp3-128k", "mp3-320k")},
    **{name: _codec(name) for name in ("opus-48k", "opus-128k", "aac-128k", "vorbis-128k")},
    "speed-0.9": _changed(warp.speed, ratio=0.9),
    "speed-1.1": _changed(warp.speed, ratio=1.1),
    "pitch-2": _changed(warp.transpose, semitones=-2.0),
    "pitch+2": _changed(warp.transpose, semitones=2.0),
    "lowpass-12k": _changed(tone.low_pass, cutoff_hz=12_000.0),
    "noise-20db": _noise,
    "clip-5s": _short,
}


def chosen(names: Iterable[str]) -> dict[str, Condition]:
    """The named ones, all when none is named; SettingsError for a name that there is not."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in CONDITIONS]
    if unknown:
        raise SettingsError(
            f"no condition is called {', '.join(unknown)}; there are: {', '.join(CONDITIONS)}"
        )
    return {name: CONDITIONS[name] for name in wanted} or dict(CONDITIONS)


def render(audio: Audio, condition: str, *, file_name: str) -> Audio:
    """Deterministic by condition and file name. A low-pass above half the sample rate changes nothing."""
    if condition == "lowpass-12k" and audio.sample_rate_hz <= 24_000:
        return audio
    random = np.random.default_rng(zlib.crc32(f"{condition}/{file_name}".encode()))
    return CONDITIONS[condition](audio, random)
