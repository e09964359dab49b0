"""docs/contracts.md shows nothing that is not so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import topics
from pipeline.events import PAYLOADS, parse_event
from pipeline.metrics import Metrics
from pipeline.strict_json import MAX_DEPTH, MAX_EVENT_BYTES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
EXAMPLES = [
    json.loads(path.read_bytes()) for path in (ROOT / "deploy" / "schemas" / "examples").glob("*.json")
]
SHOWN: list[dict[str, Any]] = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
]


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown["type"])
def test_every_example_on_the_page_is_one_of_the_tested_ones(shown: dict[str, Any]) -> None:
    assert shown in EXAMPLES
    parse_event(json.dumps(shown).encode())


def test_every_event_is_shown() -> None:
    assert {shown["type"] for shown in SHOWN} >= set(PAYLOADS)


def test_the_table_of_topics_is_complete() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .*`(org\.soundalike\.[\w.-]+)`", PAGE, re.MULTILINE)
    assert [topic for topic, _ in rows] == [
        topics.UPLOADS, topics.CATALOG, topics.VERDICTS, topics.FLAGS, topics.ATTRIBUTIONS,
        topics.DEAD_LETTERS, topics.DECISIONS, topics.CATALOG_DEAD_LETTERS,
    ]  # fmt: skip
    assert {event_type for _, event_type in rows} == set(PAYLOADS)


def test_the_limits_on_the_page_are_the_limits_of_the_reader() -> None:
    assert f"more than {MAX_EVENT_BYTES // 1024} KiB" in PAGE
    assert f"more than {MAX_DEPTH} levels" in PAGE


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\((\.\./[^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_the_table_of_metrics_is_complete() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"`(soundalike_\w+)`", page))
    exposed = set()
    for family in Metrics().registry.collect():
        exposed.add(
            {"counter": f"{family.name}_total", "info": f"{family.name}_info"}.get(family.type, family.name)
        )
    assert shown == exposed
