"""A talking voice without words: formant synthesis, the same on every machine.

Syllables of a consonant (filtered noise) and a vowel (a glottal pulse train with a falling and rising
pitch through three resonators), in phrases with breaths between. It has the spectrum, rhythm and
pauses of speech, which is what a recogniser has to hear through; nobody's voice is used.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import lfilter

from bench.effects import Samples
from bench.effects.tone import gain, level

VOWELS_HZ: Final = (
    (730, 1090, 2440),
    (530, 1840, 2480),
    (390, 1990, 2550),
    (270, 2290, 3010),
    (570, 840, 2410),
    (440, 1020, 2240),
    (300, 870, 2240),
    (640, 1190, 2390),
)
"""First three formants of American English vowels, men (Peterson and Barney 1952)."""
BANDWIDTHS_HZ: Final = (80.0, 100.0, 140.0)
CONSONANTS_HZ: Final = ((4500.0, 1800.0), (2800.0, 1000.0), (1500.0, 700.0), (6500.0, 2500.0))


def babble(length: int, *, rate_hz: int, random: Generator) -> NDArray[np.float32]:
    """float32 [length]: one voice, root mean square 1 while it speaks."""
    out = np.zeros(length, dtype=np.float64)
    pitch_hz = random.uniform(95, 210)
    at = round(random.uniform(0.0, 0.2) * rate_hz)
    while at < length:
        for _ in range(int(random.integers(4, 11))):
            syllable = _syllable(pitch_hz * random.uniform(0.85, 1.2), rate_hz=rate_hz, random=random)
            end = min(length, at + syllable.size)
            out[at:end] += syllable[: end - at]
            at = end
            if at >= length:
                break
        at += round(random.uniform(0.15, 0.5) * rate_hz)
    speaking = np.abs(out) > 0
    return (out / max(float(np.sqrt(np.mean(out[speaking] ** 2))) if speaking.any() else 1.0, 1e-9)).astype(
        np.float32
    )


def _syllable(pitch_hz: float, *, rate_hz: int, random: Generator) -> NDArray[np.float64]:
    consonant_n = round(random.uniform(0.03, 0.09) * rate_hz)
    vowel_n = round(random.uniform(0.09, 0.22) * rate_hz)
    centre_hz, width_hz = CONSONANTS_HZ[int(random.integers(len(CONSONANTS_HZ)))]
    hiss = _resonate(random.standard_normal(consonant_n), centre_hz, width_hz, rate_hz=rate_hz)
    hiss *= np.hanning(consonant_n) / max(float(np.abs(hiss).max()), 1e-9)
    glide = pitch_hz * np.linspace(random.uniform(0.95, 1.1), random.uniform(0.8, 1.05), vowel_n)
    phase = np.cumsum(glide / rate_hz) + random.uniform()
    pulses = np.diff(np.floor(phase), prepend=np.floor(phase[0]))
    # The glottis itself falls by 12 dB an octave: two one-pole low-passes at 150 Hz.
    pole = np.exp(-2 * np.pi * 150.0 / rate_hz)
    voice = lfilter([1.0], [1.0, -2 * pole, pole**2], pulses)
    voice = np.diff(voice, prepend=0.0)
    for centre, width in zip(VOWELS_HZ[int(random.integers(len(VOWELS_HZ)))], BANDWIDTHS_HZ, strict=True):
        voice = _resonate(voice, centre * random.uniform(0.95, 1.1), width, rate_hz=rate_hz)
    edge = np.minimum(np.arange(vowel_n), np.arange(vowel_n)[::-1]) / (0.02 * rate_hz)
    voice *= np.clip(edge, 0, 1) / max(float(np.abs(voice).max()), 1e-9)
    return np.concatenate([0.35 * hiss, voice])


def _resonate(
    signal: NDArray[np.float64], centre_hz: float, width_hz: float, *, rate_hz: int
) -> NDArray[np.float64]:
    radius = np.exp(-np.pi * width_hz / rate_hz)
    angle = 2 * np.pi * min(centre_hz, 0.45 * rate_hz) / rate_hz
    return np.asarray(lfilter([1.0 - radius], [1.0, -2 * radius * np.cos(angle), radius**2], signal))


def talk_over(samples: Samples, *, rate_hz: int, ratio_db: float, random: Generator) -> Samples:
    """A voice over the recording; `ratio_db` is music over voice."""
    voice = babble(samples.shape[1], rate_hz=rate_hz, random=random)
    return samples + voice * np.float32(level(samples)) * gain(-ratio_db)
