"""What a run leaves behind: results.json, table.md, plot.png."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

MAIN: Final = "1% FP"
STRICT: Final = "0.1% FP"


def write(results: dict[str, Any], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(
        json.dumps(_finite(results), indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (out / "table.md").write_text(table(results), encoding="utf-8")
    plot(results, out / "plot.png")


def _finite(value: Any) -> Any:
    """Infinite thresholds (no query scored at all) become null: JSON has no infinity."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f}"


def table(results: dict[str, Any]) -> str:
    """Markdown: recall at 1 % and 0.1 % false positives side by side, then errors of the first system."""
    systems = results["systems"]
    measured = [name for name, numbers in systems.items() if "conditions" in numbers]
    run = results["run"]
    lines = [
        "# CloneBench",
        "",
        f"{run['catalog_tracks']} catalog tracks, "
        f"{run['queries']} queries of {run['query_s']:g} s a condition, "
        f"{run['negatives_a_condition']} distractor queries a condition, seed {run['seed']}. "
        "Recall in %: at ≤ 1 % / at ≤ 0.1 % false positives, one threshold a system over all conditions, "
        "set on this run's distractor queries.",
        "",
        "| condition | " + " | ".join(measured) + " |",
        "|---|" + "---|" * len(measured),
    ]
    for condition in run["conditions"]:
        cells = []
        for name in measured:
            recall = systems[name]["conditions"][condition]["recall"]
            cells.append(f"{_percent(recall[MAIN]['recall'])} / {_percent(recall[STRICT]['recall'])}")
        lines.append(f"| {condition} | " + " | ".join(cells) + " |")
    means = []
    for name in measured:
        mean = systems[name]["mean_recall"]
        means.append(f"**{_percent(mean[MAIN])} / {_percent(mean[STRICT])}**")
    lines += ["| **mean** | " + " | ".join(means) + " |", ""]
    for name, numbers in systems.items():
        lines += _system(name, numbers, run["conditions"])
    for path, why in run["left_out"].items():
        lines.append(f"- left out: `{path}`: {why}")
    return "\n".join(lines).rstrip() + "\n"


def _system(name: str, numbers: dict[str, Any], conditions: list[str]) -> list[str]:
    if "missing" in numbers:
        return [f"## {name}: missing", "", numbers["missing"], ""]
    lines = [
        f"## {name} ({numbers['version']})",
        "",
        "| threshold | value | from | false positives | recall, mean % |",
        "|---|---|---|---|---|",
    ]
    for threshold in numbers["thresholds"]:
        wrong = numbers["false_positives"][threshold["name"]]
        sign = "≤" if threshold["on"] == "false_positive_rate" else "≥"
        limit = f"{threshold['value']:.4g}" if math.isfinite(threshold["value"]) else "any"
        value = f"{threshold['on'].replace('_', ' ')} {sign} {limit}"
        lines.append(
            f"| {threshold['name']} | {value} | {threshold['origin']} "
            f"| {wrong['false_positives']} of {wrong['n']} "
            f"({100 * wrong['low']:.2f}–{100 * wrong['high']:.2f} %) "
            f"| {_percent(numbers['mean_recall'][threshold['name']])} |"
        )
    others = [threshold["name"] for threshold in numbers["thresholds"]]
    lines += [
        "",
        "| condition | n | top-1 % | "
        + " | ".join(f"recall at {other} (95 %)" for other in others)
        + " | start error, median s | transposition right % | tempo right % |",
        "|---|---|---|" + "---|" * len(others) + "---|---|---|",
    ]
    for condition in conditions:
        row = numbers["conditions"][condition]
        recalls = [
            f"{_percent(row['recall'][other]['recall'])} "
            f"({_percent(row['recall'][other]['low'])}–{_percent(row['recall'][other]['high'])})"
            for other in others
        ]
        error = row["median_start_error_s"]
        lines.append(
            f"| {condition} | {row['n']} | {_percent(row['top1'])} | "
            + " | ".join(recalls)
            + f" | {'–' if error is None else f'{error:.3f}'} | {_percent(row['right_transposition'])} "
            f"| {_percent(row['right_tempo'])} |"
        )
    lines.append("")
    if numbers.get("mean_query_s") is not None:
        lines += [f"{1000 * numbers['mean_query_s']:.0f} ms a query in the mean, in this run.", ""]
    return lines


def plot(results: dict[str, Any], path: Path) -> None:
    """Recall at 1 % false positives by condition, one dot a system with its 95 % interval."""
    import matplotlib as mpl  # noqa: PLC0415 - a second of imports that only the end of a run needs

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    systems = {name: numbers for name, numbers in results["systems"].items() if "conditions" in numbers}
    conditions = results["run"]["conditions"]
    height_in = 1.6 + 0.27 * len(conditions)
    figure, axes = plt.subplots(figsize=(8.5, height_in), layout="constrained")
    colours = ("#1b4965", "#e07a1f", "#5a9367", "#a23b72")
    # The system that matters most is drawn last, over the others.
    for index, (name, numbers) in reversed(list(enumerate(systems.items()))):
        spots, recalls, lows, highs = [], [], [], []
        for row, condition in enumerate(conditions):
            recall = numbers["conditions"][condition]["recall"][MAIN]
            spots.append(row + 0.22 * (index - (len(systems) - 1) / 2))
            recalls.append(100 * recall["recall"])
            lows.append(100 * (recall["recall"] - recall["low"]))
            highs.append(100 * (recall["high"] - recall["recall"]))
        # A tenth: a mean just under 100 % is not 100 %.
        mean = f"{100 * numbers['mean_recall'][MAIN]:.1f}"
        axes.errorbar(
            recalls,
            spots,
            xerr=[[max(0.0, low) for low in lows], [max(0.0, high) for high in highs]],
            fmt="o",
            markersize=5 if index == 0 else 3.5,
            linewidth=1.2 if index == 0 else 0.7,
            color=colours[index % len(colours)],
            label=f"{name} (mean {mean} %)",
        )
    axes.set_yticks(range(len(conditions)), conditions)
    axes.set_ylim(len(conditions) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("recall in % at ≤ 1 % false positives, with 95 % interval")
    axes.grid(axis="x", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)
