"""The Grafana dashboard, as code.

    python deploy/grafana/generate.py --write    # soundalike.json beside this file; commit it
    python deploy/grafana/generate.py --check    # exit 1 if it differs

Four rows, in the order in which somebody on call asks: is it alive, is it right, is it fast, and which
catalog does it serve. tests/deploy holds every query against the metrics that the job exposes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
)

OUTPUT = Path(__file__).with_name("soundalike.json")
RATE = "$__rate_interval"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
JOB = 'job=~"$job"'

SECONDS, PER_SECOND, COUNT, SHARE = "s", "ops", "short", "percentunit"
HALF, THIRD, QUARTER = 12, 8, 6
"""Widths; Grafana's grid has 24 columns."""

Query = tuple[str, str]
"""PromQL and legend."""


def build() -> dashboard.Dashboard:
    """The whole dashboard, read from top to bottom."""
    board = (
        dashboard.Dashboard("Soundalike")
        .uid("soundalike")
        .description("Uploads on their way to a verdict. Written by deploy/grafana/generate.py.")
        .tags(["soundalike"])
        .timezone("utc")
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("job")
            .label("Job")
            .datasource(SOURCE)
            .query("label_values(soundalike_build_info, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(VariableOption(selected=True, text="All", value="$__all"))
        )
    )

    board.with_row(dashboard.Row("Is it alive?"))
    board.with_panel(
        _number("Uploads", [(_rate("soundalike_uploads_total"), "uploads")], unit=PER_SECOND).description(
            "Upload events read each second."
        )
    )
    board.with_panel(
        _number(
            "Records waiting", [(f"sum(soundalike_kafka_lag_records{{{JOB}}})", "records")], unit=COUNT
        ).description("Not yet read, all partitions. Should come back to about 0 after each burst.")
    )
    board.with_panel(
        _number(
            "Restarts, last hour",
            [(f"sum(increase(soundalike_job_restarts_total{{{JOB}}}[1h]))", "")],
            unit=COUNT,
        )
        .description("The supervisor started the job again after a failure.")
        .decimals(0)
    )
    board.with_panel(
        _number(
            "Version", [(f"count by (version) (soundalike_build_info{{{JOB}}})", "{{version}}")], unit=COUNT
        ).description("Processes by version; two versions for long means a deployment is stuck.")
    )
    board.with_panel(
        _curves(
            "Uploads and verdicts",
            [
                (_rate("soundalike_uploads_total"), "uploads read"),
                (_rate("soundalike_verdicts_total", by="verdict"), "{{verdict}}"),
                (_rate("soundalike_dead_letters_total"), "dead letters"),
            ],
            unit=PER_SECOND,
        ).description("Each upload ends in exactly one verdict or dead letter: the sums must meet.")
    )
    board.with_panel(
        _curves("Age of verdicts", _quantiles("soundalike_end_to_end_seconds"), unit=SECONDS).description(
            "From the time in the upload event to the verdict on its way to the topic."
        )
    )
    board.with_panel(
        _curves(
            "Lag by partition",
            [
                (
                    f"sum by (topic, partition) (soundalike_kafka_lag_records{{{JOB}}})",
                    "{{topic}} {{partition}}",
                )
            ],
            unit=COUNT,
            span=24,
        ).description("One partition that grows alone: its reader hangs, or one key floods it.")
    )

    board.with_row(dashboard.Row("Is it right?"))
    board.with_panel(
        _curves(
            "Mix of verdicts",
            [
                (
                    f"{_rate('soundalike_verdicts_total', by='verdict')}"
                    f" / ignoring(verdict) group_left() {_rate('soundalike_verdicts_total')}",
                    "{{verdict}}",
                )
            ],
            unit=SHARE,
            stacked=True,
        ).description("A sudden change means other uploads, another policy, another catalog, or a fault.")
    )
    board.with_panel(
        _curves(
            "Rules that fired", [(_rate("soundalike_verdicts_total", by="rule"), "{{rule}}")], unit=PER_SECOND
        ).description("Which rule of the policy gave the verdict.")
    )
    board.with_panel(
        _curves(
            "Undecodable, by reason",
            [(_rate("soundalike_undecodable_total", by="reason"), "{{reason}}")],
            unit=PER_SECOND,
        ).description("The audio can't be judged. These uploads do get a verdict: undecodable.")
    )
    board.with_panel(
        _curves(
            "Dead letters",
            [(_rate("soundalike_dead_letters_total", by="stage, reason"), "{{stage}}: {{reason}}")],
            unit=PER_SECOND,
        ).description("Kept with their original bytes in uploads.dlq; replay them when the cause is gone.")
    )
    board.with_panel(
        _curves(
            "Counts as machine-made",
            [
                (_rate("soundalike_ai_grounds_total", by="ground"), "{{ground}}"),
                (_rate("soundalike_ai_unknown_total"), "the second ear has no ground to judge"),
            ],
            unit=PER_SECOND,
        ).description("By what the policy goes by: disclosure, mark in the file, detector.")
    )
    board.with_panel(
        _curves("Probability of a machine", _quantiles("soundalike_ai_probability"), unit=SHARE).description(
            "Of uploads that the second ear can judge. A drift means other music or other weights."
        )
    )
    board.with_panel(
        _curves(
            "Claims about origin",
            [(_rate("soundalike_provenance_total", by="kind, state"), "{{kind}} {{state}}")],
            unit=PER_SECOND,
            span=24,
        ).description("Disclosures, manifests and tags that are there; broken ones were changed or forged.")
    )

    board.with_row(dashboard.Row("Is it fast?"))
    board.with_panel(
        _curves("Stages, median", _stage_quantile(0.5), unit=SECONDS, span=THIRD).description(
            "Half of the uploads spend less than this in the stage."
        )
    )
    board.with_panel(
        _curves("Stages, p95", _stage_quantile(0.95), unit=SECONDS, span=THIRD).description(
            "One upload in twenty spends longer than this in the stage."
        )
    )
    board.with_panel(
        _curves(
            "Where the time goes",
            [(_rate("soundalike_stage_seconds_sum", by="stage"), "{{stage}}")],
            unit=COUNT,
            span=THIRD,
            stacked=True,
        ).description("Busy workers, by stage: 1 is one worker that does nothing else.")
    )
    board.with_panel(
        _curves(
            "Audio judged", [(_rate("soundalike_audio_seconds_total"), "× real time")], unit=COUNT, span=24
        ).description("Seconds of audio for each second of wall time.")
    )

    board.with_row(dashboard.Row("Catalog"))
    board.with_panel(
        _curves(
            "Generation served",
            [(f"soundalike_index_generation{{{JOB}}}", "{{instance}}")],
            unit=COUNT,
        ).description("All processes should reach a new generation within a minute of each other.")
    )
    board.with_panel(
        _curves(
            "Tracks served", [(f"soundalike_index_tracks{{{JOB}}}", "{{instance}}")], unit=COUNT
        ).description("0 means: no catalog is loaded, everything passes as clear.")
    )
    board.with_panel(
        _curves(
            "Changes of the catalog",
            [(_rate("soundalike_catalog_changes_total", by="change, outcome"), "{{change}}: {{outcome}}")],
            unit=PER_SECOND,
            span=THIRD,
        ).description("Read from the topic catalog. Stale: a revision that was applied before.")
    )
    board.with_panel(
        _curves(
            "From a change to its effect",
            _quantiles("soundalike_catalog_change_seconds"),
            unit=SECONDS,
            span=THIRD,
        ).description("A withdrawn consent has to be in effect within a minute.")
    )
    board.with_panel(
        _curves(
            "References that wait for a person",
            [(f"sum(soundalike_quarantined_references{{{JOB}}})", "quarantined")],
            unit=COUNT,
            span=THIRD,
        ).description("They flooded and accuse nobody until `soundalike catalog quarantine` has an answer.")
    )
    return board


def _rate(metric: str, *, by: str = "") -> str:
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(rate({metric}{{{JOB}}}[{RATE}]))"


def _quantiles(histogram: str) -> list[Query]:
    buckets = f"sum by (le) (rate({histogram}_bucket{{{JOB}}}[{RATE}]))"
    return [
        (f"histogram_quantile({quantile}, {buckets})", name)
        for quantile, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    ]


def _stage_quantile(quantile: float) -> list[Query]:
    buckets = f"sum by (le, stage) (rate(soundalike_stage_seconds_bucket{{{JOB}}}[{RATE}]))"
    return [(f"histogram_quantile({quantile}, {buckets})", "{{stage}}")]


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    expression, legend = query
    return prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(ref_id).datasource(SOURCE)


def _number(title: str, queries: Sequence[Query], *, unit: str) -> stat.Panel:
    panel = stat.Panel().title(title).datasource(SOURCE).unit(unit).span(QUARTER).height(4).no_value("–")
    for ref_id, query in zip("ABCDEF", queries, strict=False):
        panel.with_target(_target(query, ref_id))
    return panel


def _curves(
    title: str, queries: Sequence[Query], *, unit: str, span: int = HALF, stacked: bool = False
) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(8)
        .min(0)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(30 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for ref_id, query in zip("ABCDEF", queries, strict=False):
        panel.with_target(_target(query, ref_id))
    return panel


def render() -> str:
    """The dashboard as Grafana imports it."""
    document = _without_nulls(json.loads(json.dumps(build().build(), cls=JSONEncoder)))
    for number, panel in enumerate(document["panels"], start=1):
        panel["id"] = number  # unique, or Grafana can't link to a panel
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _without_nulls(value: Any) -> Any:
    """Grafana fills in what is absent, but takes a null for a value."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: written, or up to date; 1: `--check` found a difference."""
    parser = argparse.ArgumentParser(
        prog="deploy/grafana/generate.py", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="write soundalike.json")
    what.add_argument("--check", action="store_true", help="compare, change nothing")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.write:
        options.output.write_text(render(), encoding="utf-8")
        return 0
    if options.output.is_file() and options.output.read_text(encoding="utf-8") == render():
        return 0
    sys.stderr.write(f"{options.output.name} differs: python deploy/grafana/generate.py --write\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
