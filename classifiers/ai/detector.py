"""Listen to a recording and say how likely a machine made it, with what ground, where and by which signs.

    >>> assessment = load_detector().assess(audio)
    >>> assessment.known, assessment.probability, assessment.low, assessment.high
    (True, 0.07, 0.03, 0.14)

The weights lie in `classifiers/weights/detector`; `python -m classifiers.train_detector` makes them, and the
model card beside them says what was measured.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from classifiers.ai import stride_along
from classifiers.ai.calibration import ACCUSING, CAUTIOUS, Calibration
from classifiers.ai.ground import LEAST_LOUDNESS_DB, STRANGE_SHARE, Familiarity, no_ground
from classifiers.ai.listening import Listening, listen
from classifiers.ai.mixed import MACHINE_AT_LEAST, MIXED, Segment, layers, parts
from classifiers.ai.scorer import ENVELOPE, SCORER_PARTS, Scorer
from classifiers.ai.sign_comb import Comb
from classifiers.ai.sign_grain import Grain
from classifiers.ai.sign_repeats import Repeats, Repetition, counted
from classifiers.ai.sign_stride import Found, Stride
from classifiers.ai.sign_texture import Texture
from classifiers.ai.sign_timing import Timing
from classifiers.ai.signs import Features, Sign
from classifiers.ai.stride_along import Along
from classifiers.audio import Audio
from soundalike.errors import ModelError

SHIPPED_WEIGHTS: Final = Path(__file__).parent.parent / "weights" / "detector"
NAME: Final = "soundalike-second-ear"
SIGNS: Final[tuple[Sign, ...]] = (Comb(), Grain(), Texture(), Timing())
"""Every sign whose numbers are judged by what was learnt; which of them count is learnt too."""
STRIDE: Final = Stride()
"""The sign that needs no learning: chance is its measure. It is measured once on the whole recording."""
REPEATS: Final = Repeats()
"""Learnt nothing either; what its one number is worth beside the score are two numbers."""
DECADES: Final = 10.0
"""Its strength is read in decades of chance over this, so that `calibration.SCORES` spans all of it."""
LEANING: Final = 0.25
"""The stride adds no more than takes a recording over the threshold that the rest puts among the highest of
this share of human ones: what the rest finds more human than three quarters of human music is not accused by
it. Codecs of an earlier life leave lattices, too: one of 163 unheard recordings has one through MP3."""
MOST_DECADES: Final = 10.0
"""More of them add nothing to the score: chance is out of the question already, and what else swells at one
rate (console and tracker music, on its grid of ticks) has as many."""
MOST_SHORT_DECADES: Final = 8.0
"""The same in a recording under LONG_LOOKS. Of clips of ten seconds one human one in 227 shows a stride and
one generated one in two, a logarithm of odds of 5; less than that is added, for in a few seconds notes are as
exact as a decoder's rate."""
TOGETHER: Final = "together"
"""The scorer that sees the numbers of all signs at once: what none of them shows alone."""
LONG_LOOKS: Final = 4
"""From this many looks on the calibration of long recordings holds, and somebody may be accused: in less a
human loop has shown tones as exact as a decoder's."""
NO_STRIDE: Final = "not acted on: a score alone accuses nobody, and no exact tones at one rate were found"
TOO_SHORT_TO_ACCUSE: Final = "not acted on: less than 20 s of sound accuse nobody"
OUTWEIGHED: Final = "not acted on: exact tones at one rate were found, but the rest speaks for people"
BY_HALF: Final = 0.5
"""Of what the repeats of the whole add counts in a segment: a part that does not repeat is not told by it."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SignReading:
    """One sign over the whole recording. value: its calibrated log odds; probability: by this sign alone."""

    name: str
    value: float
    probability: float
    detail: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the second ear says. `known` False: probability, low and high are None, and `reason` says why.

    reason: also why nobody acts on it though score or stride would; else empty.
    signs: what speaks the loudest first, for either side.
    segments: (start_s, end_s, probability), silent ones left out: of silence nothing is known.
    score: joined log odds before calibration, and what repeats and stride add to them.
    false_positive_rate: conformal share of human recordings that score so high in their worst codec.
    """

    probability: float | None
    low: float | None
    high: float | None
    known: bool
    segments: tuple[Segment, ...] = ()
    signs: tuple[SignReading, ...] = ()
    reason: str = ""
    score: float | None = None
    false_positive_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """All that was measured on one recording. features: by sign, float32 [looks, features]."""

    listening: Listening
    features: dict[str, Features]


@dataclass(frozen=True, slots=True)
class _Whole:
    """What is known of the recording as a whole; None where nothing is."""

    learnt: float
    """Joined log odds of the signs that were learnt."""
    stride: Found | None
    adds: float
    """What the stride adds to the score."""
    returning: float | None
    """What the repeats add to it, below nothing for people."""
    spacings_hz: Float
    """Of the lattice in each segment, float32 [segments], 0 where there is none."""


class Detector:
    """A trained second ear. Holds no state between recordings; one instance may serve many threads.

    lines: slope and offset from the odds of each sign to calibrated ones, for people to read.
    long: of recordings of LONG_LOOKS looks and more, by their score. stride: by its own decades alone.
    decade: what each of them adds to the score. repeats: slope and middle of what the repeats add to it,
    ``slope * (middle - value)``, times their worth in a clip.
    """

    def __init__(
        self,
        *,
        scorers: dict[str, Scorer],
        weights: dict[str, float],
        offset: float,
        lines: dict[str, tuple[float, float]],
        familiarity: Familiarity,
        short: Calibration,
        long: Calibration,
        stride: Calibration | None = None,
        decade: float = 0.0,
        repeats: tuple[float, float] | None = None,
    ) -> None:
        self.name = NAME
        self._scorers = scorers
        self.weights = weights
        self._offset = offset
        self._lines = lines
        self._familiarity = familiarity
        self.short, self.long, self.stride, self.decade = short, long, stride, decade
        self.repeats = repeats
        self.sha256 = _digest(self._arrays(), self._document())

    def assess(self, audio: Audio) -> Assessment:
        """`audio` at any rate and length. Deterministic; never raises for what it hears."""
        duration_s = audio.duration_s
        if audio.samples.size == 0:
            return _unknown("empty: no samples")
        listening = listen(audio)
        sounding = listening.loudness_db >= LEAST_LOUDNESS_DB
        long = bool(sounding.sum() >= LONG_LOOKS)
        with ThreadPoolExecutor(2) as cores:
            minute = cores.submit(self._hear_minute, listening)  # beside what needs the short-time spectrum
            reason = no_ground(listening, duration_s=duration_s)
            if reason is not None:
                return _unknown(reason)
            heard = measure(listening)
            stride, again = minute.result()
            along = self._along(listening, stride, long=long, cores=cores)
        odds = self.sign_odds(heard)
        returning = self._returning(again) if again is not None else None
        joined = self.join(odds)
        distances = self._familiarity.distance(self.standardised(heard))
        if (distances[sounding] > self._familiarity.limit).mean() >= STRANGE_SHARE:
            detail = f"{np.median(distances[sounding]) / self._familiarity.limit:.1f} times the usual limit"
            return _unknown(f"unlike anything that was calibrated on ({detail})")
        learnt = float(joined[sounding].mean())
        most = MOST_DECADES if long else MOST_SHORT_DECADES
        adds = self.decade * min(stride.decades, most) if stride is not None else 0.0
        score = learnt + adds + (returning or 0.0)
        reading = (self.long if long else self.short).read(score)
        held_back = ""
        if long and self._stands(stride):
            held_back = OUTWEIGHED if reading.low < ACCUSING else ""
        elif reading.low > CAUTIOUS:
            reading = replace(reading, low=CAUTIOUS)
            held_back = NO_STRIDE if long else TOO_SHORT_TO_ACCUSE
        scores = with_neighbours(joined, sounding) + self.decade * along.decades
        scores += (BY_HALF if long else 1.0) * (returning or 0.0)
        segments = tuple(
            (*edges_s, self.short.read(float(one)).probability)
            for edges_s, one, heard_it in zip(listening.edges_s, scores, sounding, strict=True)
            if heard_it
        )
        whole = _Whole(learnt, stride, adds, returning, along.spacings_hz[sounding])
        return Assessment(
            probability=reading.probability,
            low=reading.low,
            high=reading.high,
            known=True,
            segments=segments,
            signs=self._readings(heard, odds, sounding, segments, whole),
            reason=held_back,
            score=score,
            false_positive_rate=reading.false_positive_rate,
        )

    def _hear_minute(self, listening: Listening) -> tuple[Found | None, Repetition | None]:
        """What learnt nothing, of the middle minute; None of what does not count."""
        stride = STRIDE.find(listening) if self.stride is not None else None
        return stride, REPEATS.find(listening) if self.repeats is not None else None

    def _along(self, listening: Listening, stride: Found | None, *, long: bool, cores: Executor) -> Along:
        """Where the stride is: of the whole, or of a part."""
        if stride is None:
            return Along.nowhere(listening.looks)
        if stride.strength > 0 or not long:
            there = STRIDE.present(listening)
            return Along(
                (min(stride.decades, MOST_SHORT_DECADES) * there).astype(np.float32),
                (stride.spacing_hz * there).astype(np.float32),
            )
        return stride_along.find(listening, cores=cores)

    def _stands(self, stride: Found | None) -> bool:
        """Whether the stride is there beyond chance.

        What was learnt accuses nobody by itself: a package of music unlike all others is enough to fool it.
        """
        return (
            stride is not None
            and self.stride is not None
            and stride.strength / DECADES >= self.stride.threshold
        )

    def _returning(self, found: Repetition) -> float | None:
        """See _Whole."""
        if self.repeats is None or np.isnan(found.value):
            return None
        slope, middle = self.repeats
        return found.worth * slope * (middle - float(counted(np.array(found.value))))

    def sign_odds(self, heard: Heard) -> dict[str, Float]:
        """Log odds of each sign, float32 [looks]."""
        features = with_together(heard.features)
        return {name: scorer(features[name]) for name, scorer in self._scorers.items()}

    def join(self, odds: dict[str, Float]) -> Float:
        total = sum(weight * odds[name] for name, weight in self.weights.items())
        return np.asarray(total + np.float32(self._offset), dtype=np.float32)

    def standardised(self, heard: Heard) -> Features:
        return self._scorers[TOGETHER].standardise(with_together(heard.features)[TOGETHER])

    def _readings(
        self,
        heard: Heard,
        odds: dict[str, Float],
        sounding: NDArray[np.bool_],
        segments: tuple[Segment, ...],
        whole: _Whole,
    ) -> tuple[SignReading, ...]:
        places = {sign.name: f"{sign.describes}. {sign.place(heard.listening)}".strip() for sign in SIGNS}
        places[TOGETHER] = "the numbers of all signs at once, for what none of them shows alone."
        readings = []
        stride, returning = whole.stride, whole.returning
        if stride is not None and self.stride is not None and self._stands(stride):
            certain = self.stride.read(stride.strength / DECADES).probability
            value = float(np.clip(np.log(certain / max(1 - certain, 1e-6)), -ENVELOPE, ENVELOPE))
            detail = f"{STRIDE.describes}. {STRIDE.place(heard.listening)}"
            readings.append(SignReading(STRIDE.name, value, certain, detail))
        elif stride is not None and stride.blurs:
            value = float(np.clip(whole.adds, 0.0, ENVELOPE))
            detail = STRIDE.place(heard.listening)
            readings.append(SignReading(STRIDE.name, value, 1 / (1 + float(np.exp(-value))), detail))
        if returning is not None:
            value = float(np.clip(returning, -ENVELOPE, ENVELOPE))
            detail = f"{REPEATS.describes}. {REPEATS.place(heard.listening)}"
            readings.append(SignReading(REPEATS.name, value, 1 / (1 + float(np.exp(-value))), detail))
        for name in (name for name, weight in self.weights.items() if weight > 0):
            slope, offset = self._lines[name]
            value = slope * float(odds[name][sounding].mean()) + offset
            at_s = segments[int(odds[name][sounding].argmax())][:2]
            detail = f"{places[name]} Strongest at {at_s[0]:.0f}–{at_s[1]:.0f} s."
            readings.append(SignReading(name, value, 1 / (1 + float(np.exp(-value))), detail))
        readings.sort(key=lambda reading: -abs(reading.value))
        mixed = self._mixed(segments, whole)
        return (*readings, mixed) if mixed is not None else tuple(readings)

    def _mixed(self, segments: tuple[Segment, ...], whole: _Whole) -> SignReading | None:
        """Its value is the share of the segments that sound machine-made."""
        detail = parts(segments, whole.spacings_hz)
        if detail is None and self._stands(whole.stride):
            detail = layers(learnt=whole.learnt, returning=whole.returning or 0.0)
        if detail is None:
            return None
        share = float(np.mean([probability >= MACHINE_AT_LEAST for _, _, probability in segments]))
        return SignReading(MIXED, share, share, detail)

    # On disk

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._arrays(), folder / "model.safetensors")
        text = json.dumps(self._document(), indent=1, sort_keys=True)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {}
        for name, scorer in self._scorers.items():
            arrays |= {f"scorer.{name}.{key}": value for key, value in scorer.to_arrays().items()}
        arrays["familiarity.mean"] = self._familiarity.mean
        arrays["familiarity.whitening"] = self._familiarity.whitening
        return {key: np.ascontiguousarray(value) for key, value in arrays.items()}

    def _document(self) -> dict[str, Any]:
        return {
            "model_type": NAME,
            "signs": {sign.name: list(sign.features) for sign in SIGNS if sign.name in self._scorers},
            "weights": self.weights,
            "offset": self._offset,
            "lines": {name: list(line) for name, line in self._lines.items()},
            "familiarity_limit": self._familiarity.limit,
            "short": self.short.to_document(),
            "long": self.long.to_document(),
            "decade": self.decade,
            "repeats": self.repeats and list(self.repeats),
        } | ({"stride": self.stride.to_document()} if self.stride is not None else {})


def with_neighbours(odds: Float, sounding: NDArray[np.bool_]) -> Float:
    """Of each look the mean of its odds and those of the looks beside it that sound, float32 [looks]."""
    weights, total = (
        around[:-2] + around[1:-1] + around[2:]
        for around in (np.pad(sounding.astype(np.float32), 1), np.pad(odds * sounding, 1))
    )
    return np.where(weights > 0, total / np.maximum(weights, 1), odds).astype(np.float32)


def with_together(features: dict[str, Features]) -> dict[str, Features]:
    """The features of each sign, and beside them those of all, in the order of SIGNS."""
    return features | {TOGETHER: np.concatenate([features[sign.name] for sign in SIGNS], axis=1)}


def measure(listening: Listening) -> Heard:
    """Everything that a decision rests on, before any of it is judged."""
    return Heard(listening, {sign.name: sign.measure(listening) for sign in SIGNS})


def load_detector(folder: Path | None = None) -> Detector:
    """From a folder that `Detector.save` wrote; None: the shipped weights. ModelError if they don't fit."""
    folder = folder or SHIPPED_WEIGHTS
    try:
        document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        arrays = load_file(folder / "model.safetensors")
        return _from_parts(document, arrays)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"can't load the second ear from {folder}: {error}; "
            "train it with python -m classifiers.train_detector, or reinstall the package"
        ) from error


def _from_parts(document: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Detector:
    if document.get("model_type") != NAME:
        raise ValueError(f"model_type is {document.get('model_type')!r}, not {NAME!r}")
    now = {sign.name: list(sign.features) for sign in SIGNS}
    if any(now.get(name) != features for name, features in document["signs"].items()):
        raise ValueError("it was trained on other features than this program measures")
    return Detector(
        scorers={
            name: Scorer(**{part: arrays[f"scorer.{name}.{part}"] for part in SCORER_PARTS})
            for name in (*document["signs"], TOGETHER)
        },
        weights={name: float(weight) for name, weight in document["weights"].items()},
        offset=float(document["offset"]),
        lines={name: (float(slope), float(offset)) for name, (slope, offset) in document["lines"].items()},
        familiarity=Familiarity(
            arrays["familiarity.mean"], arrays["familiarity.whitening"], float(document["familiarity_limit"])
        ),
        short=Calibration.from_document(document["short"]),
        long=Calibration.from_document(document["long"]),
        stride=Calibration.from_document(document["stride"]) if "stride" in document else None,
        decade=float(document["decade"]),
        repeats=_pair(document["repeats"]),
    )


def _pair(numbers: list[float] | None) -> tuple[float, float] | None:
    if numbers is None:
        return None
    slope, middle = (float(number) for number in numbers)
    return slope, middle


def _digest(arrays: dict[str, NDArray[Any]], document: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for key in sorted(arrays):
        digest.update(key.encode())
        digest.update(arrays[key].tobytes())
    return digest.hexdigest()


def _unknown(reason: str) -> Assessment:
    return Assessment(None, None, None, False, reason=reason)
