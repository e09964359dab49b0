"""`soundalike train`: make the models that the package ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from soundalike.errors import SettingsError

app = typer.Typer(no_args_is_help=True, help="Train the models that the package ships.")


@app.callback()
def _group() -> None:
    """Keeps `embedder` a sub-command while it is the only one."""


@app.command()
def embedder(
    *,
    corpus: Annotated[
        Path, typer.Option(help="Folder with tracks.csv, as `python -m bench.corpora` makes it.")
    ] = Path("runs/corpora"),
    out: Annotated[
        Path, typer.Option(help="Folder for spectrograms, checkpoint, curve and the best weights.")
    ] = Path("runs/embedder"),
    hours: Annotated[float, typer.Option(min=0.0, help="Wall time to train for.")] = 2.0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Stop at this step if it comes first, counted over all runs in OUT."),
    ] = None,
    anneal_steps: Annotated[
        int,
        typer.Option(
            min=0, help="Then so many steps to a learning rate of zero; the checkpoint stays as before them."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Same seed, same corpus, same machine: same weights.")] = 1,
    start_from: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Weights to begin with, where OUT holds no checkpoint yet."
        ),
    ] = None,
    distil_from: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="Weights of a larger network: train a smaller, faster one that answers as it does.",
        ),
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(min=2, help="Windows a batch; a GPU has room for four times the default.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: all cores.")] = None,
) -> None:
    """Train the recogniser's network; continue where the last run in `--out` stopped.

    Uses a GPU when there is one, else the CPU, in bfloat16 where it has that. The best weights so far are
    always in `OUT/best` and can be tried at once:

        soundalike train embedder --hours 2 --anneal-steps 300

        soundalike check --embedder runs/embedder/best song.mp3

    A quarter of the work in use, at a small loss (docs/decisions.md):

        soundalike train embedder --distil-from runs/embedder/best --out runs/distilled --hours 1.5
    """
    import torch  # noqa: PLC0415 -- heavy: only where it is used

    from classifiers.train_embedder import STEPS_PER_EVALUATION, Recipe, train  # noqa: PLC0415

    if not (corpus / "tracks.csv").is_file():
        raise SettingsError(
            f"{corpus} holds no tracks.csv; make it with `python -m bench.corpora --root {corpus}`"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        reading = progress.add_task("Reading the corpus", total=None)
        total = hours * 3600.0 if steps is None else steps
        training = progress.add_task("Training", total=total, start=False, visible=False)
        best = 0.0

        def preparing(done: int, total: int, name: str) -> None:
            progress.update(
                reading, completed=done + 1, total=total, description=f"Reading {Path(name).name[:40]}"
            )

        def report(figures: dict[str, float]) -> None:
            nonlocal best
            progress.start_task(training)
            best = max(best, figures.get("tune_top1", 0.0))
            progress.update(
                training,
                visible=True,
                completed=figures["seconds" if steps is None else "step"],
                description=f"step {figures['step']:.0f}, loss {figures['loss']:.2f}, best top-1 {best:.3f}",
            )

        weights = train(
            corpus=corpus,
            out=out,
            hours=hours,
            steps=steps,
            anneal_steps=anneal_steps,
            seed=seed,
            start_from=start_from,
            distil_from=distil_from,
            recipe=Recipe() if pairs is None else Recipe(pairs=pairs),
            report=report,
            preparing=preparing,
        )
    if weights.is_dir():
        console.print(f"The best weights lie in {weights}; the curve in {out / 'curve.csv'}.")
    else:
        console.print(
            f"No weights were judged yet: every {STEPS_PER_EVALUATION} steps they are, and after annealing."
            " The same command goes on."
        )
