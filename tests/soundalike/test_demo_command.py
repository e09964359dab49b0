"""`soundalike demo`, whole and real: every verdict as expected, a second run without set-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from rich.console import Console

from pipeline.evidence import (
    AudioFacts,
    Evidence,
    IndexRef,
    Match,
    PolicyRef,
    SuppressedMatch,
    Verdict,
)
from soundalike.render import DemoRow, show_demo, show_evidence

Run = Callable[..., "CompletedProcess[str]"]


@pytest.mark.timeout(600)
def test_every_verdict_is_the_expected_one_twice(soundalike: Run, tmp_path: Path) -> None:
    first = soundalike("demo", "--into", tmp_path / "demo")

    assert first.returncode == 0, first.stdout + first.stderr
    assert "16 of 16 verdicts are as expected" in first.stdout
    assert first.stdout.count("✓") == 16
    records = sorted((tmp_path / "demo" / "evidence").glob("*.json"))
    assert len(records) == 16
    assert {json.loads(record.read_text())["verdict"] for record in records} == {v.value for v in Verdict}

    second = soundalike("demo", "--into", tmp_path / "demo")
    assert second.returncode == 0, second.stdout + second.stderr
    assert second.stdout.count("✓") == 16
    table = second.stdout.partition("Evidence records")[0]
    assert max(map(len, table.splitlines())) <= 100


def evidence(verdict: Verdict, track: str | None) -> Evidence:
    match = Match(
        track_id=track or "",
        title="T",
        query_start_s=0.0,
        query_end_s=5.0,
        reference_start_s=0.0,
        reference_end_s=5.0,
        shift_semitones=-0.01,
        tempo_ratio=1.0,
        coverage=1.0,
        score=9.0,
        false_positive_rate=0.0,
    )
    return Evidence(
        upload_id="u",
        verdict=verdict,
        rule="r",
        reason="because \x1b[2J of this",
        audio=AudioFacts(uri="file:///u"),
        matches=() if track is None else (match,),
        policy=PolicyRef(version="1", hash="h"),
        index=IndexRef(generation=1, tracks=1),
    )


@pytest.mark.parametrize(
    ("expected", "track", "actual", "right"),
    [
        (Verdict.FLAGGED, "t", evidence(Verdict.FLAGGED, "t"), True),
        (Verdict.FLAGGED, "t", evidence(Verdict.CLEAR, None), False),
        (Verdict.FLAGGED, "t", evidence(Verdict.FLAGGED, "other"), False),
        (Verdict.CLEAR, None, evidence(Verdict.CLEAR, "t"), False),
        (Verdict.CLEAR, None, None, False),
    ],
)
def test_a_wrong_verdict_is_shown_as_wrong(
    expected: Verdict, track: str | None, actual: Evidence | None, right: bool
) -> None:
    row = DemoRow("upload.mp3", expected.value, track, actual)
    out = StringIO()

    show_demo([row], console=Console(file=out, width=140))

    assert row.is_right is right
    assert ("✓" in out.getvalue()) is right
    assert ("✗" in out.getvalue()) is not right
    assert "\x1b" not in out.getvalue()
    assert "-0.0" not in out.getvalue()


def test_a_part_that_was_set_aside_is_shown_beside_what_counts() -> None:
    flagged = evidence(Verdict.FLAGGED, "t")
    aside = SuppressedMatch(
        **flagged.matches[0].model_dump() | {"track_id": "loop", "query_end_s": 7.0},
        suppression_id="sup-1",
        suppression_kind="suppressed",
        suppression_reason="a \x1b[2Jdrum loop",
    )
    out = StringIO()
    show_evidence(flagged.model_copy(update={"suppressed": (aside,)}), console=Console(file=out, width=140))
    shown = out.getvalue()
    assert "set aside: “T” (loop), 0–7 s of the upload; the reference is suppressed" in shown
    assert "\x1b" not in shown
