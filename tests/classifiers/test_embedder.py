from pathlib import Path

import numpy as np
import pytest
import torch

from classifiers.embedder import WINDOW_FRAMES, Embedder, EmbedderConfig, EmbedderModel
from classifiers.spectrogram import BANDS, MARGIN_BANDS
from soundalike.errors import ModelError


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    EmbedderModel(EmbedderConfig(hidden_size=32, layers=1, heads=2, dimension=16)).save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.randn(BANDS, 300, generator=torch.Generator().manual_seed(1)) * 10 - 40


def test_rows_are_unit_vectors_and_repeatable(small: Path, picture: torch.Tensor) -> None:
    embedder = Embedder(small)
    starts = np.arange(0, 200, 50)
    first = embedder.embed(picture, start_frames=starts)
    assert first.shape == (4, 16)
    assert first.dtype == np.float32
    assert np.allclose(np.linalg.norm(first, axis=1), 1.0, atol=1e-2)
    assert np.array_equal(first, Embedder(small).embed(picture, start_frames=starts))


def test_level_does_not_matter(small: Path, picture: torch.Tensor) -> None:
    embedder = Embedder(small)
    starts = np.arange(0, 200, 50)
    quiet = embedder.embed(picture - 23.0, start_frames=starts)
    assert np.all((quiet * embedder.embed(picture, start_frames=starts)).sum(axis=1) > 0.99)


def test_shifting_the_picture_is_looking_elsewhere(small: Path, picture: torch.Tensor) -> None:
    embedder = Embedder(small)
    starts = np.array([0])
    raised = embedder.embed(picture, start_frames=starts, shift_bands=6)
    same = embedder.embed(torch.roll(picture, 6, dims=0), start_frames=starts)
    assert np.allclose(raised, same, atol=1e-2)


def test_a_window_past_the_end_is_padded(small: Path, picture: torch.Tensor) -> None:
    assert Embedder(small).embed(picture, start_frames=np.array([300 - WINDOW_FRAMES // 2])).shape == (1, 16)


def test_no_windows_give_no_rows(small: Path, picture: torch.Tensor) -> None:
    assert Embedder(small).embed(picture, start_frames=np.zeros(0, np.int64)).shape == (0, 16)


def test_a_shift_beyond_the_margin_is_refused(small: Path, picture: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="margin"):
        Embedder(small).embed(picture, start_frames=np.array([0]), shift_bands=MARGIN_BANDS + 1)


def test_the_digest_follows_the_weights(small: Path, tmp_path: Path) -> None:
    model = EmbedderModel.from_pretrained(small)
    with torch.no_grad():
        model.projection.bias += 1e-3
    model.save_pretrained(tmp_path)
    assert Embedder(small).sha256 != Embedder(tmp_path).sha256


def test_a_folder_without_a_model_is_a_model_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        Embedder(tmp_path)


def test_another_front_end_is_a_model_error(tmp_path: Path) -> None:
    config = EmbedderConfig(hidden_size=32, layers=1, heads=2, dimension=16, front_end="mel-64")
    EmbedderModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="mel-64"):
        Embedder(tmp_path)
