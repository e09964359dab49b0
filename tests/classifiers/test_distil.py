"""A cut network: smaller, nearly the same before it learns, closer after."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from classifiers.distil import cut, distance, load_teacher
from classifiers.embedder import SHIPPED_WEIGHTS, Embedder, EmbedderConfig, EmbedderModel
from classifiers.train_embedder import Recipe, train

SIZES = EmbedderConfig(hidden_size=32, layers=2, heads=2, intermediate_size=64, dimension=16)


@pytest.fixture
def teacher() -> EmbedderModel:
    torch.manual_seed(0)
    return EmbedderModel(SIZES).eval().requires_grad_(False)


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randn(12, 128, 96, generator=torch.Generator().manual_seed(1)) * 20.0 - 40.0


def test_what_is_cut_is_what_matters_least(teacher: EmbedderModel, windows: torch.Tensor) -> None:
    idle = torch.arange(0, 64, 2)
    for layer in teacher.encoder.layers:
        layer.mlp.fc2.weight[:, idle] = 0.0
    # Pairs in time alike, so that joining them is the only other change.
    still = windows[:, :, :1].expand(-1, -1, 96).contiguous()
    student = cut(teacher, still, intermediate_size=32).eval()
    assert student.encoder.layers[0].mlp.fc1.weight.shape == (32, 32)
    assert torch.equal(
        student.encoder.layers[1].mlp.fc2.weight, teacher.encoder.layers[1].mlp.fc2.weight[:, 1::2]
    )
    assert sum(p.numel() for p in student.parameters()) < sum(p.numel() for p in teacher.parameters())
    with torch.no_grad():
        assert float(distance(student(still), teacher(still))) < 0.1


def test_the_distance_is_nothing_between_equals(teacher: EmbedderModel, windows: torch.Tensor) -> None:
    with torch.no_grad():
        embedded = teacher(windows)
    assert float(distance(embedded, embedded)) == pytest.approx(0.0, abs=1e-5)
    assert float(distance(embedded, -embedded)) == pytest.approx(20.0, abs=1e-4)


def test_joined_patches_are_saved_and_loaded(
    teacher: EmbedderModel, windows: torch.Tensor, tmp_path: Path
) -> None:
    student = cut(teacher, windows, intermediate_size=16).eval()
    student.save_pretrained(tmp_path)
    again = load_teacher(tmp_path, torch.device("cpu"))
    assert again.config.merge_before == 0
    assert again.config.intermediate_size == 16
    with torch.no_grad():
        assert torch.equal(again(windows), student(windows))


def test_a_distilled_network_comes_closer_to_its_teacher(
    corpus: Path,
    teacher: EmbedderModel,
    windows: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    teacher.save_pretrained(tmp_path / "teacher")
    clock = iter([0.0] * 31 + [1e9])
    monkeypatch.setattr("classifiers.train_embedder.STEPS_PER_EVALUATION", 30)
    monkeypatch.setattr("classifiers.train_embedder.TUNE_BATCHES", 1)
    monkeypatch.setattr("classifiers.train_embedder.monotonic", lambda: next(clock))
    best = train(
        corpus=corpus,
        out=tmp_path / "out",
        hours=1.0,
        distil_from=tmp_path / "teacher",
        recipe=Recipe(pairs=8, distilled_neurons=16, warmup_steps=5, learning_rate=2e-3, dimension=16),
    )
    before = cut(teacher, windows, intermediate_size=16).eval()
    after = load_teacher(best, torch.device("cpu"))
    with torch.no_grad():
        taught = teacher(windows)
        assert float(distance(after(windows), taught)) < float(distance(before(windows), taught))


def test_the_shipped_network_is_a_distilled_one() -> None:
    model = load_teacher(SHIPPED_WEIGHTS, torch.device("cpu"))
    assert (model.config.merge_before, model.config.intermediate_size) == (0, Recipe().distilled_neurons)
    assert Embedder().dimension == Recipe().dimension
