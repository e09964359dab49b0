"""`soundalike explain`, as a command of its own: text, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from pydantic import TypeAdapter
from typer.testing import CliRunner

from pipeline.evidence import AiAssessment
from soundalike.commands.explain import explain
from soundalike.errors import AudioNotFound

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


def test_a_missing_file_is_our_error(command: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "nothing.mp3")])
    assert isinstance(result.exception, AudioNotFound)
