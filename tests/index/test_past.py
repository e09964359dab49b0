"""A past generation, searched again, and what was on record at an instant; on both databases."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.library import Library
from index.merge import Merger
from index.past import RecordAt, serving_at
from index.serving import Serving
from index.terms import Decision, Term, Use
from index.tracks import Right, Role
from soundalike.errors import CatalogDamaged, CatalogError

MODEL = "a" * 64
OTHER_MODEL = "b" * 64
START = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A second passes with each look."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def catalog(open_catalog: Callable[..., Catalog]) -> Catalog:
    return open_catalog(clock=Clock())


def at(catalog: Catalog, generation: int) -> Serving[Library]:
    return serving_at(catalog, generation, build=lambda library: library, model_sha256=MODEL)


def found(serving: Serving[Library], heard: ReferencePrint) -> str | None:
    """The track that a search for the first window of a print answers with, if it is that window."""
    query = heard.vectors[:1].astype(np.float32) / 127.0
    near = serving.value.search(query / np.linalg.norm(query), 1)
    if near.track.size == 0 or near.similarity[0, 0] < 0.99:
        return None
    return serving.value.track_id(int(near.track[0, 0]))


@pytest.mark.parametrize("merged", ["never", "before", "after", "to the ground"])
def test_each_generation_is_searched_as_it_was(
    catalog: Catalog, make_track: Any, heard: Any, tmp_path: Path, merged: str
) -> None:
    merger = Merger(catalog, model_sha256=MODEL)
    a, b, new_a = heard(1), heard(2), heard(3)
    catalog.add(make_track("a"), a, model_sha256=MODEL)  # 1
    catalog.add(make_track("b"), b, model_sha256=MODEL)  # 2
    if merged != "never":
        merger.flush(at_least=1)
    catalog.add(make_track("a", audio="anew", title="New"), new_a, model_sha256=MODEL, replace=True)  # 3
    catalog.remove("b")  # 4
    if merged in {"after", "to the ground"}:
        merger.tend(at_least=1)
        merger.compact(everything=True)
    if merged == "to the ground":
        shutil.rmtree(merger.folder)

    seen = {
        n: (found(at(catalog, n), a), found(at(catalog, n), b), found(at(catalog, n), new_a))
        for n in range(1, 5)
    }

    assert seen == {
        1: ("a", None, None),
        2: ("a", "b", None),
        3: (None, "b", "a"),
        4: (None, None, "a"),
    }
    assert [at(catalog, n).value.tracks for n in range(1, 5)] == [1, 2, 2, 1]
    assert at(catalog, 2).generation == 2
    assert (at(catalog, 2).tracks["a"].title, at(catalog, 3).tracks["a"].title) == ("Title of a", "New")


@pytest.mark.parametrize(
    ("generation", "words"),
    [(2, "it is at 1"), (-1, "it is at 1"), (0, "it holds nothing"), (10**12, "it is at 1")],
)
def test_a_generation_that_never_was(
    catalog: Catalog, make_track: Any, heard: Any, generation: int, words: str
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    with pytest.raises(CatalogError, match=f"never at generation {generation} .*{words}"):
        at(catalog, generation)


def test_a_print_that_is_gone_is_named(catalog: Catalog, make_track: Any, heard: Any, tmp_path: Path) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL)
    catalog.remove("a")
    for file in (tmp_path / "data" / "prints").iterdir():
        file.unlink()

    with pytest.raises(CatalogDamaged, match=r"generation 1 can't be searched again, for want of .*'a'"):
        at(catalog, 1)
    assert at(catalog, 2).value.tracks == 0


def test_another_model_is_told_apart_from_an_empty_catalog(
    catalog: Catalog, make_track: Any, heard: Any
) -> None:
    catalog.add(make_track("a"), heard(1), model_sha256=OTHER_MODEL)
    with pytest.raises(CatalogDamaged, match="has heard none of the 1 tracks of generation 1"):
        at(catalog, 1)


def test_what_was_on_record(catalog: Catalog, make_track: Any, heard: Any) -> None:
    firn, alp = (Right(name, Decimal(1), Role.LABEL) for name in ("Firn", "Alp"))
    catalog.add(make_track("a"), heard(1), model_sha256=MODEL, rights=[firn])  # 1
    allow = Term(
        term_id="t", rightsholder="Firn", use=Use.VERBATIM_USE, decision=Decision.ALLOW, valid_from=START
    )
    catalog.record_terms([allow])  # 2
    catalog.link_account("firn-uploads", rightsholder="Firn")  # 3
    loop = catalog.suppressions.add("a", reason="a loop", by="anna")  # 4
    catalog.suppressions.end(loop.suppression_id, reason="none", by="anna")  # 5
    catalog.withdraw_term("t")  # 6
    catalog.unlink_account("firn-uploads", rightsholder="Firn")  # 7
    catalog.set_rights("a", [alp])  # 8

    told = {}
    for generation in range(1, 9):
        record = RecordAt(catalog, catalog.recorded_at(generation))
        (finding,) = record.findings("a", Use.VERBATIM_USE, uploader="x")
        told[generation] = (
            str(finding.rightsholder),
            str(finding.decision),
            record.is_own_upload("a", "firn-uploads"),
            [one.reason for one in record.suppressions_of({"a"})],
            [right.rightsholder for right in record.rights_of("a")],
        )

    assert told == {
        1: ("Firn", "deny", False, [], ["Firn"]),
        2: ("Firn", "allow", False, [], ["Firn"]),
        3: ("Firn", "allow", True, [], ["Firn"]),
        4: ("Firn", "allow", True, ["a loop"], ["Firn"]),
        5: ("Firn", "allow", True, [], ["Firn"]),
        6: ("Firn", "deny", True, [], ["Firn"]),
        7: ("Firn", "deny", False, [], ["Firn"]),
        8: ("Alp", "deny", False, [], ["Alp"]),
    }
