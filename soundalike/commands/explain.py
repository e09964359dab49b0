"""`soundalike explain`: why does the second ear say what it says of a file?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from soundalike.errors import SettingsError


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audio file of any format.")],
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT",
            help="Draw the spectrum and what was found in it, the score along time, the signs.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON document.")] = False,
) -> None:
    """Say how likely a machine made this recording, by which signs, and what the file says of itself.

    It needs no catalog: whose recording it is, `soundalike check` says. A probability is no proof: people
    decide. The marks in the file (manifest, tags) are read apart from the sound and do not change the
    probability. Each sign is shown with the probability that it alone would give, what speaks the loudest
    first; those of 0.4 to 0.6 say nothing either way.

    Examples:

        soundalike explain song.mp3

        soundalike explain song.mp3 --png why.png

    Exit code: 0 whatever was heard, 2 the file can't be read or decoded.
    """
    import json  # noqa: PLC0415 -- `--help` stays quick

    from classifiers.ai.detector import load_detector  # noqa: PLC0415
    from classifiers.ai.drawing import draw  # noqa: PLC0415
    from pipeline.decode import decode  # noqa: PLC0415
    from pipeline.events import AiDisclosure  # noqa: PLC0415
    from pipeline.marks import read_marks  # noqa: PLC0415
    from pipeline.origin import assess_origin  # noqa: PLC0415
    from soundalike.render import marks_of, show_origin  # noqa: PLC0415

    if png is not None:
        _refuse_unwritable(png)
    audio = decode(file).audio
    detector = load_detector()
    heard = detector.assess(audio)
    ai = assess_origin(AiDisclosure(), read_marks(file), heard)
    if as_json:
        # The `ai` part of an evidence record, and beside it the model that said so.
        document = ai.model_dump(mode="json") | {"model": {"name": detector.name, "sha256": detector.sha256}}
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        show_origin(file.name, ai)
    if png is not None:
        draw(audio, heard, png, title=file.name, marks=marks_of(ai))
        typer.echo(f"picture: {png}", err=True)


def _refuse_unwritable(png: Path) -> None:
    """Before anything is heard: the answer to a wrong path must not come half a minute later."""
    if png.suffix.lower() != ".png":
        raise SettingsError(f"--png {png}: what is drawn is a PNG; give a name that ends in .png")
    if png.is_dir():
        raise SettingsError(f"--png {png}: that is a folder; give a file's name")
    if not png.absolute().parent.is_dir():
        raise SettingsError(f"--png {png}: there is no folder {png.parent}; make it first")
