"""Answers already given, one JSON line each, so that an interrupted run goes on where it stopped.

A run over thousands of queries takes hours. An answer counts only for exactly the system, catalog,
excerpt, condition and source code that it was given with: any change asks again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import clonebench, conditions, effects
from bench.clonebench.measure import Answer
from bench.clonebench.plan import Query
from bench.clonebench.recordings import Recording
from bench.clonebench.systems import SOURCES, Hit, System
from bench.conditions import CONDITIONS

NAME: Final = "answers.jsonl"
RENDERING: Final = (
    Path(conditions.__file__),
    Path(effects.__file__).parent,
    Path(clonebench.__file__).with_name("plan.py"),
    Path(clonebench.__file__).with_name("recordings.py"),
)
"""The sources that decide what a query sounds like."""


class Journal:
    """The answers in one folder. Lines of other systems, catalogs or sources are kept and not looked at."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._answers: dict[str, Answer] = {}
        self._catalog_s: dict[str, float] = {}
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                self._take(line)
        self._file = self._path.open("a", encoding="utf-8")
        if self._file.tell() > 0:
            self._file.write("\n")  # after a torn line, if there is one

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return  # empty, or torn: the last line of a run that was killed while it wrote
        if "catalog_s" in row:
            self._catalog_s[row["by"]] = row["catalog_s"]
        elif row["condition"] in CONDITIONS:
            top = row["top"]
            self._answers[row["key"]] = Answer(
                condition=CONDITIONS[row["condition"]],
                track_id=row["track_id"],
                excerpt_start_s=row["excerpt_start_s"],
                top=Hit(**top) if top is not None else None,
                seconds=row["seconds"],
            )

    def answer(self, by: str, query: Query, condition: str, query_s: float) -> Answer | None:
        return self._answers.get(_key(by, query, condition, query_s))

    def write(self, by: str, query: Query, query_s: float, answer: Answer) -> None:
        key = _key(by, query, answer.condition.name, query_s)
        self._answers[key] = answer
        row = asdict(answer) | {"key": key, "condition": answer.condition.name}
        self._append(row)

    def catalog_s(self, by: str) -> float | None:
        """Seconds that adding the whole catalog took this system, if it was done before."""
        return self._catalog_s.get(by)

    def write_catalog_s(self, by: str, seconds: float) -> None:
        self._catalog_s[by] = seconds
        self._append({"by": by, "catalog_s": seconds})

    def _append(self, row: dict[str, Any]) -> None:
        self._file.write(json.dumps(row) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def identity(system: System, catalog: Sequence[Recording]) -> str:
    """Of a system with a catalog: its version, the recordings, and every source that decides its answers."""
    digest = hashlib.sha256(f"{system.name} {system.version}".encode())
    for recording in catalog:
        digest.update(f"{recording.track_id} {recording.sha256}".encode())
    for path in _python_files((*RENDERING, *SOURCES.get(system.name, ()))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def _python_files(places: Iterable[Path]) -> list[Path]:
    """Of files themselves, of folders what lies directly in them and does not train."""
    found = [place.glob("*.py") if place.is_dir() else [place] for place in places]
    return sorted(path for paths in found for path in paths if not path.name.startswith("train_"))


def _key(by: str, query: Query, condition: str, query_s: float) -> str:
    drawn = [
        query.in_catalog,
        query.recording.sha256,
        query.other.sha256,
        query.starts_s,
        query.other_start_s,
        query.seed,
        query_s,
    ]
    return hashlib.sha256(json.dumps([by, drawn, condition]).encode()).hexdigest()[:24]
