"""Filters, equalisers, stereo tricks, modulation, distortion: what changes the sound and not the time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.random import Generator
from scipy.signal import butter, sosfilt

from bench.effects import Samples

FILTER_ORDER: Final = 8
EQ_BAND_CENTRES_HZ: Final = (60, 150, 375, 940, 2350, 5900, 14700)


def low_pass(samples: Samples, *, rate_hz: int, cutoff_hz: float) -> Samples:
    sections = butter(FILTER_ORDER, cutoff_hz, "lowpass", fs=rate_hz, output="sos")
    return np.asarray(sosfilt(sections, samples, axis=1), dtype=np.float32)


def high_pass(samples: Samples, *, rate_hz: int, cutoff_hz: float) -> Samples:
    sections = butter(FILTER_ORDER, cutoff_hz, "highpass", fs=rate_hz, output="sos")
    return np.asarray(sosfilt(sections, samples, axis=1), dtype=np.float32)


def equalise(samples: Samples, *, rate_hz: int, extreme_db: float, random: Generator) -> Samples:
    """Seven bands, alternately about +extreme and −extreme dB, joined smoothly over log frequency."""
    signs = np.where(np.arange(len(EQ_BAND_CENTRES_HZ)) % 2 == 0, 1.0, -1.0) * random.choice((-1.0, 1.0))
    gains_db = signs * extreme_db * random.uniform(0.7, 1.0, size=len(EQ_BAND_CENTRES_HZ))
    frequencies_hz = np.fft.rfftfreq(samples.shape[1], 1 / rate_hz)
    curve_db = np.interp(np.log(np.maximum(frequencies_hz, 1.0)), np.log(EQ_BAND_CENTRES_HZ), gains_db)
    spectrum = np.fft.rfft(samples, axis=1) * 10.0 ** (curve_db / 20)
    return same_loudness(np.fft.irfft(spectrum, n=samples.shape[1], axis=1).astype(np.float32), like=samples)


def invert_right(samples: Samples) -> Samples:
    """The right channel's polarity turned: a plain downmix cancels everything in the middle."""
    out = samples.copy()
    out[1:] *= -1
    return out


def emphasise_side(samples: Samples, *, mid_db: float) -> Samples:
    """Turn the middle down by `mid_db` (negative), as a karaoke filter does; mono becomes quieter."""
    mid = samples.mean(axis=0, keepdims=True)
    out: Samples = samples - mid + mid * gain(mid_db)
    return out


def clip(samples: Samples, *, drive_db: float) -> Samples:
    """Drive the peak `drive_db` above full scale and cut it off there."""
    peak = float(np.abs(samples).max())
    if peak == 0.0:
        return samples.copy()
    out: Samples = np.clip(samples / peak * gain(drive_db), -1.0, 1.0) * np.float32(peak)
    return out


def chorus(samples: Samples, *, rate_hz: int, random: Generator) -> Samples:
    """Three detuned, delayed copies (15 to 30 ms, ±3 ms) beside the original."""
    out = samples.copy()
    for _ in range(3):
        out += 0.6 * _swept(
            samples,
            rate_hz=rate_hz,
            delay_s=random.uniform(0.015, 0.030),
            depth_s=0.003,
            sweep_hz=random.uniform(0.4, 1.2),
            phase=random.uniform(0, 2 * np.pi),
        )
    return same_loudness(out, like=samples)


def flanger(samples: Samples, *, rate_hz: int, random: Generator) -> Samples:
    """One copy whose delay sweeps from 0.5 to 6 ms: notches travel through the spectrum."""
    moved = _swept(
        samples,
        rate_hz=rate_hz,
        delay_s=0.00325,
        depth_s=0.00275,
        sweep_hz=random.uniform(0.2, 0.5),
        phase=random.uniform(0, 2 * np.pi),
    )
    return same_loudness(samples + 0.9 * moved, like=samples)


def _swept(
    samples: Samples, *, rate_hz: int, delay_s: float, depth_s: float, sweep_hz: float, phase: float
) -> Samples:
    times = np.arange(samples.shape[1], dtype=np.float64)
    delay = delay_s + depth_s * np.sin(2 * np.pi * sweep_hz * times / rate_hz + phase)
    source = times - delay * rate_hz
    return np.stack([np.interp(source, times, row, left=0.0) for row in samples]).astype(np.float32)


def reverse_parts(samples: Samples, *, rate_hz: int, part_s: float, every_s: float) -> Samples:
    """In every `every_s`, a part of `part_s` runs backwards; 5 ms fades hide the joints."""
    out = samples.copy()
    part, step, fade = round(part_s * rate_hz), round(every_s * rate_hz), round(0.005 * rate_hz)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    shape = np.ones(part, dtype=np.float32)
    shape[:fade], shape[-fade:] = ramp, ramp[::-1]
    for start in range(step - part, samples.shape[1] - part, step):
        forward = samples[:, start : start + part]
        out[:, start : start + part] = forward * (1 - shape) + forward[:, ::-1] * shape
    return out


def gain(decibels: float) -> np.float32:
    """The amplitude factor of a level change."""
    return np.float32(10.0 ** (decibels / 20))


def same_loudness(samples: Samples, *, like: Samples) -> Samples:
    """Scale to the root mean square of `like`."""
    return (samples * np.float32(level(like) / max(level(samples), 1e-9))).astype(np.float32)


def level(samples: Samples) -> float:
    """Root mean square over all channels."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if samples.size else 0.0
