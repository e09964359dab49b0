"""The kill test itself: it runs, proves something, and sees a loss when there is one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import kill_writer
from index.catalog import Catalog
from index.serving import ServingCatalog

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
def test_killed_writers_and_mergers_lose_nothing_acknowledged() -> None:
    """In a process of its own: it forks, which a process with pytest's threads should not."""
    ran = subprocess.run(
        [sys.executable, "-m", "bench.kill_writer", "--kills", "6", "--seed", "1"],
        check=False, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True,
        text=True, timeout=280,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    assert "nothing acknowledged was lost" in ran.stdout
    found = re.search(r"6 kills, (\d+) acknowledged", ran.stdout)
    assert found is not None
    assert int(found[1]) >= 6


def test_a_loss_would_be_seen(tmp_path: Path) -> None:
    with Catalog.open(tmp_path, create=True) as catalog:
        for name, seed in (("a", 1), ("b", 2)):
            catalog.add(
                kill_writer._track(name, seed), kill_writer.heard(seed), model_sha256=kill_writer.MODEL
            )
        reader: ServingCatalog[Any] = ServingCatalog(
            catalog, build=lambda library: library, model_sha256=kill_writer.MODEL
        )
        reader.refresh()
        assert kill_writer._faults(reader, {"a": 1, "b": 2}) == []
        assert kill_writer._faults(reader, {"a": 1}) == ["2 tracks instead of 1"]
        lost = kill_writer._faults(reader, {"a": 1, "b": 2, "c": 3})
        assert lost[0] == "2 tracks instead of 3"
        assert lost[1].startswith("c is found as")
        assert kill_writer._faults(reader, {"a": 1, "b": 3})[0].startswith("b is found as")
    assert np.array_equal(kill_writer.heard(5).vectors, kill_writer.heard(5).vectors)
