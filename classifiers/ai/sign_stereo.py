"""Stereo: how the two channels belong together, band by band.

A mix places every instrument in its own direction at all frequencies; a decoder that writes two channels
from one latent tends to widen or narrow them by band, and to lose the phase between them. A mono file has
nothing to say here: every feature is zero but the one that says so.
"""

from __future__ import annotations

import numpy as np

from classifiers.ai.listening import BIN_HZ, Listening, power
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
        # Left and right are mid ± side: their powers and their product follow from those of mid and side.
        mid_power, side_power = power(listening.mid), power(listening.side)
        cross = listening.mid * listening.side.conj()
        both, apart = mid_power + side_power, mid_power - side_power
        alone = np.sqrt(
            np.maximum((both + 2 * cross.real).sum(axis=1), 0.0)
            * np.maximum((both - 2 * cross.real).sum(axis=1), 0.0)
        )
        between = np.hypot(apart.sum(axis=1), 2 * cross.imag.sum(axis=1))
        coherence = between / (alone + np.float32(1e-14))
        for index, (low_hz, high_hz) in enumerate(BANDS_HZ):
            band = slice(round(low_hz / BIN_HZ), round(high_hz / BIN_HZ))
            m, s = (one[..., band].sum(axis=2) + np.float32(1e-14) for one in (mid_power, side_power))
            width = np.clip(np.log10(s / m), -5, 2)  # [looks, frames]
            turned = cross[..., band].sum(axis=2)
            geometric = np.sqrt(m * s)
            out[:, 5 * index : 5 * index + 5] = np.stack(
                (
                    np.median(width, axis=1),
                    width.std(axis=1),
                    (np.abs(turned.real) / geometric).mean(axis=1),
                    (np.abs(turned.imag) / geometric).mean(axis=1),
                    coherence[:, band].mean(axis=1),
                ),
                axis=1,
            )
        return out

    def place(self, listening: Listening) -> str:
        return "mono" if listening.mono else ""
