"""Which queries are asked: drawn once from the seed, the same excerpts for every condition and system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from bench.clonebench.recordings import RATE_HZ, Recording, read
from bench.conditions import CONDITIONS, Condition, Scene
from bench.effects import Samples
from bench.effects.tone import level
from soundalike.errors import SettingsError

CANDIDATE_STARTS: Final = 6
QUIET: Final = 0.003
"""-50 dB below full scale: a quieter excerpt is a pause, and nobody uploads a pause."""
SHORTEST_BED_S: Final = 5.0
"""Other music shorter than a rendering is repeated."""
CONDITIONS_A_JOB: Final = 8
"""Rendered in one go by a worker: 30 MB of samples travel back."""


@dataclass(frozen=True, slots=True)
class Query:
    """One excerpt to be rendered under every condition.

    in_catalog: False for a distractor, where any hit is a false positive.
    starts_s: candidate places in the recording; the first that is loud enough is used.
    """

    number: int
    recording: Recording
    in_catalog: bool
    other: Recording
    starts_s: tuple[float, ...]
    other_start_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Rendered:
    """Travels between processes: the condition goes by its name, since its function can't be pickled."""

    query: Query
    condition_name: str
    excerpt_start_s: float
    samples: Samples

    @property
    def condition(self) -> Condition:
        return CONDITIONS[self.condition_name]


@dataclass(frozen=True, slots=True)
class Job:
    """Work for one process: some conditions of one query."""

    query: Query
    condition_names: tuple[str, ...]
    query_s: float


def draw(
    recordings: Sequence[Recording],
    *,
    others: Sequence[Recording],
    count: int,
    conditions: Sequence[Condition],
    query_s: float,
    seed: int,
    in_catalog: bool,
) -> list[Query]:
    """`count` queries, each track once before any comes twice; SettingsError when no track is long enough."""
    excerpt_s = max(condition.excerpt_s(query_s) for condition in conditions)
    other_s = max(condition.other_s(query_s) for condition in conditions)
    # A tenth of a second of slack: resamplers may keep back some samples at the end.
    sources = [row for row in recordings if row.duration_s >= excerpt_s + 0.1]
    beds = [row for row in others if row.duration_s >= SHORTEST_BED_S]
    kind = "catalog holds" if in_catalog else "distractors hold"
    if not sources or len(beds) < 2:  # one may be the query itself
        raise SettingsError(
            f"the {kind} {len(sources)} recordings of {excerpt_s:.1f} s or more and the distractors "
            f"{len(beds)} of {SHORTEST_BED_S:.0f} s: at least 1 and 2 are needed; "
            "give more recordings, or a shorter --query-seconds"
        )
    random = np.random.default_rng([seed, int(in_catalog)])
    order: list[int] = []
    while len(order) < count:
        order.extend(random.permutation(len(sources)).tolist())
    queries = []
    for number, index in enumerate(order[:count]):
        recording = sources[index]
        choices = [row for row in beds if row.sha256 != recording.sha256]
        other = choices[int(random.integers(len(choices)))]
        queries.append(
            Query(
                number=number,
                recording=recording,
                in_catalog=in_catalog,
                other=other,
                starts_s=tuple(
                    random.uniform(0.0, recording.duration_s - excerpt_s - 0.1, CANDIDATE_STARTS).tolist()
                ),
                other_start_s=float(random.uniform(0.0, max(0.0, other.duration_s - other_s - 0.1))),
                seed=int(random.integers(2**31)),
            )
        )
    return queries


def jobs(work: Mapping[Query, Sequence[str]], *, query_s: float) -> Iterator[Job]:
    """Each query under the conditions of those names, in portions."""
    for query, names in work.items():
        for start in range(0, len(names), CONDITIONS_A_JOB):
            yield Job(
                query=query, condition_names=tuple(names[start : start + CONDITIONS_A_JOB]), query_s=query_s
            )


@lru_cache(maxsize=4)
def _cut(path: Path, start_s: float, duration_s: float) -> Samples:
    return read(path, start_s=start_s, duration_s=duration_s)


def render(job: Job) -> list[Rendered]:
    """All conditions of a job. Runs in a worker process."""
    conditions = [CONDITIONS[name] for name in job.condition_names]
    # The longest need of all conditions, not of this job's: then all jobs of a query share one cut.
    longest_s = max(condition.excerpt_s(job.query_s) for condition in CONDITIONS.values())
    query = job.query
    start_s, source = _loud_cut(
        query, min(longest_s, query.recording.duration_s - max(query.starts_s) - 0.05)
    )
    other_s = max(condition.other_s(job.query_s) for condition in conditions)
    playable_s = min(other_s, query.other.duration_s - query.other_start_s - 0.05)
    other = _cut(query.other.path, query.other_start_s, playable_s)
    if playable_s < other_s:
        other = np.take(other, np.arange(round(other_s * RATE_HZ)), axis=1, mode="wrap")
    out = []
    for condition in conditions:
        length = round(condition.excerpt_s(job.query_s) * RATE_HZ)
        scene = Scene(excerpt=source[:, :length], other=other, rate_hz=RATE_HZ, seed=query.seed)
        out.append(Rendered(query, condition.name, start_s, condition.render(scene)))
    return out


def _loud_cut(query: Query, duration_s: float) -> tuple[float, Samples]:
    loudest: tuple[float, float, Samples] | None = None
    for start_s in query.starts_s:
        samples = _cut(query.recording.path, start_s, duration_s)
        # The first two seconds alone must sound too: some conditions use no more.
        loudness = min(level(samples), level(samples[:, : 2 * RATE_HZ]))
        if loudness >= QUIET:
            return start_s, samples
        if loudest is None or loudness > loudest[0]:
            loudest = (loudness, start_s, samples)
    assert loudest is not None
    return loudest[1], loudest[2]
