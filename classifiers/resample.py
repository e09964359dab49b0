"""To mono at the rate that the ears work at."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from classifiers.audio import Audio

EAR_SAMPLE_RATE_HZ = 16_000


def to_mono(audio: Audio, *, sample_rate_hz: int = EAR_SAMPLE_RATE_HZ) -> NDArray[np.float32]:
    """Mix to one channel and resample: float32 [samples].

    Averaging is the downmix that survives most; a polarity-inverted channel would cancel in it, so
    when the mid channel holds under a tenth of the side channel's energy, the louder single channel
    is used instead.
    """
    samples = audio.samples
    if audio.channels == 1:
        mono = samples[0]
    else:
        mono = samples.mean(axis=0)
        channel_energy = np.square(samples, dtype=np.float32).sum(axis=1)
        if float(np.square(mono).sum()) < 0.1 * float(channel_energy.mean()):
            mono = samples[int(channel_energy.argmax())]
    if audio.sample_rate_hz == sample_rate_hz:
        return np.ascontiguousarray(mono, dtype=np.float32)
    # "MQ" keeps 0.9 of the band flat and is three times as fast as "HQ"; nothing above 6.1 kHz is looked at.
    resampled: NDArray[np.float32] = soxr.resample(
        np.ascontiguousarray(mono, dtype=np.float32), audio.sample_rate_hz, sample_rate_hz, quality="MQ"
    )
    return resampled
