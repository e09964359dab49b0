"""Other music over the recording, or around it."""

from __future__ import annotations

from typing import Final

import numpy as np

from bench.effects import Samples
from bench.effects.tone import gain, level
from bench.effects.warp import fit

CROSSFADE_S: Final = 0.5
DUCK_DB: Final = -20.0
"""What stays of the other record while the quote plays: faint, as with the fader nearly down."""


def overlay(samples: Samples, other: Samples, *, ratio_db: float) -> Samples:
    """Mix `other` under the recording; `ratio_db` is recording over other."""
    under = fit(other, samples.shape[1])
    return samples + under * np.float32(level(samples) / max(level(under), 1e-9)) * gain(-ratio_db)


def quote(samples: Samples, bed: Samples, *, rate_hz: int, before_s: float, after_s: float) -> Samples:
    """The recording inside `bed`, as a DJ plays it: half-second fades, both at the same level.

    Returns before + recording + after; the quote starts at `before_s`.
    """
    before, after = round(before_s * rate_hz), round(after_s * rate_hz)
    length = before + samples.shape[1] + after
    under = fit(bed, length) * np.float32(level(samples) / max(level(bed), 1e-9))
    fade = round(CROSSFADE_S * rate_hz)
    fader = np.zeros(length, dtype=np.float32)
    fader[before : before + samples.shape[1]] = 1.0
    up = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32))
    fader[before : before + fade] = up
    fader[before + samples.shape[1] - fade : before + samples.shape[1]] = up[::-1]
    floor = gain(DUCK_DB)
    placed = np.zeros_like(under)
    placed[:, before : before + samples.shape[1]] = samples
    out: Samples = placed * fader + under * (floor + (1 - floor) * np.sqrt(np.maximum(0, 1 - fader**2)))
    return out
