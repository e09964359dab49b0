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


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--plot", type=Path, required=True)
    options = parser.parse_args(arguments)
    rows = sorted((row for file in options.results for row in json.loads(file.read_text())), key=_vectors)
    print("| vectors | tracks | lists | bytes a vector | built, vectors/s CPU | open ms | verify s (CPU) |"
          " own MiB | mapped MiB |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        start = row["start"]
        print(
            f"| {row['vectors']:,} | {row['tracks']:,} | {row['lists']:,} | {row['bytes_a_vector']:.0f}"
            f" | {row['vectors'] / row['build_cpu_s']:,.0f} | {start['open_ms']:.0f}"
            f" | {start['verify_cpu_s']:.1f} | {start['own_mib_searched']:.0f}"
            f" | {start['mapped_mib_searched']:.0f} |"
        )
    print()
    print("| vectors | " + " | ".join(f"{each['probes']} probes" for each in rows[0]["recall"]) + " |")
    print("|---|" + "---|" * len(rows[0]["recall"]))
    for row in rows:
        cells = (f"{each['recall']:.3f} · {each['cpu_ms_540']:.0f} ms" for each in row["recall"])
        print(f"| {row['vectors']:,} | " + " | ".join(cells) + " |")
    _plot(rows, options.plot)
    return 0


def _plot(rows: list[dict[str, Any]], to: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.6), layout="constrained")
    for row in rows:
        recall = [each["recall"] for each in row["recall"]]
        cost = [each["cpu_ms_540"] for each in row["recall"]]
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
