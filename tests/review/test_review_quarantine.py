"""Quarantined references on the desk, over a real catalog: who sees them, keep, release, audit log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from index.catalog import Catalog
from index.suppressions import Sighting
from index.tracks import Track
from review.quarantine import common_span
from soundalike.commands.review_wiring import CatalogQuarantines

MODEL = "a" * 64
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class NoPrint:
    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"vectors": np.zeros((1, 4), np.int8)}


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """`song` is quarantined since noon; `up-0` to `up-2` were flagged for it before, `late` went by since."""
    with Catalog.open(tmp_path / "catalog", create=True, clock=lambda: NOON) as opened:
        for number, name in enumerate(("song", "other")):
            track = Track(track_id=name, title=name.title(), audio_sha256=f"{number:064x}", duration_s=60.0)
            opened.add(track, NoPrint(), model_sha256=MODEL)
        before = [
            Sighting("song", f"up-{n}", f"{n:064x}", NOON - timedelta(minutes=n + 1), accuses=True)
            for n in range(3)
        ]
        since = Sighting("song", "late", "f" * 64, NOON + timedelta(minutes=1), accuses=False)
        opened.suppressions.note([*before, since])
        opened.suppressions.quarantine("song", reason="3 different recordings within 60 minutes")
        yield opened


@pytest.fixture
def desk(bench: Any, catalog: Catalog) -> Any:
    """The bench with three cases on `song`, all of which share its seconds 10 to 30."""
    bench.desk = replace(bench.desk, quarantines=CatalogQuarantines(catalog))
    for number, (start_s, end_s) in enumerate(((8.0, 33.0), (10.0, 40.0), (2.0, 30.0))):
        match = bench.match_document("song", "Song", reference_start_s=start_s, reference_end_s=end_s)
        bench.flag(f"up-{number}", matches=[match])
    return bench


def logged(desk: Any) -> list[dict[str, Any]]:
    entries = desk.browser("aud").get("/api/v1/audit").json()
    return [entry for entry in entries if entry["action"].startswith("quarantine.")]


def test_a_lead_sees_what_waits_with_what_the_desk_knows(desk: Any) -> None:
    (line,) = desk.browser("lea").get("/api/v1/quarantine").json()

    assert line.pop("quarantine_id").startswith("quarantined-")
    assert line == {
        "track_id": "song", "title": "Song", "artists": [], "since": "2026-11-02T12:00:00Z",
        "reason": "3 different recordings within 60 minutes", "cases": 3, "span_s": [10.0, 30.0],
        "accused": ["up-2", "up-1", "up-0"], "set_aside": ["late"],
    }  # fmt: skip


def test_the_page_and_the_queue_put_it_before_a_lead_only(desk: Any) -> None:
    lead, reviewer, admin = (desk.browser(name) for name in ("lea", "ann", "adm"))

    assert "1 reference flooded and accuses nobody" in lead.get("/queue").text
    page = lead.get("/quarantine").text
    for words in ("3 different recordings within 60 minutes", "0:10.0 to 0:30.0", "3 cases to see and hear"):
        assert words in page
    assert "flooded and accuse" not in reviewer.get("/queue").text
    for client in (reviewer, admin):
        assert client.get("/quarantine").status_code == 403
        assert client.get("/api/v1/quarantine").status_code == 403
        assert client.post("/api/v1/quarantine/x/release", json={"reason": "a hit"}).status_code == 403
        assert client.post("/api/v1/quarantine/x/keep", json={"reason": "a loop"}).status_code == 403


def test_a_lead_keeps_the_span_out(desk: Any, catalog: Catalog) -> None:
    lead = desk.browser("lea")
    (line,) = lead.get("/api/v1/quarantine").json()
    body = {"reason": "drum loop", "start_s": 10.0, "end_s": 30.0}

    assert lead.post(f"/api/v1/quarantine/{line['quarantine_id']}/keep", json=body).status_code == 204

    (kept,) = catalog.suppressions.list()
    assert (kept.kind, kept.start_s, kept.end_s) == ("suppressed", 10.0, 30.0)
    assert (kept.reason, kept.recorded_by) == ("drum loop", "lea")
    assert lead.get("/api/v1/quarantine").json() == []
    assert "No reference is quarantined." in lead.get("/quarantine").text
    (entry,) = logged(desk)
    assert (entry["actor"], entry["action"]) == ("lea", "quarantine.kept")
    assert (entry["subject"], entry["detail"]) == (line["quarantine_id"], body)


def test_a_lead_releases_it_and_learns_what_went_by(desk: Any, catalog: Catalog) -> None:
    lead = desk.browser("lea")
    (line,) = lead.get("/api/v1/quarantine").json()
    address = f"/api/v1/quarantine/{line['quarantine_id']}/release"

    answer = lead.post(address, json={"reason": "a hit"})

    assert (answer.status_code, answer.json()) == (200, {"uploads": ["late"]})
    assert catalog.suppressions.list() == []
    (entry,) = logged(desk)
    assert (entry["action"], entry["detail"]) == ("quarantine.released", {"reason": "a hit", "went_by": 1})
    again = lead.post(address, json={"reason": "a hit"})
    assert (again.status_code, again.json()["reason"]) == (422, "decision_refused")
    assert "was ended at 2026-11-02 12:00 UTC by lea already" in again.json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"reason": ""},
        {"reason": "two\nlines"},
        {"reason": "loop", "start_s": 90.0},
        {"reason": "loop", "start_s": 30.0, "end_s": 10.0},
        {"reason": "loop", "start_s": -1.0},
        {"reason": "loop", "more": 1},
    ],
)
def test_what_can_not_be_meant_is_refused_and_nothing_changes(
    desk: Any, catalog: Catalog, body: dict[str, Any]
) -> None:
    lead = desk.browser("lea")
    (line,) = lead.get("/api/v1/quarantine").json()

    answer = lead.post(f"/api/v1/quarantine/{line['quarantine_id']}/keep", json=body)

    assert answer.status_code == 422
    assert "\n" not in answer.json()["message"]
    assert lead.get("/api/v1/quarantine").json() == [line]
    assert logged(desk) == []


def test_without_a_catalog_the_page_says_so(bench: Any) -> None:
    lead = bench.browser("lea")
    assert lead.get("/api/v1/quarantine").json() == []
    assert "This desk has no catalog" in lead.get("/quarantine").text
    refused = lead.post("/api/v1/quarantine/x/keep", json={"reason": "a loop"})
    assert (refused.status_code, refused.json()["reason"]) == (400, "review")


def test_a_catalog_that_does_not_answer_is_a_reason_to_wait(desk: Any, catalog: Catalog) -> None:
    lead = desk.browser("lea")
    catalog.close()
    (catalog.data_dir / "catalog.sqlite").unlink()

    answer = lead.post("/api/v1/quarantine/x/keep", json={"reason": "a loop"})

    assert (answer.status_code, answer.json()["reason"]) == (503, "desk_busy")
    queue = lead.get("/queue")
    assert queue.status_code == 200
    assert "The catalog does not answer" in queue.text


def test_the_span_that_nine_of_ten_share() -> None:
    assert common_span([]) is None
    assert common_span([(1.0, 5.0)]) == (1.0, 5.0)
    assert common_span([(0.0, 4.0), (5.0, 9.0)]) is None
    stray = [(50.0, 60.0)]
    assert common_span([(0.0, 4.0 + n) for n in range(9)] + stray) == (0.0, 5.0)
