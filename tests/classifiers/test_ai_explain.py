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
from soundalike.errors import AudioNotFound, SettingsError

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
