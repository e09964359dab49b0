"""One run of CloneBench, from folders to results."""

from __future__ import annotations

import platform
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.clonebench.journal import Journal, identity
from bench.clonebench.measure import Answer, system_numbers
from bench.clonebench.plan import Job, Query, Rendered, draw, jobs, render
from bench.clonebench.recordings import RATE_HZ, Recording, find, probe_all, read
from bench.clonebench.systems import System, build
from bench.conditions import Condition
from soundalike.errors import SettingsError

RENDERERS: Final = 2
JOBS_IN_FLIGHT: Final = 4
"""Rendered but not yet asked: 4 × 30 MB."""


@dataclass(frozen=True, slots=True)
class Settings:
    catalog: Path
    distractors: Path
    conditions: Sequence[Condition]
    queries: int
    negatives: int
    """Distractor queries a condition."""
    seed: int
    query_s: float
    systems: Sequence[str]
    model: str | None = None


def run(
    settings: Settings, *, console: Console, out: Path, ready: dict[str, System] | None = None
) -> dict[str, Any]:
    """The document that becomes results.json. `ready` replaces systems by name (tests).

    Answers that lie in `out` from a run like this one are not asked for again.
    """
    started = time.monotonic()
    progress = Progress(
        TextColumn("{task.description:24s}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    systems, missing = _systems(settings, ready)
    with progress:
        catalog, left_out = _probe(settings.catalog, progress, "read catalog")
        distractors, more = _probe(settings.distractors, progress, "read distractors")
        _must_differ(catalog, distractors)
        shared = {"conditions": settings.conditions, "query_s": settings.query_s, "seed": settings.seed}
        asked = [
            *draw(catalog, others=distractors, count=settings.queries, in_catalog=True, **shared),  # type: ignore[arg-type]
            *draw(distractors, others=distractors, count=settings.negatives, in_catalog=False, **shared),  # type: ignore[arg-type]
        ]
        with closing(Journal(out)) as journal:
            by = {name: identity(system, catalog) for name, system in systems.items()}
            left = {name: _unanswered(settings, asked, by[name], journal) for name in systems}
            waiting = {name: system for name, system in systems.items() if left[name]}
            _add(waiting, catalog, by, journal, progress)
            work = {
                query: [
                    c.name
                    for c in settings.conditions
                    if any((query, c.name) in each for each in left.values())
                ]
                for query in asked
            }
            task = progress.add_task("ask", total=sum(map(len, work.values())))
            for rendered in _rendered(list(jobs(work, query_s=settings.query_s))):
                for name, system in waiting.items():
                    if (rendered.query, rendered.condition_name) in left[name]:
                        journal.write(by[name], rendered.query, settings.query_s, _ask(system, rendered))
                progress.advance(task)
            answers = {name: _answers(settings, asked, by[name], journal) for name in systems}
            seconds = {name: journal.catalog_s(by[name]) or 0.0 for name in systems}
    audio_s = sum(recording.duration_s for recording in catalog)
    return {
        "run": {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.monotonic() - started, 1),
            "python": platform.python_version(),
            "machine": platform.machine(),
            "catalog_tracks": len(catalog),
            "catalog_hours": round(audio_s / 3600, 3),
            "distractor_tracks": len(distractors),
            "queries": settings.queries,
            "negatives_a_condition": settings.negatives,
            "query_s": settings.query_s,
            "seed": settings.seed,
            "conditions": [condition.name for condition in settings.conditions],
            "left_out": {**left_out, **more},
        },
        "systems": {
            name: {
                "version": systems[name].version,
                "catalog_audio_s_per_s": round(audio_s / max(seconds[name], 1e-9), 1),
                **system_numbers(answers[name]),
            }
            if name in systems
            else {"missing": missing[name]}
            for name in settings.systems
        },
    }


Question = tuple[Query, str]
"""A query and the name of a condition."""


def _unanswered(settings: Settings, asked: Sequence[Query], by: str, journal: Journal) -> set[Question]:
    return {
        (query, condition.name)
        for query in asked
        for condition in settings.conditions
        if journal.answer(by, query, condition.name, settings.query_s) is None
    }


def _answers(settings: Settings, asked: Sequence[Query], by: str, journal: Journal) -> list[Answer]:
    found = [
        journal.answer(by, query, condition.name, settings.query_s)
        for query in asked
        for condition in settings.conditions
    ]
    return [answer for answer in found if answer is not None]


def _add(
    systems: dict[str, System],
    catalog: Sequence[Recording],
    by: dict[str, str],
    journal: Journal,
    progress: Progress,
) -> None:
    """The whole catalog to every system that still has something to answer."""
    if not systems:
        return
    seconds = dict.fromkeys(systems, 0.0)
    for recording in progress.track(catalog, description="add to every system"):
        samples = read(recording.path)
        for name, system in systems.items():
            before = time.perf_counter()
            system.add(recording.track_id, samples, RATE_HZ)
            seconds[name] += time.perf_counter() - before
    for name, spent in seconds.items():
        journal.write_catalog_s(by[name], spent)


def _systems(settings: Settings, ready: dict[str, System] | None) -> tuple[dict[str, System], dict[str, str]]:
    systems: dict[str, System] = {}
    missing: dict[str, str] = {}
    for name in settings.systems:
        if ready is not None and name in ready:
            systems[name] = ready[name]
            continue
        try:
            systems[name] = build(name, model=settings.model)
        except SettingsError as error:
            missing[name] = str(error)
    if not systems:
        raise SettingsError("no system to measure: " + "; ".join(missing.values()))
    return systems, missing


def _probe(folder: Path, progress: Progress, description: str) -> tuple[list[Recording], dict[str, str]]:
    paths = find(folder)
    recordings, left_out = probe_all(progress.track(paths, description=description), folder=folder)
    if not recordings:
        raise SettingsError(f"{folder} holds no recording that can be decoded ({len(paths)} files tried)")
    return recordings, left_out


def _must_differ(catalog: Iterable[Recording], distractors: Iterable[Recording]) -> None:
    known = {recording.sha256: recording for recording in catalog}
    both = [f"{row.path} = {known[row.sha256].path}" for row in distractors if row.sha256 in known]
    if both:
        raise SettingsError(
            f"{len(both)} recordings are in the catalog and among the distractors, so that a right answer "
            f"would count as a false positive: {'; '.join(both[:3])}"
        )


def _rendered(work: Sequence[Job]) -> Iterator[Rendered]:
    """Renderings in the order of the work, made by two processes a few jobs ahead."""
    # Spawned, not forked: torch's threads and a fork do not go together.
    with ProcessPoolExecutor(RENDERERS, mp_context=get_context("spawn")) as pool:
        waiting: deque[Future[list[Rendered]]] = deque()
        left = iter(work)
        for job in left:
            waiting.append(pool.submit(render, job))
            if len(waiting) >= JOBS_IN_FLIGHT:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _ask(system: System, rendered: Rendered) -> Answer:
    before = time.perf_counter()
    hits = system.query(rendered.samples, RATE_HZ)
    query = rendered.query
    return Answer(
        condition=rendered.condition,
        track_id=query.recording.track_id if query.in_catalog else None,
        excerpt_start_s=rendered.excerpt_start_s,
        top=max(hits, key=lambda hit: hit.score) if hits else None,
        seconds=time.perf_counter() - before,
    )
