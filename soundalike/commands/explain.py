"""`soundalike explain`: why does the second ear say what it says of a file?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from classifiers.ai.detector import Assessment
    from classifiers.provenance import Claim


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audio file of any format.")],
    png: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Draw the spectrum, the score along time and the signs."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON document.")] = False,
) -> None:
    """Say how likely a machine made this recording, by which signs, and what the file says of itself.

    A probability is no proof: people decide. The marks in the file (manifest, tags) are read apart from the
    sound and do not change the probability.

    Examples:

        soundalike explain song.mp3

        soundalike explain song.mp3 --png why.png
    """
    from classifiers.ai.detector import load_detector  # noqa: PLC0415 -- `--help` stays quick
    from classifiers.ai.drawing import draw  # noqa: PLC0415
    from classifiers.provenance import read_provenance  # noqa: PLC0415
    from pipeline.decode import decode  # noqa: PLC0415

    audio = decode(file).audio
    detector = load_detector()
    assessment = detector.assess(audio)
    claims = read_provenance(file)
    if as_json:
        document = _document(assessment, claims) | {
            "model": {"name": detector.name, "sha256": detector.sha256}
        }
        typer.echo(json.dumps(document, ensure_ascii=False))
    else:
        for line in _lines(file.name, assessment, claims):
            typer.echo(line)
    if png is not None:
        draw(audio, assessment, png, title=file.name)
        typer.echo(f"picture: {png}", err=True)


def _document(assessment: Assessment, claims: list[Claim]) -> dict[str, Any]:
    """The `ai` part of an evidence record, and beside it why nothing is known, if so."""
    return {
        "probability": assessment.probability,
        "low": assessment.low,
        "high": assessment.high,
        "known": assessment.known,
        "reason": assessment.reason,
        "false_positive_rate": assessment.false_positive_rate,
        "segments": [
            {"start_s": start_s, "end_s": end_s, "probability": probability}
            for start_s, end_s, probability in assessment.segments
        ],
        "signs": [
            {"name": sign.name, "value": sign.value, "probability": sign.probability, "detail": sign.detail}
            for sign in assessment.signs
        ],
        "provenance": [
            {"kind": claim.kind, "state": claim.state, "detail": claim.detail} for claim in claims
        ],
    }


def _lines(name: str, assessment: Assessment, claims: list[Claim]) -> list[str]:
    from classifiers.ai.drawing import headline  # noqa: PLC0415

    lines = [f"{name}: {headline(assessment)}"]
    lines += [f"  {sign.name:10} {sign.probability:5.2f}  {sign.detail}" for sign in assessment.signs]
    lines += [f"  {claim.kind:10} {claim.state}: {claim.detail}" for claim in claims]
    return lines
