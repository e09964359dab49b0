"""From the numbers of one sign to log odds: a few tiny networks, averaged.

Every sign has its own, so each can say by itself how likely a machine is. Inputs are standardised by median
and quartiles and clipped: a value that training never saw counts as the edge of what it saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.ai.signs import Features

CLIP: Final = 3.0
"""Quartile distances: a Gaussian lies beyond in one case of a thousand."""
SIZE: Final = 12
MEMBERS: Final = 6
STEPS: Final = 250
WEIGHT_DECAY: Final = 0.02
SCORER_PARTS: Final = ("centre", "scale", "first", "last")
ENVELOPE: Final = 4.0
"""Log odds are squashed into ±4 (2–98 %): no sign alone may be surer than its training set is large."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scorer:
    """centre, scale: float32 [features]. first: [members, features + 1, SIZE]. last: [members, SIZE + 1]."""

    centre: Float
    scale: Float
    first: Float
    last: Float

    def standardise(self, features: Features) -> Features:
        return np.asarray(np.clip((features - self.centre) / self.scale, -CLIP, CLIP), dtype=np.float32)

    def __call__(self, features: Features) -> Float:
        """float32 [looks, features] to log odds, float32 [looks] within ±ENVELOPE."""
        inputs = self.standardise(features)
        hidden = np.tanh(np.einsum("nf,mfh->mnh", inputs, self.first[:, :-1]) + self.first[:, None, -1])
        odds = np.einsum("mnh,mh->mn", hidden, self.last[:, :-1]) + self.last[:, -1:]
        return np.asarray(ENVELOPE * np.tanh(odds.mean(axis=0) / ENVELOPE), dtype=np.float32)

    def to_arrays(self) -> dict[str, Float]:
        return {name: getattr(self, name) for name in SCORER_PARTS}


def fit_scorer(
    features: Features, *, machine_made: NDArray[np.bool_], weights: Float, seed: int = 0
) -> Scorer:
    """features: float32 [examples, features]. weights: float32 [examples], any scale. Deterministic."""
    low, centre, high = np.percentile(features, (25, 50, 75), axis=0).astype(np.float32)
    scale = np.maximum(high - low, 1e-3 * np.maximum(np.abs(centre), 1.0)).astype(np.float32)
    inputs = torch.from_numpy(np.clip((features - centre) / scale, -CLIP, CLIP))
    targets = torch.from_numpy(machine_made.astype(np.float32))
    share = torch.from_numpy(weights / weights.mean())
    generator = torch.Generator().manual_seed(seed)
    count = inputs.shape[1]
    first = torch.randn(MEMBERS, count + 1, SIZE, generator=generator) / np.sqrt(count + 1)
    last = torch.randn(MEMBERS, SIZE + 1, generator=generator) / SIZE
    first.requires_grad_(True)
    last.requires_grad_(True)
    optimiser = torch.optim.AdamW((first, last), lr=0.01, weight_decay=WEIGHT_DECAY)
    # Each member trains on its own random half: their disagreement averages out what one of them memorised.
    half = (torch.rand(MEMBERS, len(inputs), generator=generator) < 0.5).float() * share
    for _ in range(STEPS):
        noisy = inputs + 0.15 * torch.randn(inputs.shape, generator=generator)
        hidden = torch.tanh(torch.einsum("nf,mfh->mnh", noisy, first[:, :-1]) + first[:, None, -1])
        odds = torch.einsum("mnh,mh->mn", hidden, last[:, :-1]) + last[:, -1:]
        loss = nn.functional.binary_cross_entropy_with_logits(
            odds, targets.expand_as(odds), weight=half, reduction="none"
        )
        total = loss.mean(dim=1).sum() + 1e-2 * (first[:, :-1].square().mean((1, 2)).sum() * count)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    return Scorer(centre, scale, first.detach().numpy(), last.detach().numpy())
