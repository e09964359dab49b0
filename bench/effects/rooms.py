"""Noise and rooms: the phone held up in a café."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator
from scipy.signal import fftconvolve

from bench.effects import Samples
from bench.effects.tone import gain, level, same_loudness

SPEED_OF_SOUND_M_S: Final = 343.0


def add_pink_noise(samples: Samples, *, rate_hz: int, snr_db: float, random: Generator) -> Samples:
    """Noise of equal power per octave from 30 Hz, `snr_db` below the recording's level."""
    length = samples.shape[1]
    frequencies_hz = np.fft.rfftfreq(length, 1 / rate_hz)
    white = np.fft.rfft(random.standard_normal(length))
    pink = np.fft.irfft(white / np.sqrt(np.maximum(frequencies_hz, 30.0)), n=length).astype(np.float32)
    scale = np.float32(level(samples) / max(level(pink), 1e-9)) * gain(-snr_db)
    out: Samples = samples + pink * scale
    return out


def room_response(*, rate_hz: int, t60_s: float, random: Generator) -> Samples:
    """float32 [2, samples]: direct sound, six early reflections, a tail that darkens as it decays.

    Energies: the tail carries as much as direct sound and reflections together, as some metres
    from a loudspeaker in a living room.
    """
    length = round(t60_s * rate_hz)
    times_s = np.arange(length) / rate_hz
    tail = random.standard_normal((2, length)) * 10.0 ** (-3 * times_s / t60_s)
    dull = random.standard_normal((2, length))
    kernel = np.exp(-np.arange(64) / 12.0)
    dull = fftconvolve(dull, (kernel / np.linalg.norm(kernel))[None], mode="same", axes=1)
    darkness = np.clip(times_s / (0.3 * t60_s), 0, 1)
    tail = tail * (1 - darkness) + dull * 10.0 ** (-3 * times_s / t60_s) * darkness
    tail *= np.clip((times_s - 0.012) / 0.03, 0, 1)
    early = np.zeros((2, length))
    early[:, 0] = 1.0
    for path_m in random.uniform(2.0, 18.0, size=6):
        delay = round(path_m / SPEED_OF_SOUND_M_S * rate_hz)
        if delay < length:
            early[:, delay] += (
                random.choice((-1, 1)) * random.uniform(0.6, 1.0, size=2) * 3.0 / (3.0 + path_m)
            )
    early /= np.linalg.norm(early)
    tail /= max(float(np.linalg.norm(tail)), 1e-9)
    out: Samples = (early + tail).astype(np.float32)
    return out


def reverberate(samples: Samples, *, rate_hz: int, t60_s: float, random: Generator) -> Samples:
    """In a room of reverberation time `t60_s`; the length stays (the tail is cut), so does the level."""
    response = room_response(rate_hz=rate_hz, t60_s=t60_s, random=random)[: samples.shape[0]]
    wet = fftconvolve(samples, response, mode="full", axes=1)[:, : samples.shape[1]].astype(np.float32)
    return same_loudness(wet, like=samples)
