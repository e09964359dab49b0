"""How the second ear learns: folds that never share a maker, a network, a scorer for each sign, one joint.

    table = measure_examples(excerpts)             # once: features and pictures
    odds = out_of_fold(table)                      # every excerpt heard by a model that knows no kin of it
    detector = fit(table, odds)                    # final weights, calibrated on `odds`

A fold holds out whole packages of human music and whole families of generators at once. The numbers that come
out of it are those of music and machines never met.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.ai.calibration import Calibration, calibrate, group_weights
from classifiers.ai.detector import RESIDUE, SIGNS, Detector
from classifiers.ai.examples import Excerpt
from classifiers.ai.ground import LEAST_BAND_HZ, LEAST_LOUDNESS_DB, fit_familiarity
from classifiers.ai.listening import LEAST_LOOK_S, SEGMENT_S, listen
from classifiers.ai.network import ResidueNetwork, picture
from classifiers.ai.scorer import Scorer, fit_scorer

Float = NDArray[np.float32]
Flags = NDArray[np.bool_]

LOOKS_S: Final = (LEAST_LOOK_S + 0.1, SEGMENT_S)
"""Every excerpt is measured at both lengths: long recordings are heard in short looks."""
PICTURE_FRAMES: Final = 196
CROP_FRAMES: Final = 64
PICTURE_STEPS: Final = 40
"""Pictures are kept as int8, this many steps a unit: 0.2 dB."""
BATCH: Final = 48
STEPS: Final = 420
RATE: Final = 2e-3
SMOOTHING: Final = 0.03
"""Of the labels: the public corpora may hold a wrong one, and surety is not wanted."""
FOLDS: Final = (
    frozenset({"suno", "ufoai-music", "xmoto-data", "pushover-data"}),
    frozenset(
        {
            *("minimax", "muse", "stable-audio", "unagan", "noise2music"),
            *("0ad-data", "krank", "planetblupi-music-ogg"),
        }
    ),
    frozenset(
        {
            *("ace-step", "yue", "musicgen", "msanii", "wavenet"),
            *("wesnoth-1.16-music", "blobwars-data", "extremetuxracer-data", "fretsonfire-songs-muldjord"),
            *("frozen-bubble-data", "lincity-ng-data", "scorched3d-data"),
        }
    ),
)
"""Families and packages that are held out together. Groups that stand in no fold are always trained on."""


@dataclass(frozen=True, slots=True)
class Table:
    """Measured excerpts. rows: two for each excerpt (both LOOKS_S); pictures: one for each excerpt.

    features: by sign, float32 [rows, features]. excerpt: int64 [rows], the picture of each row.
    pictures: int8 [excerpts, 2, PICTURE_FRAMES, bins]. groups, kinds, tracks, codecs: str [excerpts].
    """

    features: dict[str, Float]
    excerpt: NDArray[np.int64]
    pictures: NDArray[np.int8]
    groups: NDArray[np.str_]
    kinds: NDArray[np.str_]
    tracks: NDArray[np.str_]
    codecs: NDArray[np.str_]

    @property
    def machine_made(self) -> Flags:
        return np.isin(self.kinds, ("machine", "proxy"))


def measure_examples(excerpts: list[Excerpt]) -> Table:
    """Features and pictures of what can be heard at all (`classifiers.ai.ground`)."""
    rows: dict[str, list[Float]] = {sign.name: [] for sign in SIGNS}
    owner: list[int] = []
    kept: list[Excerpt] = []
    pictures: list[NDArray[np.int8]] = []
    for excerpt in excerpts:
        looks = [listen(excerpt.audio, look_s=look_s) for look_s in LOOKS_S]
        whole = looks[-1]
        if whole.loudness_db[0] < LEAST_LOUDNESS_DB or whole.band_limit_hz < LEAST_BAND_HZ:
            continue
        for listening in looks:
            for sign in SIGNS:
                rows[sign.name].append(sign.measure(listening)[0])
            owner.append(len(kept))
        pictures.append(np.round(picture(whole)[0][:, :PICTURE_FRAMES] * PICTURE_STEPS).astype(np.int8))
        kept.append(excerpt)
    return Table(
        features={name: np.array(values, dtype=np.float32) for name, values in rows.items()},
        excerpt=np.array(owner),
        pictures=np.array(pictures),
        groups=np.array([excerpt.source.group for excerpt in kept]),
        kinds=np.array([excerpt.source.kind for excerpt in kept]),
        tracks=np.array([excerpt.source.path for excerpt in kept]),
        codecs=np.array([excerpt.codec or "none" for excerpt in kept]),
    )


def train_network(table: Table, *, members: Flags, seed: int = 0, steps: int = STEPS) -> ResidueNetwork:
    """On the excerpts that `members` marks, float bool [excerpts]. Deterministic by seed on one thread."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = ResidueNetwork().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=RATE, total_steps=steps, pct_start=0.15)
    chosen = np.flatnonzero(members)
    weights = group_weights(table.groups[chosen], machine_made=table.machine_made[chosen])
    share = weights / weights.sum()
    network.train()
    for _ in range(steps):
        batch = random.choice(chosen, size=BATCH, p=share)
        pictures = torch.from_numpy(_crops(table.pictures, batch, random)).to(
            memory_format=torch.channels_last
        )
        targets = torch.from_numpy(table.machine_made[batch].astype(np.float32))
        with torch.autocast("cpu", torch.bfloat16):
            odds = network(pictures)
        loss = nn.functional.binary_cross_entropy_with_logits(
            odds.float(), targets * (1 - 2 * SMOOTHING) + SMOOTHING
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def _crops(pictures: NDArray[np.int8], batch: NDArray[np.int64], random: np.random.Generator) -> Float:
    """float32 [batch, 2, CROP_FRAMES, bins], from random moments, moved and cut at random in frequency."""
    out = np.empty((len(batch), 2, CROP_FRAMES, pictures.shape[3]), dtype=np.float32)
    for index, which in enumerate(batch):
        start = int(random.integers(pictures.shape[2] - CROP_FRAMES + 1))
        crop = pictures[which, :, start : start + CROP_FRAMES].astype(np.float32) / PICTURE_STEPS
        shift = int(random.integers(-12, 13))
        crop = np.roll(crop, shift, axis=2)
        if random.random() < 0.3:  # another place for the cut of a codec
            crop[..., int(random.integers(350, pictures.shape[3])) :] = 0.0
        if random.random() < 0.25:
            crop[1] = 0.0  # mono
        out[index] = crop * np.float32(random.uniform(0.85, 1.15))
    return out


@torch.inference_mode()
def network_odds(network: ResidueNetwork, table: Table, *, members: Flags) -> Float:
    """float32 [excerpts], zero where `members` is False."""
    odds = np.zeros(len(table.groups), dtype=np.float32)
    chosen = np.flatnonzero(members)
    for first in range(0, len(chosen), BATCH):
        part = chosen[first : first + BATCH]
        pictures = torch.from_numpy(table.pictures[part].astype(np.float32) / PICTURE_STEPS)
        with torch.autocast("cpu", torch.bfloat16):
            odds[part] = network(pictures.to(memory_format=torch.channels_last)).float().numpy()
    return odds


def fit_scorers(table: Table, *, members: Flags, seed: int = 0) -> dict[str, Scorer]:
    rows = members[table.excerpt]
    machine = table.machine_made[table.excerpt]
    weights = group_weights(table.groups[table.excerpt][rows], machine_made=machine[rows]).astype(np.float32)
    return {
        name: fit_scorer(values[rows], machine_made=machine[rows], weights=weights, seed=seed)
        for name, values in table.features.items()
    }


def held_out(table: Table) -> list[Flags]:
    """For each fold, the excerpts it holds out; the synthetic sounds are dealt round by track."""
    flags = [np.isin(table.groups, sorted(fold)) for fold in FOLDS]
    synthetic = np.flatnonzero(table.kinds == "synthetic")
    for index, which in enumerate(synthetic):
        flags[index % len(FOLDS)][which] = True
    return flags


def out_of_fold(
    table: Table, *, train: Callable[[Table, Flags], ResidueNetwork]
) -> tuple[dict[str, Float], Flags]:
    """Log odds of every sign by models that know nothing of the group, float32 [rows]; which rows count.

    train: trains the network of a fold on the excerpts marked (`train_network`, or a cache of it).
    """
    names = [*table.features, RESIDUE]
    odds = {name: np.zeros(len(table.excerpt), dtype=np.float32) for name in names}
    scored = np.zeros(len(table.excerpt), dtype=bool)
    for out in held_out(table):
        rows = out[table.excerpt]
        for name, scorer in fit_scorers(table, members=~out).items():
            odds[name][rows] = scorer(table.features[name][rows])
        network = train(table, ~out)
        heard = np.clip(network_odds(network, table, members=out), -6.0, 6.0)
        odds[RESIDUE][rows] = heard[table.excerpt][rows]
        scored |= rows
    return odds, scored


def join_signs(
    odds: dict[str, Float], *, machine_made: Flags, weights: NDArray[np.float64], penalty: float = 0.02
) -> tuple[dict[str, float], float]:
    """Weights (none negative) and offset of the joint log odds, by weighted logistic regression."""
    names = list(odds)
    inputs = torch.from_numpy(np.stack([odds[name] for name in names], axis=1).astype(np.float64))
    targets = torch.from_numpy(machine_made.astype(np.float64))
    share = torch.from_numpy(weights / weights.sum())
    raw = torch.full((len(names),), 0.3, dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS((raw, offset), max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        joined = inputs @ raw.square() + offset
        fit = (
            share * nn.functional.binary_cross_entropy_with_logits(joined, targets, reduction="none")
        ).sum()
        total = fit + penalty * raw.square().square().sum()
        total.backward()
        return total

    optimiser.step(loss)  # type: ignore[arg-type]  # torch's stub asks for float
    found = raw.detach().square().numpy()
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}, float(offset)


def fit(table: Table, odds: dict[str, Float], scored: Flags, *, network: ResidueNetwork) -> Detector:
    """The final detector: signs and network from everything, the joint and both calibrations from `odds`."""
    machine = table.machine_made[table.excerpt]
    groups = table.groups[table.excerpt]
    real = scored & (table.kinds[table.excerpt] != "proxy")
    weights = group_weights(groups[real], machine_made=machine[real])
    joint, offset = join_signs(
        {name: values[real] for name, values in odds.items()}, machine_made=machine[real], weights=weights
    )
    everything = np.ones(len(table.groups), dtype=bool)
    scorers = fit_scorers(table, members=everything)
    standardised = np.concatenate(
        [scorers[name].standardise(table.features[name]) for name in sorted(scorers)], axis=1
    )
    score = sum(weight * odds[name] for name, weight in joint.items()) + np.float32(offset)
    return Detector(
        network=network,
        scorers=scorers,
        weights=joint,
        offset=offset,
        familiarity=fit_familiarity(standardised, weights=np.ones(len(standardised))),
        short=_calibration(table, np.asarray(score), real, by_track=False),
        long=_calibration(table, np.asarray(score), real, by_track=True),
    )


def _calibration(table: Table, score: Float, real: Flags, *, by_track: bool) -> Calibration:
    """Of single looks, or of tracks: the mean over all their excerpts."""
    machine = table.machine_made[table.excerpt]
    groups = table.groups[table.excerpt]
    if not by_track:
        return calibrate(score[real].astype(np.float64), machine_made=machine[real], groups=groups[real])
    tracks = table.tracks[table.excerpt]
    _, first, inverse, counts = np.unique(
        tracks[real], return_index=True, return_inverse=True, return_counts=True
    )
    means = np.bincount(inverse, weights=score[real]) / counts
    long = counts >= 4  # two excerpts, both lengths: less is no long recording
    return calibrate(means[long], machine_made=machine[real][first][long], groups=groups[real][first][long])
