"""The command line of CloneBench."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from bench.arguments import above_zero, at_least, names
from bench.clonebench.report import write
from bench.clonebench.run import Settings, run
from bench.clonebench.systems import OURS, known
from bench.conditions import chosen
from soundalike.errors import SoundalikeError


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.clonebench",
        description="Measure how well recordings are recognised through what was done to them.",
    )
    parser.add_argument("--catalog", type=Path, required=True, help="folder of licensed recordings")
    parser.add_argument(
        "--distractors", type=Path, required=True, help="folder of other recordings: must not be recognised"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder for results.json, table.md, plot.png; an interrupted run goes on from its answers.jsonl",
    )
    parser.add_argument(
        "--conditions", nargs="*", default=[], metavar="NAME", help="a,b or a b; all when not given"
    )
    parser.add_argument(
        "--queries", type=at_least(1), default=40, help="catalog queries a condition (%(default)s)"
    )
    parser.add_argument(
        "--negatives", type=at_least(1), help="distractor queries a condition (as many as --queries)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of excerpts and renderings (%(default)s)")
    parser.add_argument("--peers", default="", help="audfprint,chromaprint; none when not given")
    parser.add_argument("--query-seconds", type=above_zero, default=10.0, help="of an excerpt (%(default)s)")
    parser.add_argument("--model", help="weights of our embedder: folder or hub id (the shipped ones)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    console = Console(stderr=True)
    try:
        settings = Settings(
            catalog=options.catalog,
            distractors=options.distractors,
            conditions=chosen(names(options.conditions)),
            queries=options.queries,
            negatives=options.queries if options.negatives is None else options.negatives,
            seed=options.seed,
            query_s=options.query_seconds,
            systems=known([OURS, *names([options.peers])]),
            model=options.model,
        )
        results = run(settings, console=console, out=options.out)
    except SoundalikeError as error:
        console.print(f"error: {error}", style="red", highlight=False, markup=False)
        return 2
    write(results, options.out)
    for name, numbers in results["systems"].items():
        if "missing" in numbers:
            console.print(f"missing: {numbers['missing']}", style="yellow", highlight=False, markup=False)
        else:
            found = ", ".join(f"{100 * value:.1f} % at {at}" for at, value in numbers["mean_recall"].items())
            console.print(f"{name}: mean recall {found}", highlight=False)
    console.print(f"written to {options.out}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
