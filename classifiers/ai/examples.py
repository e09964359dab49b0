"""The examples that the second ear learns from: whose they are, and how they were rendered.

A `Source` is one recording with the group that it may never be split from: a package for human music, a
family of generators for machine-made. Rendering cuts excerpts, sends each through its own chain
(`classifiers.ai.degrade`) and keeps the samples as int16, so that signs can be tried without decoding again.
"""

from __future__ import annotations

import csv
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from classifiers.ai.degrade import apply_chain, draw_chain
from classifiers.ai.synthetic import RECIPES
from classifiers.audio import Audio
from soundalike.errors import NotAudio

EXCERPT_S: Final = 6.5
"""One segment of 5 s survives a speed-up of 1.12 with room for a random start."""
EXCERPTS_PER_TRACK: Final = {"human": 5, "machine": 9, "proxy": 2, "synthetic": 1}
"""Machine-made tracks are half as many: about as many excerpts of each class."""
TAIL_S: Final = 2.0
"""Fade-outs at the end of a recording are left out."""

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
    """One rendered excerpt; `codec` is the last one it went through, None for none."""

    source: Source
    samples: NDArray[np.int16]
    sample_rate_hz: int
    codec: str | None
    band_limit_hz: float | None

    @property
    def audio(self) -> Audio:
        return Audio(self.samples.astype(np.float32) / 32768.0, self.sample_rate_hz)


def human_sources(tracks_csv: Path) -> list[Source]:
    """From the table that bench.corpora writes; paths relative to its folder."""
    with tracks_csv.open(newline="", encoding="utf-8") as file:
        return [
            Source(str(tracks_csv.parent / row["path"]), "human", row["package"], row["split"])
            for row in csv.DictReader(file)
        ]


def machine_sources(manifest_csv: Path) -> list[Source]:
    """From a table with the columns file and generator; files beside it."""
    with manifest_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        Source(str(manifest_csv.parent / row["file"]), "machine", family_of(row["generator"]), "train")
        for row in rows
    ]


def folder_sources(folder: Path, *, kind: str, group: str) -> list[Source]:
    """All files under a folder, as one group."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Source(str(path), kind, group, "train") for path in files]


def synthetic_sources(count: int) -> list[Source]:
    """`count` sounds of the recipes in turn; the path is a seed."""
    names = sorted(RECIPES)
    return [
        Source(f"synthetic:{names[index % len(names)]}:{index}", "synthetic", "synthetic", "train")
        for index in range(count)
    ]


def family_of(generator: str) -> str:
    """Raises KeyError for a generator that no family is known for: a guess would leak between folds."""
    for beginning, family in FAMILIES.items():
        if generator.startswith(beginning):
            return family
    raise KeyError(f"no family is known for the generator {generator!r}: add it to FAMILIES")


def render(source: Source, *, excerpts: int, seed: int = 0) -> list[Excerpt]:
    """Excerpts from random places, each through its own chain. Deterministic by source and seed."""
    random = np.random.default_rng([seed, zlib.crc32(Path(source.path).name.encode())])
    rendered = []
    for audio in _cuts(source, excerpts=excerpts, random=random):
        chain = draw_chain(random)
        out = apply_chain(audio, chain)
        samples = np.round(np.clip(out.samples, -1.0, 1.0) * 32767).astype(np.int16)
        rendered.append(Excerpt(source, samples, out.sample_rate_hz, chain.last_codec, chain.band_limit_hz))
    return rendered


def _cuts(source: Source, *, excerpts: int, random: Generator) -> list[Audio]:
    if source.kind == "synthetic":
        recipe = RECIPES[source.path.split(":")[1]]
        return [recipe(duration_s=EXCERPT_S, random=random) for _ in range(excerpts)]
    whole = read_audio(Path(source.path))
    length = round(EXCERPT_S * whole.sample_rate_hz)
    last = max(whole.samples.shape[1] - length - round(TAIL_S * whole.sample_rate_hz), 0)
    starts = (random.random(excerpts) + np.arange(excerpts)) / excerpts * last
    cuts = [whole.samples[:, int(start) : int(start) + length] for start in starts]
    return [Audio(cut, whole.sample_rate_hz) for cut in cuts if np.abs(cut).max() > 1e-3]


def read_audio(path: Path) -> Audio:
    """The first two channels of a file of the corpora (trusted: uploads go through pipeline.decode)."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:  # old tags are Latin-1
            stream = container.streams.audio[0]
            layout = "mono" if stream.channels == 1 else "stereo"
            resampler = av.AudioResampler(format="fltp", layout=layout)
            pieces = [
                np.asarray(part.to_ndarray(), dtype=np.float32)
                for frame in container.decode(stream)
                for part in resampler.resample(frame)
            ]
            return Audio(np.concatenate(pieces, axis=1), int(stream.rate))
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise NotAudio(f"{path.name}: can't be decoded for training: {error}") from error


def read_middle(path: Path, *, length_s: float) -> Audio:
    """`length_s` from the middle of a file of the corpora, by seeking; all of a shorter one."""
    try:
        with av.open(str(path), metadata_errors="replace") as container:  # old tags are Latin-1
            stream = container.streams.audio[0]
            layout = "mono" if stream.channels == 1 else "stereo"
            resampler = av.AudioResampler(format="fltp", layout=layout)
            rate_hz = int(stream.rate)
            duration_s = float(container.duration or 0) / av.time_base
            if duration_s > length_s + SEEK_FROM_S:
                container.seek(int((duration_s - length_s) / 2 * av.time_base))
            pieces: list[NDArray[np.float32]] = []
            count = 0
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    pieces.append(np.asarray(part.to_ndarray(), dtype=np.float32))
                    count += pieces[-1].shape[1]
                if count > length_s * rate_hz:
                    break
            samples = np.concatenate(pieces, axis=1)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise NotAudio(f"{path.name}: can't be decoded for training: {error}") from error
    length = min(round(length_s * rate_hz), samples.shape[1])
    first = (samples.shape[1] - length) // 2
    return Audio(samples[:, first : first + length], rate_hz)


def render_all(sources: list[Source], *, cache: Path, workers: int = 1) -> list[Excerpt]:
    """Rendered excerpts of all sources; what lies in `cache` is not rendered again."""
    cache.mkdir(parents=True, exist_ok=True)
    missing = [source for source in sources if not _cached(source, cache).exists()]
    if missing:
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_render_into, missing, [cache] * len(missing), chunksize=4))
    return [excerpt for source in sources for excerpt in _load(source, cache)]


def _cached(source: Source, cache: Path) -> Path:
    return cache / f"{zlib.crc32(source.path.encode()):08x}.npz"


def _render_into(source: Source, cache: Path) -> None:
    excerpts = render(source, excerpts=EXCERPTS_PER_TRACK[source.kind])
    arrays = {}
    for index, excerpt in enumerate(excerpts):
        arrays[f"{index}.samples"] = excerpt.samples
        facts = (excerpt.sample_rate_hz, excerpt.codec or "", excerpt.band_limit_hz or 0.0)
        arrays[f"{index}.facts"] = np.array([str(fact) for fact in facts])
    path = _cached(source, cache)
    partial = path.with_suffix(".part.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own flags
    partial.rename(path)


def _load(source: Source, cache: Path) -> list[Excerpt]:
    excerpts = []
    with np.load(_cached(source, cache)) as arrays:
        for index in range(len(arrays.files) // 2):
            rate, codec, band_limit = (str(fact) for fact in arrays[f"{index}.facts"])
            excerpts.append(
                Excerpt(
                    source, arrays[f"{index}.samples"], int(rate), codec or None, float(band_limit) or None
                )
            )
    return excerpts
