"""How the second ear learns: folds that never share a maker, a scorer for each sign, one joint.

    table = measure_examples(excerpts)             # once
    odds, scored = out_of_fold(table)              # each excerpt heard by a model that knows no kin of it
    detector = fit(table, odds, scored)            # final scorers, joint and calibration from `odds`

A fold holds out whole packages of human music and whole families of generators at once. The numbers that come
out of it are those of music and machines never met.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.ai.calibration import Calibration, calibrate, group_weights
from classifiers.ai.detector import SIGNS, TOGETHER, Detector, with_together
from classifiers.ai.examples import Excerpt
from classifiers.ai.ground import LEAST_BAND_HZ, LEAST_LOUDNESS_DB, fit_familiarity
from classifiers.ai.listening import LEAST_LOOK_S, SEGMENT_S, listen
from classifiers.ai.scorer import Scorer
from classifiers.ai.scorer_training import fit_scorer

Float = NDArray[np.float32]
Flags = NDArray[np.bool_]

LOOKS_S: Final = (LEAST_LOOK_S + 0.1, SEGMENT_S)
"""Excerpts are measured at one and the other in turn: long recordings are heard in short looks."""
FOLDS: Final = (
    frozenset(
        {
            *("suno", "musicgen", "muse"),
            *("ufoai-music", "pushover-data", "extremetuxracer-data", "frozen-bubble-data"),
        }
    ),
    frozenset({"minimax", "unagan", "wavenet", "0ad-data", "xmoto-data", "fretsonfire-songs-muldjord"}),
    frozenset(
        {
            *("ace-step", "yue", "stable-audio"),
            *("wesnoth-1.16-music", "planetblupi-music-ogg", "lincity-ng-data"),
        }
    ),
    frozenset({"noise2music", "msanii", "blobwars-data", "krank", "scorched3d-data"}),
)
"""Families and packages that are held out together. Groups that stand in no fold are always trained on."""


@dataclass(frozen=True, slots=True)
class Table:
    """Measured excerpts.

    features: by sign, float32 [excerpts, features]. groups, kinds, tracks, codecs: str [excerpts].
    """

    features: dict[str, Float]
    groups: NDArray[np.str_]
    kinds: NDArray[np.str_]
    tracks: NDArray[np.str_]
    codecs: NDArray[np.str_]

    @property
    def machine_made(self) -> Flags:
        return np.isin(self.kinds, ("machine", "proxy"))


def measure_examples(excerpts: list[Excerpt], *, workers: int = 1) -> Table:
    """Features of what can be heard at all (`classifiers.ai.ground`)."""
    look_s = [LOOKS_S[index % len(LOOKS_S)] for index in range(len(excerpts))]
    with ProcessPoolExecutor(workers) as pool:
        measured = list(pool.map(_measure, excerpts, look_s, chunksize=16))
    kept = [excerpt for excerpt, rows in zip(excerpts, measured, strict=True) if rows is not None]
    rows = [rows for rows in measured if rows is not None]
    return Table(
        features={name: np.stack([row[name] for row in rows]) for name in rows[0]},
        groups=np.array([excerpt.source.group for excerpt in kept]),
        kinds=np.array([excerpt.source.kind for excerpt in kept]),
        tracks=np.array([excerpt.source.path for excerpt in kept]),
        codecs=np.array([excerpt.codec or "none" for excerpt in kept]),
    )


def _measure(excerpt: Excerpt, look_s: float) -> dict[str, Float] | None:
    listening = listen(excerpt.audio, look_s=look_s)
    if listening.loudness_db[0] < LEAST_LOUDNESS_DB or listening.band_limit_hz < LEAST_BAND_HZ:
        return None
    return {sign.name: sign.measure(listening)[0] for sign in SIGNS}


def fit_scorers(table: Table, *, members: Flags, seed: int = 0) -> dict[str, Scorer]:
    """On the excerpts that `members` marks, bool [excerpts]."""
    machine = table.machine_made[members]
    weights = group_weights(table.groups[members], machine_made=machine).astype(np.float32)
    return {
        name: fit_scorer(
            values[members],
            machine_made=machine,
            weights=weights,
            seed=seed,
        )
        for name, values in with_together(table.features).items()
    }


def held_out(table: Table) -> list[Flags]:
    """For each fold, the excerpts it holds out; the synthetic sounds are dealt round by track."""
    flags = [np.isin(table.groups, sorted(fold)) for fold in FOLDS]
    synthetic = np.flatnonzero(table.kinds == "synthetic")
    for index, which in enumerate(synthetic):
        flags[index % len(FOLDS)][which] = True
    return flags


def out_of_fold(table: Table) -> tuple[dict[str, Float], Flags]:
    """Log odds of every sign by models that know nothing of the group, float32 [excerpts]; which count."""
    features = with_together(table.features)
    odds = {name: np.zeros(len(table.groups), dtype=np.float32) for name in features}
    scored = np.zeros(len(table.groups), dtype=bool)
    for out in held_out(table):
        for name, scorer in fit_scorers(table, members=~out).items():
            odds[name][out] = scorer(features[name][out])
        scored |= out
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
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found = raw.detach().square().numpy()
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}, float(
        offset.detach()
    )


def fit(table: Table, odds: dict[str, Float], scored: Flags) -> Detector:
    """The final detector: scorers from everything, the joint and both calibrations from `odds`."""
    machine, groups = table.machine_made, table.groups
    real = scored & (table.kinds != "proxy")
    weights = group_weights(groups[real], machine_made=machine[real])
    joint, offset = join_signs(
        {name: values[real] for name, values in odds.items()}, machine_made=machine[real], weights=weights
    )
    everything = np.ones(len(table.groups), dtype=bool)
    scorers = fit_scorers(table, members=everything)
    standardised = scorers[TOGETHER].standardise(with_together(table.features)[TOGETHER])
    score = sum(weight * odds[name] for name, weight in joint.items()) + np.float32(offset)
    lines = {
        name: _line(values[real], machine_made=machine[real], weights=weights)
        for name, values in odds.items()
    }
    return Detector(
        scorers=scorers,
        lines=lines,
        weights=joint,
        offset=offset,
        familiarity=fit_familiarity(standardised, weights=np.ones(len(standardised))),
        short=_calibration(table, np.asarray(score), real, by_track=False),
        long=_calibration(table, np.asarray(score), real, by_track=True),
    )


def _line(odds: Float, *, machine_made: Flags, weights: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of one sign alone, by the same regression as the joint."""
    slope, offset = join_signs({"": odds}, machine_made=machine_made, weights=weights)
    return slope[""], round(offset, 4)


def _calibration(table: Table, score: Float, real: Flags, *, by_track: bool) -> Calibration:
    """Of single looks, or of tracks: the mean over all their excerpts."""
    machine, groups = table.machine_made, table.groups
    if not by_track:
        return calibrate(score[real].astype(np.float64), machine_made=machine[real], groups=groups[real])
    _, first, inverse, counts = np.unique(
        table.tracks[real], return_index=True, return_inverse=True, return_counts=True
    )
    means = np.bincount(inverse, weights=score[real]) / counts
    long = counts >= 2  # a single excerpt is no long recording
    return calibrate(means[long], machine_made=machine[real][first][long], groups=groups[real][first][long])
