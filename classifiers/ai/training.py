"""How the second ear learns: folds that never share a maker, a scorer for each sign, one joint.

    table = measure_sources(sources, cache=folder).with_wholes(measure_wholes(recordings, cache=folder))
    odds, scored = out_of_fold(table)              # each excerpt heard by a model that knows no kin of it
    detector = fit(table, odds, scored)            # final scorers, joint and calibration from `odds`

A fold holds out whole packages of human music and whole families of generators at once. The numbers that come
out of it are those of music and machines never met.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from classifiers.ai.calibration import Calibration, calibrate, group_weights
from classifiers.ai.detector import (
    DECADES,
    LEANING,
    MOST_DECADES,
    MOST_SHORT_DECADES,
    SIGNS,
    TOGETHER,
    Detector,
    with_together,
)
from classifiers.ai.examples import CLEAN, PANEL, Source, render
from classifiers.ai.ground import LEAST_BAND_HZ, LEAST_LOUDNESS_DB, fit_familiarity
from classifiers.ai.listening import listen
from classifiers.ai.scorer import Scorer
from classifiers.ai.scorer_training import fit_scorer
from classifiers.ai.sign_repeats import counted, worth
from classifiers.ai.whole import SHORT_S, Numbers, Wholes

Float = NDArray[np.float32]
Flags = NDArray[np.bool_]

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
EDITION: Final = (2, tuple((sign.name, sign.features) for sign in SIGNS))
"""Of the kept numbers: raise the first when looks are rendered or signs measured otherwise."""


@dataclass(frozen=True, slots=True)
class Table:
    """Measured looks.

    features: by sign, float32 [looks, features]. groups, kinds, tracks: str [looks]. conditions, codecs: as
    in `classifiers.ai.examples.Excerpt`, "none" for no codec. places: int64 [looks], which of the recording.
    decades, repeats: float64 [looks], the stride of the whole recording in that condition and how its strokes
    come back; short_decades, short_repeats: of ten seconds of it. NaN where not measured.
    """

    features: dict[str, Float]
    groups: NDArray[np.str_]
    kinds: NDArray[np.str_]
    tracks: NDArray[np.str_]
    conditions: NDArray[np.str_]
    codecs: NDArray[np.str_]
    places: NDArray[np.int64]
    decades: NDArray[np.float64]
    repeats: NDArray[np.float64]
    short_decades: NDArray[np.float64]
    short_repeats: NDArray[np.float64]

    @property
    def machine_made(self) -> Flags:
        return np.isin(self.kinds, ("machine", "proxy"))

    def with_wholes(self, wholes: Wholes) -> Table:
        """Chains were not measured so: there all of it is unknown, but for the stride of human music, which
        counts as it was published.
        """
        keys = list(zip(self.tracks.tolist(), self.conditions.tolist(), strict=True))
        strides = wholes.strides
        clean = [
            np.nan if made else strides.get((track, CLEAN), np.nan)
            for made, (track, _) in zip(self.machine_made, keys, strict=True)
        ]

        def known(numbers: Numbers) -> NDArray[np.float64]:
            return np.array([numbers.get(key, np.nan) for key in keys])

        return replace(
            self,
            decades=np.array([strides.get(key, other) for key, other in zip(keys, clean, strict=True)]),
            repeats=counted(known(wholes.repeats)),
            short_decades=known(wholes.short_strides),
            short_repeats=counted(known(wholes.short_repeats)),
        )


def measure_sources(sources: list[Source], *, cache: Path, workers: int = 1) -> Table:
    """Features of what can be heard at all (`classifiers.ai.ground`); what lies in `cache` is not made again.

    Kept are the numbers, not the samples: seven thousand looks are 200 MB instead of 6 GB.
    """
    cache.mkdir(parents=True, exist_ok=True)
    files = [cache / f"{zlib.crc32(repr((source, EDITION)).encode()):08x}.npz" for source in sources]
    missing = [(source, file) for source, file in zip(sources, files, strict=True) if not file.exists()]
    if missing:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_measure_into, *zip(*missing, strict=True), chunksize=2))
    parts = []
    for file in files:
        with np.load(file) as arrays:
            parts.append({name: arrays[name] for name in arrays.files})
    counts = [len(part["codecs"]) for part in parts]
    return Table(
        features={sign.name: np.concatenate([part[sign.name] for part in parts]) for sign in SIGNS},
        groups=np.repeat([source.group for source in sources], counts),
        kinds=np.repeat([source.kind for source in sources], counts),
        tracks=np.repeat([source.path for source in sources], counts),
        conditions=np.concatenate([part["conditions"] for part in parts]),
        codecs=np.concatenate([part["codecs"] for part in parts]),
        places=np.concatenate([part["places"] for part in parts]),
        decades=np.full(sum(counts), np.nan),
        repeats=np.full(sum(counts), np.nan),
        short_decades=np.full(sum(counts), np.nan),
        short_repeats=np.full(sum(counts), np.nan),
    )


def _measure_into(source: Source, file: Path) -> None:
    rows: dict[str, list[Float]] = {sign.name: [] for sign in SIGNS}
    conditions, codecs, places = [], [], []
    for excerpt in render(source):
        listening = listen(excerpt.audio, look_s=excerpt.look_s)
        if listening.loudness_db[0] < LEAST_LOUDNESS_DB or listening.band_limit_hz < LEAST_BAND_HZ:
            continue
        conditions.append(excerpt.condition)
        codecs.append(excerpt.codec or "none")
        places.append(excerpt.place)
        for sign in SIGNS:
            rows[sign.name].append(sign.measure(listening)[0])
    arrays: dict[str, NDArray[np.generic]] = {
        sign.name: np.array(rows[sign.name], dtype=np.float32).reshape(-1, len(sign.features))
        for sign in SIGNS
    }
    partial = file.with_suffix(".part.npz")
    np.savez(
        partial,
        **arrays,  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags
        conditions=np.array(conditions, dtype=str),
        codecs=np.array(codecs, dtype=str),
        places=np.array(places, dtype=np.int64),
    )
    partial.rename(file)


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


def nested(table: Table, odds: dict[str, Float], scored: Flags) -> tuple[NDArray[Any], NDArray[Any]]:
    """The score of each look by weights that were fitted without its fold as well, float64 [looks].

    By what was learnt, and with what the repeats add. Without the offset: what it is worth beside another
    fold's nobody knows.
    """
    real = scored & (table.kinds != "proxy")
    score, heard = np.zeros(len(table.groups)), np.zeros(len(table.groups))
    for out in held_out(table):
        others = real & ~out
        machine = table.machine_made[others]
        weights, _ = join_signs(
            {name: values[others] for name, values in odds.items()},
            machine_made=machine,
            weights=group_weights(table.groups[others], machine_made=machine),
        )
        learnt = np.asarray(sum(weight * odds[name] for name, weight in weights.items()))
        score[out] = learnt[out]
        heard[out] = with_repeats(table, learnt, weigh_repeats(table, learnt, others))[out]
    return score, heard


def fit(
    table: Table, odds: dict[str, Float], scored: Flags, *, stride: Calibration | None = None
) -> Detector:
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
    score = np.asarray(sum(weight * odds[name] for name, weight in joint.items()) + np.float32(offset))
    repeats = weigh_repeats(table, score, real)
    heard = with_repeats(table, score, repeats)
    alone = _calibration(table, heard, real, by_track=True)
    decade = _odds_a_decade(table, heard, real, threshold=alone.threshold)
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
        short=_calibration(
            table,
            score + worth(SHORT_S) * _returning(table.short_repeats, repeats),
            real,
            by_track=False,
            decade=decade,
        ),
        long=_calibration(table, heard, real, by_track=True, decade=decade),
        stride=stride,
        decade=decade,
        repeats=repeats,
    )


def weigh_repeats(table: Table, score: NDArray[Any], members: Flags) -> tuple[float, float] | None:
    """Slope and middle of what the repeats add to the score; None where none were measured.

    The line ``slope * (middle - value)`` comes out of one logistic regression on score and value of
    recordings in each condition, so it adds nothing at the value that speaks for neither side. Two numbers.
    """
    known = members & np.isfinite(table.repeats)
    if not known.any():
        return None
    cells = np.char.add(np.char.add(table.tracks[known], " "), table.conditions[known])
    _, first, inverse, counts = np.unique(cells, return_index=True, return_inverse=True, return_counts=True)
    learnt = np.bincount(inverse, weights=score[known]) / counts
    machine = table.machine_made[known][first]
    weights, offset = join_signs(
        {"learnt": learnt.astype(np.float32), "repeats": -table.repeats[known][first].astype(np.float32)},
        machine_made=machine,
        weights=group_weights(table.groups[known][first], machine_made=machine),
        penalty=0.0,
    )
    if weights["repeats"] <= 0 or weights["learnt"] <= 0:
        return None
    return round(weights["repeats"] / weights["learnt"], 4), round(offset / weights["repeats"], 4)


def with_repeats(
    table: Table, score: NDArray[Any], repeats: tuple[float, float] | None
) -> NDArray[np.float64]:
    """The score of each look with what the repeats of its recording add; nothing where none were measured."""
    return np.asarray(score + _returning(table.repeats, repeats))


def _returning(values: NDArray[np.float64], repeats: tuple[float, float] | None) -> NDArray[np.float64]:
    if repeats is None:
        return np.zeros(values.shape)
    slope, middle = repeats
    return np.asarray(np.nan_to_num(slope * (middle - values)))


def _odds_a_decade(table: Table, score: NDArray[Any], real: Flags, *, threshold: float) -> float:
    """What a decade of the stride adds to the score: all that LEANING allows, if any recording shows one.

    threshold: of accusing by what was learnt alone. A decade of chance is worth 2.3 (its natural logarithm);
    LEANING allows a tenth of that, so nothing is fitted. By regression it got half of it, and found less.
    Where no threshold can be had nobody is accused; the score still ranks by the stride, as if the threshold
    were the highest human recording.
    """
    members = real & (table.conditions == CLEAN) & np.isfinite(table.decades)
    machine = table.machine_made[members]
    if not (table.decades[members][machine] >= DECADES).any():
        return 0.0
    human = members & ~table.machine_made
    _, inverse, counts = np.unique(table.tracks[human], return_inverse=True, return_counts=True)
    learnt = np.bincount(inverse, weights=score[human]) / counts
    highest = threshold if np.isfinite(threshold) else float(learnt.max())
    allowed = (highest - float(np.quantile(learnt, 1 - LEANING))) / MOST_DECADES
    return round(float(np.clip(allowed, 0.0, np.log(10.0))), 4)


def _line(odds: Float, *, machine_made: Flags, weights: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and offset of one sign alone, by the same regression as the joint."""
    slope, offset = join_signs({"": odds}, machine_made=machine_made, weights=weights)
    return slope[""], round(offset, 4)


def with_decades(table: Table, score: NDArray[Any], decade: float) -> NDArray[np.float64]:
    """The score of each look with what the stride of its recording adds; NaN where it was not measured."""
    return np.asarray(score + decade * np.minimum(table.decades, MOST_DECADES))


def _calibration(
    table: Table, score: NDArray[Any], real: Flags, *, by_track: bool, decade: float = 0.0
) -> Calibration:
    """Of single looks, or of recordings: the mean over the places of the panel; and the stride.

    A human recording counts once, with the codec in which it scores *highest*: whoever is accused through one
    of them is accused. Machine-made ones count in every codec, for the share that is found.
    """
    panel = real & np.isin(table.conditions, (CLEAN, *PANEL))
    if by_track and decade > 0:
        score = with_decades(table, score, decade)
        panel &= np.isfinite(score)
    elif decade > 0:
        score = score + decade * np.minimum(np.nan_to_num(table.short_decades), MOST_SHORT_DECADES)
    units = table.tracks if by_track else np.char.add(table.tracks, table.places.astype(str))
    scores, machine, groups = _by_unit(table, score, panel, units)
    if not by_track:
        alone = real & ~panel
        scores = np.concatenate((scores, score[alone]))
        machine = np.concatenate((machine, table.machine_made[alone]))
        groups = np.concatenate((groups, table.groups[alone]))
    return calibrate(scores, machine_made=machine, groups=groups)


def _by_unit(
    table: Table, score: NDArray[Any], members: Flags, units: NDArray[np.str_]
) -> tuple[NDArray[np.float64], Flags, NDArray[np.str_]]:
    """Means of each unit in each condition; of human ones the highest of them. Scores, classes, groups."""
    cells = np.char.add(np.char.add(units[members], " "), table.conditions[members])
    _, first, inverse, counts = np.unique(cells, return_index=True, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, weights=score[members]) / counts
    machine = table.machine_made[members][first]
    groups = table.groups[members][first]
    unit = units[members][first]
    _, first_human, of_unit = np.unique(unit[~machine], return_index=True, return_inverse=True)
    highest = np.full(first_human.size, -np.inf)
    np.maximum.at(highest, of_unit, means[~machine])
    return (
        np.concatenate((highest, means[machine])),
        np.arange(highest.size + int(machine.sum())) >= highest.size,
        np.concatenate((groups[~machine][first_human], groups[machine])),
    )
