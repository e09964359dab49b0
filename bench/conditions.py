"""The conditions of CloneBench: what is done to a licensed recording, and what is then true.

A `Condition` renders from a `Scene` (an excerpt of the reference, other music, a seed) and states the
truth that its rendering implies: transposition, tempo, and which query second shows which reference
second. Rendering is deterministic: the same scene gives the same samples.

    >>> condition = CONDITIONS["pitch+2"]
    >>> condition.shift_semitones, condition.excerpt_s(10.0)
    (2.0, 10.0)
    >>> CONDITIONS["nightcore"].excerpt_s(10.0)      # 12.5 s of the original fit in 10 s
    12.5
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import log2
from typing import Final

import numpy as np
from numpy.random import Generator

from bench.effects import Samples, codecs, mixes, rooms, speech, tone, vocoder, warp
from soundalike.errors import SettingsError

BED_S: Final = 10.0
"""Other music before and after a DJ's quote."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a rendering starts from.

    excerpt: float32 [2, samples] of the reference, just as long as the condition needs.
    other: float32 [2, samples] of unrelated music, at least as long as the rendering.
    seed: makes the scene's chance its own; two conditions draw differently from one seed.
    """

    excerpt: Samples
    other: Samples
    rate_hz: int
    seed: int


Render = Callable[[Samples, Samples, int, Generator], Samples]


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that happens to recordings.

    shift_semitones: query pitch − reference pitch. tempo_ratio: query tempo ÷ reference tempo.
    query_s: fixed length of the reference's part of the query; None: as the run asks.
    quoted_from_s: where the reference begins in the query.

    """

    name: str
    family: str
    _render: Render
    shift_semitones: float = 0.0
    tempo_ratio: float = 1.0
    query_s: float | None = None
    quoted_from_s: float = 0.0

    def sounding_s(self, query_s: float) -> float:
        """Seconds of the query in which the reference sounds, when the run asks for `query_s`."""
        return self.query_s if self.query_s is not None else query_s

    def excerpt_s(self, query_s: float) -> float:
        """Seconds of the reference that this condition needs."""
        return self.sounding_s(query_s) * self.tempo_ratio

    def other_s(self, query_s: float) -> float:
        """Seconds of other music that the scene must hold."""
        return self.sounding_s(query_s) + (2 * BED_S if self.quoted_from_s else 0.0)

    def reference_s(self, query_time_s: float, *, excerpt_start_s: float) -> float:
        """Which second of the reference sounds at a second of the query."""
        return excerpt_start_s + (query_time_s - self.quoted_from_s) * self.tempo_ratio

    def render(self, scene: Scene) -> Samples:
        """float32 [2, samples] at the scene's rate, peaks within ±1."""
        random = np.random.default_rng([scene.seed, zlib.crc32(self.name.encode())])
        out = self._render(scene.excerpt, scene.other, scene.rate_hz, random)
        peak = float(np.abs(out).max()) if out.size else 0.0
        return (out / max(1.0, peak)).astype(np.float32)


def _untouched(excerpt: Samples, _other: Samples, _rate_hz: int, _random: Generator) -> Samples:
    return excerpt.copy()


def _codec(codec: codecs.Codec) -> Render:
    return lambda excerpt, _other, rate_hz, _random: codecs.through(excerpt, rate_hz=rate_hz, codec=codec)


def _noisy_room(snr_db: float) -> Render:
    """A living room, then noise at the microphone."""

    def render(excerpt: Samples, _other: Samples, rate_hz: int, random: Generator) -> Samples:
        t60_s = float(random.uniform(0.4, 0.9))
        wet = rooms.reverberate(excerpt, rate_hz=rate_hz, t60_s=t60_s, random=random)
        return rooms.add_pink_noise(wet, rate_hz=rate_hz, snr_db=snr_db, random=random)

    return render


def _noise(snr_db: float) -> Render:
    return lambda excerpt, _other, rate_hz, random: rooms.add_pink_noise(
        excerpt, rate_hz=rate_hz, snr_db=snr_db, random=random
    )


def _transpose(semitones: float) -> Render:
    return lambda excerpt, _other, rate_hz, _random: warp.transpose(
        excerpt, rate_hz=rate_hz, semitones=semitones
    )


def _tempo(ratio: float) -> Render:
    return lambda excerpt, _other, rate_hz, _random: warp.stretch(excerpt, rate_hz=rate_hz, tempo_ratio=ratio)


def _speed(ratio: float) -> Render:
    return lambda excerpt, _other, rate_hz, _random: warp.speed(excerpt, rate_hz=rate_hz, ratio=ratio)


def _slowed_reverb(excerpt: Samples, _other: Samples, rate_hz: int, random: Generator) -> Samples:
    slow = warp.speed(excerpt, rate_hz=rate_hz, ratio=0.8)
    return rooms.reverberate(slow, rate_hz=rate_hz, t60_s=2.5, random=random)


def _voice_over(excerpt: Samples, _other: Samples, rate_hz: int, random: Generator) -> Samples:
    return speech.talk_over(excerpt, rate_hz=rate_hz, ratio_db=0.0, random=random)


def _music_over(ratio_db: float) -> Render:
    return lambda excerpt, other, _rate_hz, _random: mixes.overlay(excerpt, other, ratio_db=ratio_db)


def _quote(excerpt: Samples, other: Samples, rate_hz: int, _random: Generator) -> Samples:
    return mixes.quote(excerpt, other, rate_hz=rate_hz, before_s=BED_S, after_s=BED_S)


def _cascade(excerpt: Samples, _other: Samples, rate_hz: int, random: Generator) -> Samples:
    high = warp.transpose(excerpt, rate_hz=rate_hz, semitones=2.0)
    noisy = rooms.add_pink_noise(high, rate_hz=rate_hz, snr_db=15.0, random=random)
    return codecs.through(noisy, rate_hz=rate_hz, codec=codecs.MP3_64K)


def _speed_condition(name: str, ratio: float, render: Render) -> Condition:
    return Condition(name, "speed", render, shift_semitones=12 * log2(ratio), tempo_ratio=ratio)


def _all() -> Iterable[Condition]:
    yield Condition("clean", "copy", _untouched)
    yield Condition("mp3-32k", "codec", _codec(codecs.MP3_32K))
    yield Condition("mp3-64k", "codec", _codec(codecs.MP3_64K))
    yield Condition("opus-24k", "codec", _codec(codecs.OPUS_24K))
    yield Condition("aac-48k", "codec", _codec(codecs.AAC_48K))
    yield Condition("vorbis-48k", "codec", _codec(codecs.VORBIS_LOW))
    yield Condition(
        "lowpass-3k", "tone", lambda x, _o, rate_hz, _r: tone.low_pass(x, rate_hz=rate_hz, cutoff_hz=3000.0)
    )
    yield Condition(
        "highpass-500", "tone", lambda x, _o, rate_hz, _r: tone.high_pass(x, rate_hz=rate_hz, cutoff_hz=500.0)
    )
    yield Condition(
        "extreme-eq",
        "tone",
        lambda x, _o, rate_hz, r: tone.equalise(x, rate_hz=rate_hz, extreme_db=18.0, random=r),
    )
    yield Condition("clipping", "tone", lambda x, _o, _rate_hz, _r: tone.clip(x, drive_db=18.0))
    yield Condition("chorus", "tone", lambda x, _o, rate_hz, r: tone.chorus(x, rate_hz=rate_hz, random=r))
    yield Condition("flanger", "tone", lambda x, _o, rate_hz, r: tone.flanger(x, rate_hz=rate_hz, random=r))
    yield Condition("polarity", "tone", lambda x, _o, _rate_hz, _r: tone.invert_right(x))
    yield Condition("side-emphasis", "tone", lambda x, _o, _rate_hz, _r: tone.emphasise_side(x, mid_db=-12.0))
    yield Condition(
        "reversed-parts",
        "tone",
        lambda x, _o, rate_hz, _r: tone.reverse_parts(x, rate_hz=rate_hz, part_s=0.3, every_s=1.0),
    )
    yield Condition("noise-10db", "noise", _noise(10.0))
    yield Condition("noise-0db", "noise", _noise(0.0))
    yield Condition("noise+reverb-10db", "noise", _noisy_room(10.0))
    yield Condition("noise+reverb-0db", "noise", _noisy_room(0.0))
    for semitones in (-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0):
        name = f"pitch{semitones:+.0f}" if semitones.is_integer() else f"pitch{100 * semitones:+.0f}ct"
        yield Condition(name, "pitch", _transpose(semitones), shift_semitones=semitones)
    for ratio in (0.8, 0.9, 1.15, 1.25):
        yield Condition(f"tempo-{ratio:g}", "tempo", _tempo(ratio), tempo_ratio=ratio)
    yield _speed_condition("speed-0.94", 0.94, _speed(0.94))
    yield _speed_condition("speed-1.06", 1.06, _speed(1.06))
    yield _speed_condition("nightcore", 1.25, _speed(1.25))
    yield _speed_condition("slowed+reverb", 0.8, _slowed_reverb)
    yield Condition("voice-over-0db", "mix", _voice_over)
    yield Condition("music-over-6db", "mix", _music_over(6.0))
    yield Condition("music-over-0db", "mix", _music_over(0.0))
    yield Condition("dj-quote-5s", "mix", _quote, query_s=5.0, quoted_from_s=BED_S)
    yield Condition("dj-quote-10s", "mix", _quote, query_s=10.0, quoted_from_s=BED_S)
    yield Condition("cascade", "cascade", _cascade, shift_semitones=2.0)
    yield Condition(
        "mel-vocoder",
        "resynthesis",
        lambda x, _o, rate_hz, r: vocoder.resynthesise(x, rate_hz=rate_hz, random=r),
    )
    for length_s in (2.0, 5.0):
        yield Condition(f"clean-{length_s:g}s", "short", _untouched, query_s=length_s)
        yield Condition(f"noise+reverb-10db-{length_s:g}s", "short", _noisy_room(10.0), query_s=length_s)
        yield Condition(
            f"pitch+1-{length_s:g}s", "short", _transpose(1.0), query_s=length_s, shift_semitones=1.0
        )


CONDITIONS: Final[dict[str, Condition]] = {condition.name: condition for condition in _all()}


def chosen(names: Iterable[str]) -> list[Condition]:
    """The named conditions, all when none is named; SettingsError for a name that there is not."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in CONDITIONS]
    if unknown:
        raise SettingsError(
            f"no condition is called {', '.join(unknown)}; there are: {', '.join(CONDITIONS)}"
        )
    return [CONDITIONS[name] for name in wanted] or list(CONDITIONS.values())
