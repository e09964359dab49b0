import dataclasses

import pytest
import torch

from classifiers.augment import (
    Augmentation,
    add_power,
    code,
    degrade,
    distort,
    equalise,
    filter_bands,
    mask,
    noise_like,
    resynthesise,
    reverberate,
    speech_like,
    warp,
)
from classifiers.spectrogram import BANDS, MARGIN_BANDS, VIEW_BANDS


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.fixture
def power(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(6, VIEW_BANDS, 144, generator=generator) + 1e-3


def warped(
    picture: torch.Tensor, *, tempo: float, shift: float, start: float = 0.0, frames: int = 96
) -> torch.Tensor:
    return warp(
        picture,
        start_frames=torch.tensor([start]),
        tempo=torch.tensor([tempo]),
        shift_bands=torch.tensor([shift]),
        frames=frames,
    )


def test_warp_without_change_is_a_cut(generator: torch.Generator) -> None:
    picture = torch.rand(1, BANDS, 200, generator=generator)
    cut = warped(picture, tempo=1.0, shift=0.0, start=10.0)
    assert torch.allclose(cut, picture[:, MARGIN_BANDS : MARGIN_BANDS + VIEW_BANDS, 10:106], atol=1e-4)


def test_warp_up_shows_lower_bands_of_the_source(generator: torch.Generator) -> None:
    picture = torch.rand(1, BANDS, 200, generator=generator)
    up = warped(picture, tempo=1.0, shift=4.0)
    assert torch.allclose(up[:, 4:], picture[:, MARGIN_BANDS : MARGIN_BANDS + VIEW_BANDS - 4, :96], atol=1e-4)


def test_warp_faster_shows_later_frames_sooner(generator: torch.Generator) -> None:
    picture = torch.rand(1, BANDS, 200, generator=generator)
    fast = warped(picture, tempo=2.0, shift=0.0, frames=50)
    assert torch.allclose(fast, picture[:, MARGIN_BANDS : MARGIN_BANDS + VIEW_BANDS, 0:100:2], atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda p, g: equalise(p, 12.0, g),
        filter_bands,
        lambda p, g: reverberate(p, (0.2, 2.0), g),
        code,
        distort,
        resynthesise,
        mask,
        lambda p, g: degrade(p, Augmentation(), g),
    ],
    ids=["equalise", "filter", "reverberate", "code", "distort", "resynthesise", "mask", "degrade"],
)
def test_every_change_changes_keeps_power_finite_and_repeats_by_seed(change, power: torch.Tensor) -> None:
    first = change(power, torch.Generator().manual_seed(5))
    second = change(power, torch.Generator().manual_seed(5))
    assert first.shape == power.shape
    assert torch.isfinite(first).all()
    assert (first >= 0).all()
    assert not torch.equal(first, power)
    assert torch.equal(first, second)


def test_noise_is_added_at_the_ratio_asked(power: torch.Tensor, generator: torch.Generator) -> None:
    noise = noise_like(power, generator)
    mixed = add_power(power, noise, torch.full((6,), 0.0), generator)
    # Equal powers that interfere with a random phase add up to twice the power.
    assert float(mixed.mean() / power.mean()) == pytest.approx(2.0, rel=0.15)


def test_reverberation_only_reaches_forward(generator: torch.Generator) -> None:
    click = torch.zeros(1, VIEW_BANDS, 144)
    click[:, :, 70] = 1.0
    wet = reverberate(click, (0.5, 0.5), generator)
    assert float(wet[:, :, :70].max()) < 1e-4
    assert float(wet[:, :, 71:90].mean()) > 1e-4


def test_a_vocoder_melts_low_partials_and_keeps_high_ones_apart(generator: torch.Generator) -> None:
    """At 110 Hz a mel band spans several of our bands, at 4 kHz less than two."""
    picture = torch.full((40, VIEW_BANDS, 96), 1e-6)
    picture[:, [10, 120]] = 1.0
    heard = resynthesise(picture, generator).mean(dim=(0, 2))
    assert float(heard[14]) > 10 * float(heard[116])


def test_examples_that_are_not_drawn_stay_as_they_are(power: torch.Tensor) -> None:
    none = Augmentation(
        **{
            field.name: 0.0
            for field in dataclasses.fields(Augmentation)
            if field.name.endswith("_probability")
        }
    )
    assert torch.equal(degrade(power, none, torch.Generator().manual_seed(5)), power)


def test_speech_like_pauses_hisses_and_glides(generator: torch.Generator) -> None:
    talk = speech_like(torch.ones(32, VIEW_BANDS, 144), generator)
    assert torch.isfinite(talk).all()
    loud_db = 10 * torch.log10(talk.amax(dim=1))
    assert (loud_db.amax(dim=1) - loud_db.amin(dim=1) > 30).float().mean() > 0.7  # most pause within 3 s
    bright = talk.argmax(dim=1) > VIEW_BANDS * 3 // 4
    assert 0.02 < bright.float().mean() < 0.4  # consonants are a minority
    loudest = talk.argmax(dim=1)
    assert all(len(set(row.tolist())) > 5 for row in loudest)
