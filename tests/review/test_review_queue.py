"""Priority, filters, search, pages, reach, kappa, pictures: what the queue shows and why."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from review.intake import intake_step
from review.pictures import BANDS, bands, peaks, window_peaks, window_png
from review.priority import AGE_POINTS, Stakes, harm, parts, priority
from review.quality import cohens_kappa
from review.tables import rejects

NOTHING = Stakes(false_positive_rate=None, ai_probability=None, coverage=None, monthly_listeners=0, plays=0,
                 uploader_confirmed=0, uploader_decided=0)  # fmt: skip
WORST = Stakes(false_positive_rate=0.0, ai_probability=1.0, coverage=1.0, monthly_listeners=10**9,
               plays=10**9, uploader_confirmed=10**6, uploader_decided=10**6)  # fmt: skip


def test_harm_spans_its_range() -> None:
    assert harm(WORST) == pytest.approx(1.0, abs=1e-4)
    assert harm(NOTHING) == pytest.approx(0.15 / 4)  # the prior of an uploader nobody knows


@given(
    st.builds(
        Stakes,
        false_positive_rate=st.none() | st.floats(0, 1),
        ai_probability=st.none() | st.floats(0, 1),
        coverage=st.none() | st.floats(0, 1),
        monthly_listeners=st.none() | st.integers(0, 10**10),
        plays=st.none() | st.integers(0, 10**12),
        uploader_confirmed=st.just(0),
        uploader_decided=st.integers(0, 1000),
    )
)
def test_parts_add_up_within_their_bounds(stakes: Stakes) -> None:
    lines = parts(stakes)
    assert all(0.0 <= line.points <= line.of for line in lines)
    assert sum(line.of for line in lines) == 100.0
    assert harm(stakes) == pytest.approx(sum(line.points for line in lines) / 100)


def test_one_period_of_waiting_is_worth_ten_points(bench: Any) -> None:
    opened, sla_s = bench.clock(), bench.desk.policy.sla_s
    fresh = priority(0.5, opened, opened, sla_s=sla_s)
    old = priority(0.5, opened, opened + timedelta(seconds=sla_s), sla_s=sla_s)
    assert (fresh, old) == (pytest.approx(50.0), pytest.approx(50.0 + AGE_POINTS))


def ids(client: Any, **query: Any) -> list[str]:
    return [line["upload_id"] for line in client.get("/api/v1/cases", params=query).json()["cases"]]


def test_most_harmful_first_and_reach_moves_a_case_up(bench: Any) -> None:
    for upload_id, rate in (("weak", 0.3), ("strong", 0.0001), ("middle", 0.01)):
        bench.upload(upload_id, artist=f"Artist {upload_id}")
        bench.flag(upload_id, matches=[bench.match_document("song", "Song", false_positive_rate=rate)])
    ann = bench.browser("ann")
    assert ids(ann) == ["strong", "middle", "weak"]
    put = bench.program().put(
        "/api/v1/reach/artist", json={"artist": "artist  WEAK", "monthly_listeners": 10**8}
    )
    assert put.status_code == 204, put.text
    bench.program().put("/api/v1/reach/upload/weak", json={"plays": 1_000_000})
    assert ids(ann) == ["weak", "strong", "middle"]


def test_an_uploaders_record_counts(bench: Any) -> None:
    for upload_id, uploader in (("a-1", "bad"), ("a-2", "bad"), ("b-1", "new")):
        bench.upload(upload_id, uploader=uploader)
        bench.flag(upload_id)
    ann = bench.browser("ann")
    assert len(ids(ann)) == 3
    first = next(line for line in ann.get("/api/v1/cases").json()["cases"] if line["upload_id"] == "a-1")
    body = {"case_ids": [first["case_id"]], "action": "confirm", "reason_code": "slop"}
    ann.post("/api/v1/bulk", json=body)
    assert ids(ann) == ["a-2", "b-1"]


def test_filters_and_search(bench: Any) -> None:
    bench.upload("up-1", uploader="anna", title="Straße 50%", artist="ＷＩＤＥ")
    bench.upload("up-2", uploader="bert", title="Other_Side")
    bench.flag("up-1", rule="unlicensed-match")
    bench.flag("up-2", rule="ai-undeclared", matches=[bench.match_document("other", "Ocean")])
    ann = bench.browser("ann")
    for query, found in (
        ({"text": "STRASSE"}, ["up-1"]), ({"text": "wide 50%"}, ["up-1"]), ({"text": "5%0"}, []),
        ({"text": "r_s"}, ["up-2"]), ({"text": "o_h"}, []), ({"text": "ocean"}, ["up-2"]),
        ({"rule": "ai-undeclared"}, ["up-2"]), ({"uploader": "anna"}, ["up-1"]),
        ({"track_id": "other"}, ["up-2"]), ({"show": "closed"}, []),
    ):  # fmt: skip
        assert ids(ann, **query) == found, query


def test_pages_hold_every_case_once(bench: Any) -> None:
    for number in range(7):
        bench.flag(f"up-{number}")
    ann, seen, cursor = bench.browser("ann"), [], None
    for _ in range(4):
        query = {"limit": 2, **({} if cursor is None else {"cursor": cursor})}
        page = ann.get("/api/v1/cases", params=query).json()
        seen += [line["upload_id"] for line in page["cases"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert sorted(seen) == [f"up-{number}" for number in range(7)]
    assert ann.get("/api/v1/cases", params={"cursor": "bm9wZQ=="}).status_code == 400


class Stream:
    def __init__(self, *values: bytes) -> None:
        self.values, self.acknowledged = list(values), 0

    def poll(self, *, max_wait_s: float) -> list[bytes]:
        values, self.values = self.values, []
        return values

    def acknowledge(self) -> None:
        self.acknowledged += 1

    def close(self) -> None:
        pass


def test_what_cannot_be_read_is_kept_and_the_rest_goes_on(bench: Any) -> None:
    flags = Stream(b"{not json", bench.upload_bytes("up-9"), bench.flag_bytes("up-1"), b"{not json")
    came = intake_step(
        bench.desk.database, uploads_source=Stream(), flags_source=flags, references=bench.references,
        policy=bench.desk.policy, clock=bench.clock,
    )  # fmt: skip
    assert came and flags.acknowledged == 1
    ann = bench.browser("ann")
    assert ids(ann) == ["up-1"]
    with bench.write() as connection:
        assert connection.execute(select(func.count()).select_from(rejects)).scalar_one() == 2
    assert "2 events could not be read" in ann.get("/queue").text


def test_upload_that_comes_after_its_flag_names_the_case(bench: Any) -> None:
    case_id = bench.flag("up-1")
    bench.upload("up-1", uploader="late", title="Named at last")
    line = bench.browser("ann").get(f"/api/v1/cases/{case_id}").json()["case"]["line"]
    assert (line["uploader"], line["title"]) == ("late", "Named at last")


# Cohen (1960)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([], None),
        ([("a", "a")] * 3, None),
        ([("a", "a"), ("b", "b")], 1.0),
        ([("a", "b"), ("b", "a")], -1.0),
        # 20 both yes, 5 and 10 split, 15 both no: observed 0.7, chance 0.5.
        ([("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15, 0.4),
    ],
)
def test_kappa(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert cohens_kappa(pairs) == (None if kappa is None else pytest.approx(kappa))


# Pictures


def test_pictures_show_the_tone_where_it_is(tmp_path: Path) -> None:
    rate_hz = 16_000
    at_s = np.arange(4 * rate_hz) / rate_hz
    tone = (np.sin(2 * np.pi * 1000 * at_s) * (at_s >= 2)).astype(np.float32)
    levels, spectrum = peaks(tone, rate_hz), bands(tone, rate_hz)
    assert levels.shape == (400, 2) and spectrum.shape == (160, BANDS)
    assert abs(levels[:199]).max() == 0 and levels[210:, 1].min() > 120
    loud = spectrum[100].argmax()
    centre_hz = np.geomspace(60, 10_000, BANDS)[loud]
    assert centre_hz == pytest.approx(1000, rel=0.05)
    assert spectrum[100].max() > 245 and spectrum[20].max() == 0
    np.save(tmp_path / "p.npy", levels)
    np.save(tmp_path / "b.npy", spectrum)
    shown = window_peaks(tmp_path / "p.npy", start_s=-1, end_s=5, bins=6)
    assert shown[0] is None and shown[5] is None
    assert shown[1] == 0.0 and shown[3] == pytest.approx(1.0, abs=0.01)
    png = window_png(tmp_path / "b.npy", start_s=-1, end_s=5, width=300, height=100)
    assert png.startswith(b"\x89PNG") and len(png) < 20_000
