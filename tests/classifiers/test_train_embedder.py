"""The recipe on a tiny corpus: it runs, it learns, it resumes, and a seed fixes it."""

import csv
from pathlib import Path

import pytest
import torch

from classifiers.augment import Augmentation
from classifiers.embedder import Embedder, EmbedderConfig, EmbedderModel
from classifiers.spectrogram_store import dequantise, load_store, quantise
from classifiers.train_embedder import Recipe, contrastive_loss, make_pairs, narrow, sample_sources, train
from soundalike.errors import NotAudio, SettingsError

SMALL = EmbedderConfig(hidden_size=32, layers=1, heads=2, dimension=16)


def test_the_store_is_computed_once_and_is_half_a_decibel_fine(corpus: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    tracks = load_store(corpus, "train", tmp_path, progress=lambda _d, _t, name: seen.append(name))
    assert len(tracks) == len(seen) == 4
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    load_store(corpus, "train", tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    levels = torch.linspace(-100.0, 20.0, 50)[None]
    assert float((dequantise(torch.from_numpy(quantise(levels))).T - levels).abs().max()) <= 0.25 + 1e-4


def test_music_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "tracks.csv").write_text("path,package,sha256,split\nbroken.wav,p,00,train\n")
    (tmp_path / "broken.wav").write_text("no music")
    with pytest.raises(NotAudio, match=r"broken\.wav"):
        load_store(tmp_path, "train", tmp_path / "store")


def test_pairs_without_augmentation_are_equal(corpus: Path, tmp_path: Path) -> None:
    tracks = load_store(corpus, "train", tmp_path)
    off = Augmentation(
        shift_probability=0.0,
        tempo_probability=0.0,
        jitter_s=0.0,
        equaliser_probability=0.0,
        filter_probability=0.0,
        noise_probability=0.0,
        music_probability=0.0,
        speech_probability=0.0,
        reverb_probability=0.0,
        codec_probability=0.0,
        distortion_probability=0.0,
        resynthesis_probability=0.0,
        mask_probability=0.0,
    )
    generator = torch.Generator().manual_seed(0)
    sources, owners = sample_sources(tracks, torch.ones(4), Recipe(pairs=8), generator)
    reference, query = make_pairs(sources, off, generator)
    assert owners.shape == (8,)
    assert torch.allclose(reference, query, atol=1e-3)


def test_the_loss_prefers_the_right_partner_and_ignores_repetitions() -> None:
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(8, 16, generator=generator), dim=1)
    apart = torch.arange(8)
    assert contrastive_loss(points, points, apart, Recipe()) < 0.1
    assert contrastive_loss(points, points.roll(1, dims=0), apart, Recipe()) > 1.0
    repeated = points[0].repeat(8, 1)
    one_track = torch.zeros(8, dtype=torch.long)
    assert contrastive_loss(repeated, repeated, one_track, Recipe()) < 0.1
    assert contrastive_loss(repeated, repeated, apart, Recipe()) > 2.0


def test_training_repeats_by_seed_and_continues(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(pairs=8)

    def run(out: Path, steps: int, anneal_steps: int = 0, *, no_further: int | None = None) -> list[float]:
        """Train for so many steps: the clock jumps past the end after the last."""
        losses: list[float] = []
        clock = iter([0.0] * (steps + 1) + [1e9] * (1 + anneal_steps))
        with monkeypatch.context() as patch:
            module = "classifiers.train_embedder"
            patch.setattr(f"{module}.STEPS_PER_EVALUATION", 2)
            patch.setattr(f"{module}.TUNE_BATCHES", 1)
            patch.setattr(f"{module}.EmbedderConfig", lambda **_: SMALL)
            patch.setattr(f"{module}.monotonic", lambda: next(clock))
            train(
                corpus=corpus,
                out=out,
                hours=1.0,
                steps=no_further,
                anneal_steps=anneal_steps,
                recipe=recipe,
                report=lambda figures: losses.append(figures["loss"]),
            )
        return losses

    whole = run(tmp_path / "a", 4)
    assert len(whole) == 4
    first = run(tmp_path / "b", 2, anneal_steps=3)
    assert len(first) == 5
    then = run(tmp_path / "b", 2)  # as if there had been no annealing
    assert first[:2] + then == pytest.approx(whole, rel=1e-4)
    assert run(tmp_path / "c", 9, no_further=3) == whole[:3]  # whatever time is left
    assert run(tmp_path / "c", 9, no_further=4) == pytest.approx(whole[3:], rel=1e-4)
    weights = EmbedderModel.from_pretrained(tmp_path / "a" / "best")
    assert Embedder(tmp_path / "a" / "best").dimension == 16
    assert weights.config.hidden_size == 32
    with (tmp_path / "a" / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2.0", "4.0"]
    with (tmp_path / "b" / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2.0", "4.0", "5.0", "4.0"]


def test_a_run_that_began_as_a_network_of_another_size_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = EmbedderConfig(
        hidden_size=32, layers=1, heads=2, intermediate_size=48, merge_before=0, dimension=16
    )
    EmbedderModel(sizes).save_pretrained(tmp_path / "start")
    monkeypatch.setattr("classifiers.train_embedder.TUNE_BATCHES", 1)

    def run(out: str, steps: int, start_from: Path | None) -> dict[str, torch.Tensor]:
        recipe = Recipe(pairs=8)
        train(corpus=corpus, out=tmp_path / out, hours=1.0, steps=steps, start_from=start_from, recipe=recipe)
        state = torch.load(tmp_path / out / "checkpoint.pt", weights_only=True)
        assert state["step"] == steps
        return dict(state["model"])

    whole = run("a", 4, tmp_path / "start")
    run("b", 2, tmp_path / "start")
    resumed = run("b", 4, None)
    assert whole["encoder.layers.0.mlp.fc1.weight"].shape == (48, 32)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-6)

    checkpoint = tmp_path / "b" / "checkpoint.pt"
    older = torch.load(checkpoint, weights_only=True)
    del older["config"]
    torch.save(older, checkpoint)
    with pytest.raises(SettingsError, match=r"an older version wrote it.*--start-from .*best"):
        run("b", 6, None)


def test_a_narrowed_network_keeps_the_cosines_of_the_windows_it_was_narrowed_by() -> None:
    torch.manual_seed(0)
    model = EmbedderModel(EmbedderConfig(hidden_size=32, layers=1, heads=2, dimension=24))
    windows = torch.randn(6, 128, 96) * 20.0
    with torch.no_grad():
        before = model.eval()(windows)
        narrow(model, 8, windows)
        after = model.eval()(windows)
    assert after.shape == (6, 8)
    assert model.config.dimension == 8
    # Six windows span at most six directions; bfloat16 says where they lie to three digits.
    assert torch.allclose(before @ before.T, after @ after.T, atol=0.01)
