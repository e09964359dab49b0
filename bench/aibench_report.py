"""The results of AiBench as a table for people and as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_report(results: dict[str, Any], folder: Path) -> None:
    """`results.json`, the table as `results.md` and the picture `results.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(text + "\n", encoding="utf-8")
    (folder / "results.md").write_text(table(results), encoding="utf-8")
    write_plot(results, folder / "results.png")


def table(results: dict[str, Any]) -> str:
    """Markdown: conditions, generators under the first condition, human sources."""
    conditions = results["conditions"]
    lines = [
        f"Detector `{results['detector']['name']}` {results['detector']['sha256'][:12]}",
        "",
        "| condition | AUC (95 %) | of the known | TPR at 1 % FPR | FPR shipped (95 %) | TPR shipped "
        "| unknown human / AI |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(name, summary["all"]) for name, summary in conditions.items()]
    first = next(iter(conditions))
    lines += [
        "",
        f"By generator, {first}:",
        "",
        "| generator | AUC (95 %) | of the known | TPR at 1 % FPR | FPR shipped (95 %) | TPR shipped "
        "| unknown human / AI |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        _row(f"{name} ({cell['machine']})", cell) for name, cell in conditions[first]["generators"].items()
    ]
    lines += [
        "",
        f"Human sources, {first}:",
        "",
        "| source | recordings | FPR shipped (95 %) | unknown |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {name} | {source['recordings']} | {_with_interval(source, 'fpr_shipped')} "
        f"| {source['unknown']:.0%} |"
        for name, source in conditions[first]["human_sources"].items()
    ]
    if results["skipped"]:
        lines += ["", f"Not decodable, not counted: {len(results['skipped'])} (see results.json)."]
    return "\n".join(lines) + "\n"


def _row(name: str, cell: dict[str, Any]) -> str:
    low, high = cell["auc_95"]
    known = "none" if cell["auc_known"] is None else f"{cell['auc_known']:.3f}"
    return (
        f"| {name} | {cell['auc']:.3f} ({low:.2f}–{high:.2f}) | {known} "
        f"| {_with_interval(cell, 'tpr_at_1pct_fpr')} "
        f"| {_with_interval(cell, 'fpr_shipped')} | {_with_interval(cell, 'tpr_shipped')} "
        f"| {cell['unknown_human']:.0%} / {cell['unknown_machine']:.0%} |"
    )


def _with_interval(cell: dict[str, Any], name: str) -> str:
    low, high = cell[f"{name}_95"]
    return f"{cell[name]:.1%} ({low:.0%}–{high:.0%})"


def write_plot(results: dict[str, Any], path: Path) -> None:
    """AUC of every generator under every condition as a heat map, and the shipped rates beside it."""
    from matplotlib.figure import Figure  # noqa: PLC0415 -- slow to import, and only here

    conditions = results["conditions"]
    names = list(conditions)
    generators = ["all", *next(iter(conditions.values()))["generators"]]
    grid = [
        [
            (conditions[name]["all"] if generator == "all" else conditions[name]["generators"][generator])[
                "auc"
            ]
            for name in names
        ]
        for generator in generators
    ]
    figure = Figure(figsize=(3.5 + 0.62 * len(names) + 4, 1.8 + 0.42 * len(generators)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(max(len(names), 3), 5))
    image = left.imshow(grid, vmin=0.5, vmax=1.0, cmap="viridis", aspect="auto")
    left.set_xticks(range(len(names)), names, rotation=60, ha="right")
    left.set_yticks(range(len(generators)), generators)
    for row, values in enumerate(grid):
        for column, value in enumerate(values):
            shade = "black" if value > 0.8 else "white"
            left.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=shade)
    left.set_title("AUC by generator and condition")
    figure.colorbar(image, ax=left, shrink=0.8)
    places = range(len(names))
    for offset, key, colour, label in (
        (-0.2, "fpr_shipped", "tab:red", "human accused (false positives)"),
        (0.2, "tpr_shipped", "tab:blue", "machine-made found"),
    ):
        rates = [conditions[name]["all"][key] for name in names]
        spans = [conditions[name]["all"][f"{key}_95"] for name in names]
        errors = [
            [max(rate - low, 0.0) for rate, (low, _) in zip(rates, spans, strict=True)],
            [max(high - rate, 0.0) for rate, (_, high) in zip(rates, spans, strict=True)],
        ]
        at = [place + offset for place in places]
        right.barh(at, rates, height=0.38, xerr=errors, color=colour, label=label, error_kw={"lw": 0.8})
    right.set_yticks(list(places), names)
    right.invert_yaxis()
    right.set_xlim(0, 1)
    right.axvline(0.01, color="black", lw=0.6, ls=":")
    right.set_title("at the shipped threshold, 95 % intervals")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=7)
    figure.savefig(path, dpi=130)
