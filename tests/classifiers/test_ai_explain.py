"""`soundalike explain`, as a command of its own: text, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from pydantic import TypeAdapter
from typer.testing import CliRunner

from classifiers.ai.detector import Assessment, SignReading
from classifiers.ai.drawing import headline
from pipeline.evidence import AiAssessment, Sign
from soundalike.commands.explain import explain
from soundalike.errors import AudioNotFound, SettingsError
from soundalike.render import origin_lines

MUSIC = sorted((Path(__file__).parents[2] / "soundalike" / "demo_audio").glob("*.opus"))[1]


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(explain)
    return app


def test_lines_for_a_person(command: typer.Typer) -> None:
    result = CliRunner().invoke(command, [str(MUSIC)])
    assert result.exit_code == 0, result.output
    assert MUSIC.name in result.output.splitlines()[0]
    assert "c2pa" in result.output
    assert "tag" in result.output
    assert "for people" in result.output


def test_what_speaks_the_loudest_comes_first(command: typer.Typer) -> None:
    signs = json.loads(CliRunner().invoke(command, [str(MUSIC), "--json"]).stdout)["signs"]
    loudness = [abs(sign["probability"] - 0.5) for sign in signs]
    assert len(signs) > 3
    assert loudness == sorted(loudness, reverse=True)


def test_json_has_the_form_of_the_evidence_record(command: typer.Typer) -> None:
    result = CliRunner().invoke(command, [str(MUSIC), "--json"])
    document = json.loads(result.stdout)
    record = TypeAdapter(AiAssessment).validate_python(document)
    assert record.known == document["known"]
    assert record.provenance
    assert len(document["model"]["sha256"]) == 64


def test_a_picture_on_demand(command: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(MUSIC), "--png", str(tmp_path / "why.png")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "why.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_is_said_beside_the_answer_for_the_whole() -> None:
    """In the lines of `soundalike check`, and over the picture."""
    detail = "25–40 s sound machine-made; other parts human"
    sign = Sign(name="mixed", probability=0.1, detail=detail)
    record = AiAssessment(probability=0.02, low=0.01, high=0.03, known=True, signs=(sign,))
    assert origin_lines(record)[1:] == [f"mixed: {detail}"]
    heard = Assessment(
        0.02, 0.01, 0.03, True, signs=(SignReading("mixed", 0.1, 0.1, detail),), false_positive_rate=0.6
    )
    assert headline(heard).splitlines()[1:] == [f"mixed: {detail}"]


def test_a_missing_file_is_our_error(command: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "nothing.mp3")])
    assert isinstance(result.exception, AudioNotFound)


@pytest.mark.parametrize("name", ["why.txt", "no/such/folder/why.png", "folder.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_listening(
    command: typer.Typer, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder.png").mkdir()

    def nobody_listens(*_: object) -> None:
        raise AssertionError("decoded before the path was looked at")

    monkeypatch.setattr("pipeline.decode.decode", nobody_listens)
    result = CliRunner().invoke(command, [str(MUSIC), "--png", str(tmp_path / name)])
    assert isinstance(result.exception, SettingsError)
    assert name.rsplit("/", 1)[-1] in str(result.exception)
