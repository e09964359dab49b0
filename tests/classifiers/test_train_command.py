"""`soundalike train embedder`: what it says at its end, and that the same command goes on."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from classifiers.embedder import EmbedderConfig, EmbedderModel
from soundalike.commands.train import app
from soundalike.errors import SettingsError


def train(*arguments: str | Path) -> str:
    ran = CliRunner().invoke(app, ["embedder", *map(str, arguments)], env={"COLUMNS": "300"})
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.output


def test_weights_are_named_once_they_are_judged(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifiers.train_embedder.TUNE_BATCHES", 1)
    # The least there is: the first weights judged are the best so far even so.
    monkeypatch.setattr("classifiers.train_embedder.tune_score", lambda *_: 0.0)
    start, out = tmp_path / "start", tmp_path / "out"
    EmbedderModel(EmbedderConfig(hidden_size=32, layers=1, heads=2, dimension=16)).save_pretrained(start)
    common = ("--corpus", corpus, "--out", out, "--pairs", "8", "--hours", "1")
    said = train(*common, "--start-from", start, "--steps", "1")
    assert "No weights were judged yet: every 100 steps" in said
    assert not (out / "best").exists()
    said = train(*common, "--steps", "2", "--anneal-steps", "1")
    assert f"The best weights lie in {out / 'best'}" in said.replace("\n", "")
    assert EmbedderModel.from_pretrained(out / "best").config.hidden_size == 32


def test_a_batch_of_one_window_and_a_missing_corpus_are_refused(tmp_path: Path) -> None:
    assert "--pairs" in train("--corpus", tmp_path, "--pairs", "1")
    with pytest.raises(SettingsError, match=r"holds no tracks\.csv; make it with"):
        train("--corpus", tmp_path, "--pairs", "8")
