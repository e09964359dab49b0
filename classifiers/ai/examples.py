"""The examples that the second ear learns from: whose they are, and how they were rendered.

A `Source` is one recording with the group that it may never be split from: a package for human music, a
family of generators for machine-made. Three kinds of looks are cut from it:

* the *panel*: the same places of a recording as they are and through each of `PANEL`, so that its score in
  one codec can be compared with its score in another;
* *chains*: other places, each through a chain drawn at random (`classifiers.ai.degrade`);
* for every fourth human recording *slowed*: drawn out under a long reverb, as ambient music is.

Both classes have been published in each other's codecs before: human music here is Vorbis, machine-made MP3.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from classifiers.ai.degrade import (
    CODECS,
    PUBLISHED_IN,
    Chain,
    apply_chain,
    draw_chain,
    draw_history,
    republish,
    resample,
)
from classifiers.ai.synthetic import RECIPES, add_reverb
from classifiers.audio import Audio
from soundalike.errors import NotAudio, SettingsError

PANEL: Final = ("mp3-64k", "mp3-128k", "opus-48k", "aac-128k")
"""Low rates, where codecs smooth the most, and what most uploads come in."""
CLEAN: Final = "clean"
PLACES: Final = {"human": (0.15, 0.5, 0.85), "machine": (0.1, 0.35, 0.6, 0.85)}
"""Of the panel, in shares of the recording."""
CHAINS: Final = {"human": 2, "machine": 3, "synthetic": 1}
LOOK_S: Final = 3.3
CHAIN_S: Final = 3.8
"""A look of LOOK_S survives a speed-up of 1.12."""
SHORT_LOOK_S: Final = 1.7
"""Every other chain is looked at so short: that is what three minutes are heard in."""
MARGIN: Final = 0.04
"""Of each place of the panel, left out at its beginning, where a codec meets the joint."""
SLOWED_EVERY: Final = 1
SLOWED_S: Final = 9.0
TAIL_S: Final = 2.0
"""Fade-outs at the end of a recording are left out."""
SILENT: Final = 1e-3
"""Peak of a place that is left out."""

SEEK_FROM_S: Final = 20.0
"""Recordings that are hardly longer than what is wanted are read from their beginning."""

FAMILIES: Final = {
    "ACE-Step": "ace-step",
    "MiniMax": "minimax",
    "MusicGen": "musicgen",
    "Msanii": "msanii",
    "Muse": "muse",
    "Noise2Music": "noise2music",
    "Stable Audio": "stable-audio",
    "Suno": "suno",
    "UNAGAN": "unagan",
    "WaveNet": "wavenet",
    "YuE": "yue",
}
"""Generator as the manifest writes it (its beginning) to family: all versions of one maker are one family."""


@dataclass(frozen=True, slots=True)
class Source:
    """One recording. kind: human, machine, proxy or synthetic. group: what must stay in one fold."""

    path: str
    kind: str
    group: str
    split: str

    @property
    def machine_made(self) -> bool:
        return self.kind in ("machine", "proxy")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """One look at a recording. condition: CLEAN, a name of PANEL, "vorbis", "chain" or "slowed".

    codec: the last one it went through, None for none. place: which of the recording's, by number.
    """

    audio: Audio
    look_s: float
    condition: str
    codec: str | None
    place: int = 0


def human_sources(tracks_csv: Path) -> list[Source]:
    """From the table that bench.corpora writes; paths relative to its folder. Raises SettingsError."""
    return [
        Source(str(tracks_csv.parent / row["path"]), "human", row["package"], row["split"])
        for row in _rows(tracks_csv, columns=("path", "package", "split"))
    ]


def machine_sources(manifest_csv: Path) -> list[Source]:
    """From a table with the columns file and generator; files beside it. Raises SettingsError."""
    return [
        Source(str(manifest_csv.parent / row["file"]), "machine", family_of(row["generator"]), "train")
        for row in _rows(manifest_csv, columns=("file", "generator"))
    ]


def _rows(table: Path, *, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"can't read the table {table}: {error}") from error
    for number, row in enumerate(rows, start=2):
        if missing := [column for column in columns if row.get(column) is None]:
            raise SettingsError(f"{table}, line {number}: no {', '.join(missing)}")
    return rows


def folder_sources(folder: Path, *, kind: str, group: str) -> list[Source]:
    """All files under a folder, as one group."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Source(str(path), kind, group, "train") for path in files]


def synthetic_sources(count: int) -> list[Source]:
    """`count` sounds: pads one half, the other recipes in turn the rest; the path is a seed."""
    others = sorted(set(RECIPES) - {"pad"})
    names = [name for other in others for name in (other, "pad")]
    return [
        Source(f"synthetic:{names[index % len(names)]}:{index}", "synthetic", "synthetic", "train")
        for index in range(count)
    ]


def family_of(generator: str) -> str:
    """Raises SettingsError for a generator that no family is known for: a guess would leak between folds."""
    for beginning, family in FAMILIES.items():
        if generator.startswith(beginning):
            return family
    raise SettingsError(f"no family is known for the generator {generator!r}: add it to FAMILIES")


def render(source: Source) -> list[Excerpt]:
    """All looks of one recording. Deterministic by its file's name."""
    random = _random(source, seed=11)
    if source.kind == "synthetic":
        return list(_chains(source, random))
    excerpts = [*_panel(source, random), *_chains(source, random)]
    if source.kind == "human" and zlib.crc32(Path(source.path).name.encode()) % SLOWED_EVERY == 0:
        excerpts += _slowed(source, _random(source, seed=13))
    return excerpts


def _random(source: Source, *, seed: int) -> Generator:
    return np.random.default_rng([seed, zlib.crc32(Path(source.path).name.encode())])


def _panel(source: Source, random: Generator) -> Iterator[Excerpt]:
    """The same places through every codec. Machine-made ones go through Vorbis before the low rates."""
    places = [_cut(source, place, CHAIN_S - 0.2) for place in PLACES[source.kind]]
    heard = [place for place in places if np.abs(place.samples).max(initial=0.0) > SILENT] or places[:1]
    length = min(place.samples.shape[1] for place in heard)
    rate_hz = heard[0].sample_rate_hz
    joined = Audio(
        np.ascontiguousarray(np.concatenate([place.samples[:, :length] for place in heard], axis=1)), rate_hz
    )
    versions = {CLEAN: joined}
    if source.kind == "human":
        before = joined
    else:
        before = republish(joined, str(random.choice(PUBLISHED_IN["vorbis"])))
        versions["vorbis"] = before
    for name in PANEL:
        low = name in ("mp3-64k", "opus-48k")
        versions[name] = republish(before if low else joined, name, hurried=True)
    for condition, version in versions.items():
        each = version.samples.shape[1] / len(heard)
        for index in range(len(heard)):
            first = int((index + MARGIN) * each)
            samples = version.samples[:, first : first + round(LOOK_S * version.sample_rate_hz)]
            look = Audio(np.ascontiguousarray(samples), version.sample_rate_hz)
            codec = condition if condition in CODECS else None
            yield Excerpt(look, look.duration_s, condition, codec, place=index)


def _chains(source: Source, random: Generator) -> Iterator[Excerpt]:
    count = CHAINS[source.kind]
    for index in range(count):
        if source.kind == "synthetic":
            audio = RECIPES[source.path.split(":")[1]](duration_s=CHAIN_S, random=random)
        else:
            audio = _cut(source, (index + random.random()) / count, CHAIN_S)
            if np.abs(audio.samples).max(initial=0.0) <= SILENT:
                continue
            vorbis = source.kind == "human" and source.path.endswith((".ogg", ".oga"))
            audio = republish(audio, *draw_history(vorbis=vorbis, random=random), hurried=True)
        chain = draw_chain(random)
        look_s = (SHORT_LOOK_S, LOOK_S)[index % 2]
        yield _after(audio, chain, look_s=look_s, condition="chain")


def _slowed(source: Source, random: Generator) -> Iterator[Excerpt]:
    """Down to six tenths of its speed, mostly reverb, half of it published once more, then a chain."""
    audio = read_middle(Path(source.path), length_s=SLOWED_S)
    if np.abs(audio.samples).max(initial=0.0) < SILENT:
        return
    samples, rate_hz = audio.samples[:2], audio.sample_rate_hz
    speed = float(random.uniform(0.6, 1.0))
    if speed < 0.97:
        samples = resample(samples, rate_hz=rate_hz * speed, to_hz=rate_hz)
    wet = add_reverb(
        samples.astype(np.float64),
        rate_hz=rate_hz,
        wet=float(random.uniform(0.4, 0.95)),
        decay_s=float(random.uniform(1.5, 3.0)),
        random=random,
    )
    wet = wet[:, round(2.0 * rate_hz) :][:, : 6 * rate_hz]
    heard = Audio((0.5 * wet / max(float(np.abs(wet).max()), 1e-9)).astype(np.float32), rate_hz)
    if random.random() < 0.5:
        heard = republish(heard, str(random.choice(PUBLISHED_IN["other"])), hurried=True)
    chain = draw_chain(random)
    yield _after(heard, chain, look_s=LOOK_S, condition="slowed")


def _after(audio: Audio, chain: Chain, *, look_s: float, condition: str) -> Excerpt:
    return Excerpt(apply_chain(audio, chain, hurried=True), look_s, condition, chain.last_codec)


def _cut(source: Source, place: float, length_s: float) -> Audio:
    """From `place`, a share of the recording without its tail; the first two channels."""
    path = Path(source.path)
    start_s = place * max(_duration_s(path) - length_s - TAIL_S, 0.0)
    return _read(path, start_s=start_s, length_s=length_s)


def _duration_s(path: Path) -> float:
    """By the container's own word."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return float(container.duration or 0) / av.time_base
    except av.error.FFmpegError as error:
        raise NotAudio(f"{path.name}: can't be decoded for training: {error}") from error


def read_middle(path: Path, *, length_s: float) -> Audio:
    """`length_s` from the middle of a file of the corpora, by seeking; all of a shorter one."""
    duration_s = _duration_s(path)
    if duration_s > length_s + SEEK_FROM_S:
        audio = _read(path, start_s=(duration_s - length_s) / 2, length_s=length_s)
    else:
        audio = _read(path, start_s=0.0, length_s=length_s + SEEK_FROM_S)
    length = min(round(length_s * audio.sample_rate_hz), audio.samples.shape[1])
    first = (audio.samples.shape[1] - length) // 2
    return Audio(audio.samples[:, first : first + length], audio.sample_rate_hz)


def read_audio(path: Path) -> Audio:
    """The first two channels of a file of the corpora (trusted: uploads go through pipeline.decode)."""
    return _read(path)


def _read(path: Path, *, start_s: float = 0.0, length_s: float = np.inf) -> Audio:
    """A seek may land a little early."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:  # old tags are Latin-1
            stream = container.streams.audio[0]
            layout = "mono" if stream.channels == 1 else "stereo"
            resampler = av.AudioResampler(format="fltp", layout=layout)
            rate_hz = int(stream.rate)
            if start_s > 0.5:
                container.seek(int(start_s * av.time_base))
            pieces: list[NDArray[np.float32]] = []
            count = 0
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    pieces.append(np.asarray(part.to_ndarray(), dtype=np.float32))
                    count += pieces[-1].shape[1]
                if count >= length_s * rate_hz:
                    break
            samples = np.concatenate(pieces, axis=1)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise NotAudio(f"{path.name}: can't be decoded for training: {error}") from error
    length = min(length_s * rate_hz, samples.shape[1])
    return Audio(samples[:, : round(length)], rate_hz)
