"""The seam between CloneBench and what it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from bench.effects import Samples
from soundalike.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Hit:
    """One claim: the query, from `query_start_s`, plays the track from `reference_start_s`.

    score: larger is surer; comparable between queries of one system, not between systems.
    shift_semitones, tempo_ratio: null for systems that do not say.
    false_positive_rate: what the system itself says of its score, if it does.
    """

    track_id: str
    score: float
    query_start_s: float
    reference_start_s: float
    shift_semitones: float | None = None
    tempo_ratio: float | None = None
    false_positive_rate: float | None = None


class System(Protocol):
    """Add the whole catalog first, then ask. Samples are float32 [channels, samples] within ±1."""

    name: str
    version: str

    def add(self, track_id: str, samples: Samples, rate_hz: int) -> None: ...

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        """Hits, best first; empty when nothing was recognised."""
        ...


def _soundalike(model: str | None) -> System:
    from bench.clonebench.ours import Soundalike  # noqa: PLC0415 - loads torch

    return Soundalike(model)


def _chromaprint(_model: str | None) -> System:
    from bench.clonebench.chromaprint import Chromaprint  # noqa: PLC0415

    return Chromaprint()


def _audfprint(_model: str | None) -> System:
    from bench.clonebench.audfprint import Audfprint  # noqa: PLC0415 - optional package

    return Audfprint()


OURS: Final = "soundalike"
BUILDERS: Final[dict[str, Callable[[str | None], System]]] = {
    OURS: _soundalike,
    "audfprint": _audfprint,
    "chromaprint": _chromaprint,
}
HERE: Final = Path(__file__).parent
SOURCES: Final[dict[str, tuple[Path, ...]]] = {
    OURS: (HERE / "ours.py", HERE.parents[1] / "classifiers", HERE.parents[1] / "index"),
    "audfprint": (HERE / "audfprint.py",),
    "chromaprint": (HERE / "chromaprint.py",),
}
"""Files and folders whose code decides a system's answers, beside its version."""


def build(name: str, *, model: str | None = None) -> System:
    """The named system, empty. SettingsError, saying how to install it, when it is not there."""
    return BUILDERS[name](model)


def known(names: Iterable[str]) -> list[str]:
    """The names, each once; SettingsError for one that nothing answers to."""
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in BUILDERS]
    if unknown:
        raise SettingsError(f"no system is called {', '.join(unknown)}; there are: {', '.join(BUILDERS)}")
    return wanted
