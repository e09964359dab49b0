"""The dashboard and the alerts ask for metrics that the job exposes, and for all of them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from pipeline.evidence import AiAssessment, Provenance, Verdict
from pipeline.metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "soundalike.json"

UNUSED_ON_PURPOSE: dict[str, str] = {}
"""Metric that neither a panel nor an alert asks for → why it is exposed all the same."""

NOT_OURS = {"up"}
"""Written by Prometheus itself."""

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<comment>\#[^\n]*)
      | (?P<duration>\[[^\]]*\]|\b\d+(?:ms|[smhdwy])\b)
      | (?P<number>\b\d+(?:\.\d+)?(?:e[+-]?\d+)?\b)
      | (?P<word>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<sign>[^\s\w])""",
    re.VERBOSE,
)
_KEYWORDS = {"and", "or", "unless", "offset", "bool", "atan2", "inf", "nan"}
_LABEL_LISTS = {"by", "without", "on", "ignoring", "group_left", "group_right"}


def tokens(expression: str) -> list[tuple[str, str]]:
    found = [(str(match.lastgroup), match.group()) for match in _TOKEN.finditer(expression)]
    return [token for token in found if token[0] != "comment"]


def metric_names(expression: str) -> set[str]:
    """Names of series in PromQL: words that are no function, keyword, label or text."""
    names, stream = set(), tokens(expression)
    depth_of_matchers, list_depth, after_list_word = 0, 0, False
    for i, (kind, text) in enumerate(stream):
        following = stream[i + 1][1] if i + 1 < len(stream) else ""
        if text == "{":
            depth_of_matchers += 1
        elif text == "}":
            depth_of_matchers -= 1
        elif text == "(" and (after_list_word or list_depth):
            list_depth += 1
        elif text == ")" and list_depth:
            list_depth -= 1
        elif kind == "word" and not depth_of_matchers and not list_depth:
            is_function = following == "(" or following in _LABEL_LISTS
            if text not in _KEYWORDS | _LABEL_LISTS and not is_function:
                names.add(text)
        after_list_word = text in _LABEL_LISTS
    return names


def label_names(expression: str) -> set[str]:
    """Labels that an expression matches, groups or joins by."""
    labels, stream = set(), tokens(expression)
    inside, list_open = 0, False
    for i, (kind, text) in enumerate(stream):
        before = stream[i - 1][1] if i else ""
        if text == "(" and before in _LABEL_LISTS:
            list_open = True
        elif text == ")" and list_open:
            list_open = False
        elif text in "{}":
            inside += 1 if text == "{" else -1
        elif kind == "word" and (inside or list_open):
            labels.add(text)
    return labels


@pytest.mark.parametrize(
    ("expression", "names", "labels"),
    [
        ("up", {"up"}, set()),
        ('rate(a_total{job=~"b_total|x", c!="d"}[5m])', {"a_total"}, {"job", "c"}),
        ("sum by (le, stage) (rate(a_bucket[$__rate_interval]))", {"a_bucket"}, {"le", "stage"}),
        ("histogram_quantile(0.95, sum(rate(a_bucket[10m])) by (le)) > 60", {"a_bucket"}, {"le"}),
        ("a / ignoring(v) group_left() b", {"a", "b"}, {"v"}),
        ("a unless a offset 15m or b and c > bool 1e3", {"a", "b", "c"}, set()),
        ("# a comment about z\na == 'q_total'", {"a"}, set()),
        ("max(a) - min(b:rate5m)", {"a", "b:rate5m"}, set()),
        ("sum without (x) (a)", {"a"}, {"x"}),
    ],
)
def test_names_are_found_in_promql(expression: str, names: set[str], labels: set[str]) -> None:
    assert metric_names(expression) == names
    assert label_names(expression) == labels


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """Every series that the job can expose → its labels, from a `Metrics` on which everything happened."""
    metrics = Metrics()
    metrics.upload_read()
    metrics.verdict(Verdict.CLEAR, rule="x")
    metrics.undecodable("x")
    mark = Provenance(kind="x", state="found")
    metrics.origin(AiAssessment(probability=0.5, known=True, grounds=("x",), provenance=(mark,)))
    metrics.dead_letter(stage="x", reason="x")
    metrics.stage_took("x", 1.0)
    metrics.lag(topic="x", partition=0, records=0)
    metrics.catalog_change("x", outcome="applied")
    series: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def panel_queries() -> list[tuple[str, str]]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return [(panel["title"], target["expr"]) for panel in panels for target in panel.get("targets", [])]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> list[tuple[str, str]]:
    return panel_queries() + [(rule["alert"], rule["expr"]) for rule in alerts()]


@pytest.mark.parametrize(("where", "expression"), queries())
def test_every_query_asks_for_series_and_labels_that_exist(
    where: str, expression: str, exposed: dict[str, set[str]]
) -> None:
    names = metric_names(expression)
    assert names, f"{where}: no metric found in {expression}"
    assert names <= exposed.keys() | NOT_OURS, where
    # `job` and `instance` come from the scrape.
    known = {"job", "instance", "le"}.union(*(exposed.get(name, set()) for name in names))
    assert label_names(expression) <= known, where


def test_every_metric_is_asked_for_or_has_a_reason(exposed: dict[str, set[str]]) -> None:
    """A histogram counts as asked for by any of its series; `_created` is written beside each counter."""
    asked = {name for _, expression in queries() for name in metric_names(expression)}
    families = {
        re.sub(r"_(bucket|sum|count|created)$", "", name)
        for name in exposed
        if name.startswith("soundalike_")
    }
    counters = {name.removesuffix("_total") for name in families if name.endswith("_total")}
    asked_families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    unused = families - counters - asked_families
    assert unused == set(UNUSED_ON_PURPOSE)


def test_every_legend_names_a_label_that_its_query_keeps() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    for panel in panels:
        for target in panel.get("targets", []):
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                kept = label_names(target["expr"]) | ({"instance"} if " by " not in target["expr"] else set())
                assert label in kept, f"{panel['title']}: {label}"


def grafana() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_dashboard", DEPLOY / "grafana" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_dashboard_is_what_the_code_draws(tmp_path: Path) -> None:
    module = grafana()
    assert module.main(["--check"]) == 0
    other = tmp_path / "soundalike.json"
    assert module.main(["--check", "--output", str(other)]) == 1
    assert module.main(["--write", "--output", str(other)]) == 0
    assert other.read_text(encoding="utf-8") == DASHBOARD.read_text(encoding="utf-8")


def test_the_dashboard_can_be_imported_and_read() -> None:
    document = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = document["panels"]
    assert document["uid"] == "soundalike"
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Is it alive?", "Is it right?", "Is it fast?", "Catalog"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered, f"{panel['title']} lies on another panel"
        cells |= covered
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["for"]
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["runbook"].split()) >= 20


def test_every_alert_is_played_in_the_unit_tests_of_prometheus() -> None:
    played = (DEPLOY / "prometheus" / "alerts_test.yml").read_text(encoding="utf-8")
    assert {rule["alert"] for rule in alerts()} == set(re.findall(r'alertname="(\w+)"', played))


def promtool() -> str:
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing(
            "promtool is missing: install prometheus, or name it in PROMTOOL; names and YAML were checked"
        )
    return found


def run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_rules_and_they_fire_when_they_should() -> None:
    tool = promtool()
    run(tool, "check", "rules", ALERTS.name, cwd=ALERTS.parent)
    run(tool, "test", "rules", "alerts_test.yml", cwd=ALERTS.parent)


def test_prometheus_can_parse_every_panel(tmp_path: Path) -> None:
    tool = promtool()
    rules = [
        {
            "record": f"panel:query{i}",
            "expr": expression.replace("$__rate_interval", "5m").replace("$job", ".+"),
        }
        for i, (_, expression) in enumerate(panel_queries())
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(tool, "check", "rules", "panels.yml", cwd=tmp_path)
