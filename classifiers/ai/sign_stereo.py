"""Stereo: how the two channels belong together, band by band.

A mix places every instrument in its own direction at all frequencies; a decoder that writes two channels
from one latent tends to widen or narrow them by band, and to lose the phase between them. A mono file has
nothing to say here: every feature is zero but the one that says so.
"""

from __future__ import annotations

import numpy as np

from classifiers.ai.listening import BIN_HZ, Listening
from classifiers.ai.signs import BANDS_HZ, Features


class Stereo:
    name = "stereo"
    describes = "how width, correlation and phase between the channels change from band to band"
    features = (
        *(
            f"{kind}_{low}hz"
            for low, _ in BANDS_HZ
            for kind in ("side_over_mid", "width_moves", "balance", "quadrature", "coherence")
        ),
        "mono",
    )

    def measure(self, listening: Listening) -> Features:
        out = np.zeros((listening.looks, len(self.features)), dtype=np.float32)
        if listening.mono:
            out[:, -1] = 1.0
            return out
        mid, side = listening.mid, listening.side
        for index, (low_hz, high_hz) in enumerate(BANDS_HZ):
            band = slice(round(low_hz / BIN_HZ), round(high_hz / BIN_HZ))
            m, s = mid[..., band], side[..., band]
            mid_power = np.square(np.abs(m)).sum(axis=2) + np.float32(1e-14)
            side_power = np.square(np.abs(s)).sum(axis=2) + np.float32(1e-14)
            width = np.clip(np.log10(side_power / mid_power), -5, 2)  # [looks, frames]
            cross = (m * s.conj()).sum(axis=2)
            geometric = np.sqrt(mid_power * side_power)
            left = m + s
            right = m - s
            between = np.abs((left * right.conj()).sum(axis=1))
            alone = np.sqrt(np.square(np.abs(left)).sum(axis=1) * np.square(np.abs(right)).sum(axis=1))
            out[:, 5 * index : 5 * index + 5] = np.stack(
                (
                    np.median(width, axis=1),
                    width.std(axis=1),
                    (np.abs(cross.real) / geometric).mean(axis=1),
                    (np.abs(cross.imag) / geometric).mean(axis=1),
                    (between / (alone + np.float32(1e-14))).mean(axis=1),
                ),
                axis=1,
            )
        return out

    def place(self, listening: Listening) -> str:
        return "mono" if listening.mono else ""
