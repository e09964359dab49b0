"""The table and the plot of docs/scale.md from what `bench.scale` measured.

python -m bench.scale_plot scale.json --plot docs/scale.png
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

WANTED_RECALL = 0.98
WINDOWS = 360
"""Of a track of three minutes."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = sorted((row for file in options.results for row in json.loads(file.read_text())), key=_vectors)
    _print_sizes(rows)
    print()
    _print_recall(rows)
    _plot(rows, options.plot)
    return 0


def _print_sizes(rows: list[dict[str, Any]]) -> None:
    """A column for each size."""
    lines = {
        "tracks": [f"{row['tracks']:,}" for row in rows],
        "lists; looked into": [f"{row['lists']:,}; {row['probes']}" for row in rows],
        "bytes a vector: index + contour + starts + table": [_bytes(row) for row in rows],
        "bytes a track of 3 minutes": [
            f"{sum(row['bytes_a_window_by_file'].values()) * WINDOWS:,.0f}" for row in rows
        ],
        "built, vectors a CPU second": [f"{row['vectors'] / row['build_cpu_s']:,.0f}" for row in rows],
        "opened by mapping": [f"{row['start']['open_ms']:.0f} ms" for row in rows],
        "all checksums compared: CPU (wall)": [
            f"{row['start']['verify_cpu_s']:.1f} s ({row['start']['verify_s']:.1f} s)" for row in rows
        ],
        "own memory after searching": [f"{row['start']['own_mib_searched']:.1f} MiB" for row in rows],
        "mapped pages touched": [f"{row['start']['mapped_mib_searched']:,.0f} MiB" for row in rows],
        "search of one upload, CPU: p50, p99": [
            f"{row['search_cpu_ms']['50']:,.0f}, {row['search_cpu_ms']['99']:,.0f} ms" for row in rows
        ],
        "the same, wall": [
            f"{row['search_wall_ms']['50']:,.0f}, {row['search_wall_ms']['99']:,.0f} ms" for row in rows
        ],
    }
    print("| | " + " | ".join(f"{row['vectors'] / 1e6:.3g} million" for row in rows) + " |")
    print("|---|" + "---|" * len(rows))
    for name, cells in lines.items():
        print(f"| {name} | " + " | ".join(cells) + " |")


def _bytes(row: dict[str, Any]) -> str:
    by_file = row["bytes_a_window_by_file"]
    table = by_file["tracks.npy"] + by_file["ids.npy"]
    return (
        f"{by_file['index.faiss']:.1f} + {by_file['contours.npy']:.0f} + {by_file['starts.npy']:.0f}"
        f" + {table:.1f}"
    )


def _print_recall(rows: list[dict[str, Any]]) -> None:
    print("| vectors | " + " | ".join(f"{each['probes']}" for each in rows[0]["recall"]) + " |")
    print("|---|" + "---|" * len(rows[0]["recall"]))
    for row in rows:
        cells = (
            f"{'**' if each['probes'] == row['probes'] else ''}{each['recall']:.3f} · {each['cpu_ms']:,.0f}"
            f"{'**' if each['probes'] == row['probes'] else ''}"
            for each in row["recall"]
        )
        print(f"| {row['vectors'] / 1e6:.3g} million | " + " | ".join(cells) + " |")


def _plot(rows: list[dict[str, Any]], to: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
    for row in rows:
        recall = [each["recall"] for each in row["recall"]]
        cost = [each["cpu_ms"] for each in row["recall"]]
        left.plot(cost, recall, marker="o", markersize=3, label=f"{row['vectors'] / 1e6:.3g} million")
    left.axhline(WANTED_RECALL, color="grey", linewidth=0.8, linestyle="--")
    left.set(xlim=(0, None), xlabel="search of one upload, ms of one core", ylabel="recall@20")
    left.legend(title="vectors", fontsize=8)
    millions = [row["vectors"] / 1e6 for row in rows]
    right.plot(millions, [row["start"]["own_mib_searched"] for row in rows], marker="o", label="own memory")
    right.plot(millions, [row["vectors"] * row["bytes_a_vector"] / 2**20 for row in rows], marker="o",
               label="index file")  # fmt: skip
    right.set(xlim=(0, None), ylim=(0, None), xlabel="million vectors", ylabel="MiB")
    right.legend(fontsize=8)
    figure.savefig(to, dpi=110)


def _vectors(row: dict[str, Any]) -> int:
    return int(row["vectors"])


if __name__ == "__main__":
    sys.exit(main())
