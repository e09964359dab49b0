"""Integrated loudness after ITU-R BS.1770-4: one number, in LUFS, for the evidence record.

K-weighting (a high shelf and a high pass), mean square over 400 ms blocks every 100 ms, an absolute gate at
-70 LUFS and a relative one 10 LU below the mean of what passed. On scipy because pyloudnorm, which the tests
compare with, takes 0.72 s for three minutes of 44.1 kHz stereo where this takes 0.12 s (one core), counts the
low-frequency channel, and ends at five channels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

from classifiers.audio import Audio

BLOCK_S: Final = 0.4
_STEPS_PER_BLOCK: Final = 4
ABSOLUTE_GATE_LUFS: Final = -70.0
RELATIVE_GATE_LU: Final = -10.0

_OFFSET_DB: Final = -0.691
"""Makes a 997 Hz sine at 0 dBFS on one front channel read -3.01 LUFS."""

_SURROUND_WEIGHT: Final = 1.41
"""+1.5 dB for loudspeakers at 60° to 120° azimuth; 0 for the low-frequency channel; 1 for all others."""

_STEPS_AT_ONCE: Final = 20
"""2 s at a time: stays in the cache, and bounds memory for long recordings."""

_SILENT_STATE: Final = 1e-30
"""Filter memory below -600 dBFS is set to zero, or digital silence decays into slow denormal numbers."""


def integrated_lufs(audio: Audio, *, layout: tuple[str, ...] = ()) -> float | None:
    """Integrated loudness in LUFS.

    layout: a name for each channel as FFmpeg writes them (FL, FR, FC, LFE, SL, BR, …); empty: all alike.
    None when the recording is shorter than 0.4 s or nothing in it is louder than -70 LUFS.
    """
    step = round(audio.sample_rate_hz * BLOCK_S / _STEPS_PER_BLOCK)
    steps = audio.samples.shape[1] // step
    if steps < _STEPS_PER_BLOCK:
        return None
    energy = np.zeros(steps)  # weighted sum of squares of all channels, per 100 ms
    for channel, weight in zip(audio.samples, channel_weights(layout, audio.channels), strict=True):
        if weight > 0.0:
            energy += weight * _step_energies(channel, sample_rate_hz=audio.sample_rate_hz, step=step)
    sums = np.concatenate([[0.0], np.cumsum(energy)])
    power = (sums[_STEPS_PER_BLOCK:] - sums[:-_STEPS_PER_BLOCK]) / (step * _STEPS_PER_BLOCK)
    return _gated_lufs(np.maximum(power, 0.0))


def channel_weights(layout: tuple[str, ...], channels: int) -> tuple[float, ...]:
    """BS.1770-4, table 4. The back pair is at ±110° in 5.1, but at ±135° (weight 1) beside a side pair."""
    if len(layout) != channels:
        return (1.0,) * channels
    surround = {"SL", "SR"} if "SL" in layout else {"BL", "BR"}
    low = {"LFE", "LFE2"}
    return tuple(0.0 if name in low else _SURROUND_WEIGHT if name in surround else 1.0 for name in layout)


@lru_cache(maxsize=16)
def k_weighting(sample_rate_hz: int) -> NDArray[np.float64]:
    """The two filter stages as second-order sections [2, 6].

    Bilinear transforms of the analogue stages (corner frequencies, qualities, gain) which the 48 kHz tables
    of BS.1770 imply; at 48 kHz the result equals those tables to eight digits.
    """
    shelf_hz, shelf_q, gain_db = 1681.974450955533, 0.7071752369554196, 3.999843853973347
    k = math.tan(math.pi * shelf_hz / sample_rate_hz)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / shelf_q + k * k
    shelf = [
        (high + band * k / shelf_q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - band * k / shelf_q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / shelf_q + k * k) / a0,
    ]
    pass_hz, pass_q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * pass_hz / sample_rate_hz)
    a0 = 1 + k / pass_q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / pass_q + k * k) / a0]
    return np.array([shelf, high_pass])


def _step_energies(channel: NDArray[np.float32], *, sample_rate_hz: int, step: int) -> NDArray[np.float64]:
    """Sum of squares of the K-weighted channel in each full step of `step` samples."""
    sections = k_weighting(sample_rate_hz)
    state = np.zeros((2, 2))
    chunk = step * _STEPS_AT_ONCE
    end = channel.size // step * step
    energies = []
    for start in range(0, end, chunk):
        part = channel[start : min(start + chunk, end)].astype(np.float64)
        weighted, state = sosfilt(sections, part, zi=state)
        state[np.abs(state) < _SILENT_STATE] = 0.0
        rows = weighted.reshape(-1, step)
        energies.append(np.einsum("ij,ij->i", rows, rows))
    return np.concatenate(energies)


def _gated_lufs(power: NDArray[np.float64]) -> float | None:
    passing = power[power > _power_of(ABSOLUTE_GATE_LUFS)]
    if passing.size == 0:
        return None
    relative_gate = float(passing.mean()) * 10 ** (RELATIVE_GATE_LU / 10)
    return _OFFSET_DB + 10 * math.log10(float(passing[passing > relative_gate].mean()))


def _power_of(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET_DB) / 10))
