"""What a process needs to judge uploads, opened once and shared: both ears and the catalog.

`EquipmentPlan` is the small picklable description that travels inside the DoFns; `equipment_of` turns it into
the heavy objects, once a process. Beam unpickles a copy of every DoFn for every thread, so without this cache
the network and the catalog would be loaded many times over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from classifiers.ai.detector import load_detector
from classifiers.fingerprint import Fingerprinter, load_fingerprinter
from index.catalog import Catalog
from index.matcher import Matcher
from index.past import RecordAt, serving_at
from index.serving import Serving, ServingCatalog
from pipeline.analyse import Equipment, Rights, Snapshot, hear
from pipeline.decode import DecodeLimits
from pipeline.fetch import FetchPolicy
from pipeline.logs import get_logger
from pipeline.metrics import process_metrics
from pipeline.policy import Policy
from soundalike.errors import CatalogDamaged

OpenEquipment = Callable[[], Equipment]
"""Picklable; the same callable (by `==`) is answered with the same equipment."""


@dataclass(frozen=True, slots=True)
class Past:
    """Judge with what could be recognised in a generation, and with what was on record at an instant."""

    generation: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EquipmentPlan:
    """Everything that decides how uploads are judged. Call it to open the equipment.

    catalog_url: SQLAlchemy URL of the catalog's tables; None: SQLite in `data_dir`.
    snapshot: URI that prints which are not in `data_dir` are fetched from.
    embedder: folder or hub id of another model; None: the shipped weights.
    detector: folder of another second ear's weights; None: the shipped ones.
    past: judge again as it was then; None: by the catalog of now, as it changes.
    """

    data_dir: Path
    catalog_url: str | None = field(default=None, repr=False)  # may hold a password
    snapshot: str | None = None
    embedder: str | None = None
    detector: Path | None = None
    fetch: FetchPolicy
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    policy: Policy = field(default_factory=Policy)
    fetch_attempts: int = 4
    past: Past | None = None

    def __call__(self) -> Equipment:
        """Raises CatalogError or ModelError: what is missing, and what to do."""
        ear = load_fingerprinter(self.embedder)
        catalog = Catalog.open(self.data_dir, url=self.catalog_url, snapshot=self.snapshot)
        snapshot, rights = _of_now(catalog, ear) if self.past is None else _as_it_was(catalog, ear, self.past)
        return Equipment(
            hear=partial(hear, fetch_policy=self.fetch, limits=self.limits),
            ear=ear,
            second_ear=load_detector(self.detector),
            snapshot=snapshot,
            rights=rights,
            policy=self.policy,
            fetch_attempts=self.fetch_attempts,
        )


_opened: dict[OpenEquipment, Equipment] = {}
_lock = threading.Lock()


def equipment_of(plan: OpenEquipment) -> Equipment:
    """The equipment of this plan in this process; opened at the first call, by one thread."""
    with _lock:
        if plan not in _opened:
            _opened[plan] = plan()
        return _opened[plan]


def _of_now(catalog: Catalog, ear: Fingerprinter) -> tuple[Callable[[], Snapshot], Rights]:
    return _serve(catalog, ear).current, catalog


def _as_it_was(catalog: Catalog, ear: Fingerprinter, past: Past) -> tuple[Callable[[], Snapshot], Rights]:
    """Raises CatalogError if there was no such generation, CatalogDamaged if it can't be searched again."""
    then = serving_at(catalog, past.generation, build=Matcher, model_sha256=ear.sha256)
    return lambda: then, RecordAt(catalog, past.at)


def _serve(catalog: Catalog, ear: Fingerprinter) -> ServingCatalog[Matcher]:
    """Raises CatalogDamaged if this model heard none of the tracks: every copy would be judged clear."""
    serving = ServingCatalog(catalog, build=Matcher, model_sha256=ear.sha256, on_swap=_tell).start()
    process_metrics().index_health(
        is_stale=lambda: serving.is_stale, refused_shards=lambda: len(serving.refused)
    )
    unheard, first = catalog.unheard(model_sha256=ear.sha256)
    if not unheard:
        return serving
    heard = serving.current().value.tracks
    if heard > 0:
        get_logger("equipment").warning(
            "tracks can't be recognised: this model has not heard them; add them again",
            unheard=unheard,
            heard=heard,
            first=first,
        )
        return serving
    serving.close()
    raise CatalogDamaged(
        f"the model {ear.name} ({ear.sha256[:12]}…) has heard none of the catalog's {unheard} tracks:"
        " after a change of models, add the same files again with `soundalike catalog add`"
    )


def _tell(now: Serving[Matcher]) -> None:
    process_metrics().index(generation=now.generation, tracks=now.value.tracks)
