"""A small batch with broken files, by the real command: killed, resumed, each fault listed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from bench import batch

AUDIO = Path(__file__).parents[2] / "soundalike" / "demo_audio"


@pytest.mark.timeout(300)
def test_a_batch_with_broken_files_is_killed_resumed_and_loaded(tmp_path: Path) -> None:
    corpora, out = tmp_path / "corpora", tmp_path / "batch.json"
    corpora.mkdir()
    (corpora / "audio").symlink_to(AUDIO)
    with (corpora / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "duration_s"])
        table.writerows([f"audio/{path.name}", "20"] for path in sorted(AUDIO.glob("*.opus"))[:4])

    code = batch.main(
        ["--corpora", str(corpora), "--work", str(tmp_path / "batch"), "--files", "40", "--out", str(out)]
    )

    found = json.loads(out.read_text())
    assert code == 0, found
    assert len(found["broken"]) == 7
    assert found["killed"]["exit_code"] == -9
    assert 33 > found["killed"]["tracks_after"] == found["resumed"]["skipped"] >= 13
    assert (found["again"]["added"], found["again"]["skipped"], found["again"]["failed"]) == (0, 33, 7)
    told = found["again"]["stderr_tail"].split("could not be added:\n")[1].splitlines()
    assert [line.strip().startswith("/") for line in told] == [True] * 7
    reasons = {line.split(": ")[1] for line in told}
    assert reasons == {"not_found", "truncated", "not_audio", "empty"}
