"""The whole training recipe of the embedder, top to bottom.

Two crops of the same second, one as it is and one as the world leaves it (`classifiers.augment`),
are pulled together, all other crops of the batch are pushed away (NT-Xent: Chen et al. 2020; for
audio fingerprints: Chang et al. 2021). Crops of one track that already look alike are not pushed
apart: music repeats itself. The weights that are kept are an exponential moving average, so that the
learning rate can stay constant and every run can continue the one before. Annealing comes last and can
come again: from the checkpoint, which stays as it is, the rate falls to nothing (warm-up, stable, decay:
Hu et al. 2024).

    soundalike train embedder --corpus runs/corpora --out runs/embedder --hours 2
    soundalike train embedder --corpus runs/corpora --out runs/embedder --hours 0 --anneal-steps 300
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from classifiers.augment import (
    CONTEXT_FRAMES,
    Augmentation,
    degrade,
    draw_shift_bands,
    draw_tempo,
    uniform,
    warp,
)
from classifiers.distil import cut, distance, load_teacher
from classifiers.embedder import WINDOW_FRAMES, EmbedderConfig, EmbedderModel
from classifiers.precision import fastest_dtype
from classifiers.spectrogram import FRAME_RATE_HZ
from classifiers.spectrogram_store import StoredTrack, dequantise, load_store
from soundalike.errors import SettingsError

CPU = torch.device("cpu")
SOURCE_FRAMES = 260
"""Frames cut around each chosen second: (context + window) * fastest tempo + jitter fit in."""
STEPS_PER_EVALUATION = 100
TUNE_BATCHES = 8
NARROWING_BATCHES = 8


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every number of a training run."""

    pairs: int = 192
    windows_per_track: int = 2
    temperature: float = 0.05
    learning_rate: float = 6e-4
    weight_decay: float = 0.02
    warmup_steps: int = 150
    gradient_clip: float = 1.0
    average_decay: float = 0.995
    annealed_average_decay: float = 0.98
    """While the rate falls the latest weights are the best: a shorter average."""
    dimension: int = 56
    """Of the embeddings. 56 bytes a window keep a three-minute track of the catalog under 60 KB."""
    distilled_neurons: int = 384
    """Of each layer of a network that learns from a larger one."""
    same_track_limit: float = 0.6
    """Cosine above which two crops of one track count as a repetition, not as a negative."""
    augmentation: Augmentation = field(default_factory=Augmentation)


def sample_sources(
    tracks: list[StoredTrack],
    weights: Tensor,
    recipe: Recipe,
    generator: Generator,
    device: torch.device = CPU,
) -> tuple[Tensor, Tensor]:
    """Stretches on `device`, float32 dB [pairs, BANDS, SOURCE_FRAMES], and each one's track number [pairs].

    generator: on the CPU, so that every machine draws the same stretches.
    """
    count = recipe.pairs // recipe.windows_per_track
    chosen = torch.multinomial(weights, count, replacement=len(tracks) < count, generator=generator)
    cuts, owners = [], []
    for number in chosen.tolist():
        levels = tracks[number].levels
        for _ in range(recipe.windows_per_track):
            start = int(torch.randint(0, levels.shape[0] - SOURCE_FRAMES, (1,), generator=generator))
            cuts.append(np.array(levels[start : start + SOURCE_FRAMES]))
            owners.append(number)
    stacked = torch.from_numpy(np.stack(cuts)).to(device).transpose(1, 2)
    return dequantise(stacked), torch.tensor(owners)


def make_pairs(sources_db: Tensor, settings: Augmentation, generator: Generator) -> tuple[Tensor, Tensor]:
    """References as they are, queries degraded: both dB [pairs, VIEW_BANDS, WINDOW_FRAMES].

    All of it happens where the sources and the generator are.
    """
    with sources_db.device:
        return _make_pairs(sources_db, settings, generator)


def _make_pairs(sources_db: Tensor, settings: Augmentation, generator: Generator) -> tuple[Tensor, Tensor]:
    count, _, frames = sources_db.shape
    span = CONTEXT_FRAMES + WINDOW_FRAMES
    centre = frames / 2.0 + CONTEXT_FRAMES / 2.0
    still = torch.zeros(count)
    reference = warp(
        sources_db,
        start_frames=torch.full((count,), centre - WINDOW_FRAMES / 2.0),
        tempo=torch.ones(count),
        shift_bands=still,
        frames=WINDOW_FRAMES,
    )
    tempo = draw_tempo(count, settings, generator)
    jitter = uniform(count, -settings.jitter_s, settings.jitter_s, generator) * FRAME_RATE_HZ
    # The windows' centres coincide but for the jitter; the context comes before them.
    start = centre + jitter - tempo * (WINDOW_FRAMES / 2.0 + CONTEXT_FRAMES)
    shift = draw_shift_bands(count, settings, generator)
    query = warp(sources_db, start_frames=start, tempo=tempo, shift_bands=shift, frames=span)
    power = degrade(10.0 ** (query / 10.0), settings, generator)[:, :, CONTEXT_FRAMES:]
    return reference, 10.0 * torch.log10(power.clamp_min(1e-10))


def contrastive_loss(references: Tensor, queries: Tensor, owners: Tensor, recipe: Recipe) -> Tensor:
    """NT-Xent in both directions, repetitions within a track left out of the negatives."""
    both = torch.cat([references, queries])
    similarity = both @ both.T
    count = len(references)
    partner = torch.cat([torch.arange(count, 2 * count), torch.arange(count)]).to(both.device)
    same_track = (owners[:, None] == owners[None, :]).to(both.device)
    alike = same_track & ((references @ references.T).detach() > recipe.same_track_limit)
    ignored = alike.repeat(2, 2)
    rows = torch.arange(2 * count, device=both.device)
    ignored[rows, partner] = False
    ignored[rows, rows] = True
    logits = (similarity / recipe.temperature).masked_fill(ignored, float("-inf"))
    return functional.cross_entropy(logits, partner)


@torch.no_grad()
def tune_score(model: EmbedderModel, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Share of degraded crops of unheard music whose nearest reference is the right one."""
    model.eval()
    references = torch.cat([embed_batch(model, reference) for reference, _ in batches])
    queries = torch.cat([embed_batch(model, query) for _, query in batches])
    hits = (queries @ references.T).argmax(dim=1) == torch.arange(len(queries), device=queries.device)
    model.train()
    return float(hits.float().mean())


def embed_batch(model: EmbedderModel, power_db: Tensor) -> Tensor:
    device = model.device
    fast = fastest_dtype(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast == torch.bfloat16):
        result: Tensor = model(power_db.to(device))
    return result


@torch.no_grad()
def narrow(model: EmbedderModel, dimension: int, windows_db: Tensor) -> None:
    """Let the network answer in the `dimension` directions in which its embeddings of windows differ most.

    windows_db: float32 [windows, VIEW_BANDS, WINDOW_FRAMES]. The directions are orthonormal (principal
    components about the origin, since cosines are), so the projection before it is all that changes.
    """
    model.eval()
    embedded = torch.cat([embed_batch(model, part) for part in torch.split(windows_db, 192)])
    model.train()
    _, directions = torch.linalg.eigh((embedded.T @ embedded).double())  # the strongest come last
    kept = directions[:, -dimension:].T.to(model.projection.weight)
    narrower = torch.nn.Linear(model.projection.in_features, dimension).to(model.device)
    narrower.weight.copy_(kept @ model.projection.weight)
    narrower.bias.copy_(kept @ model.projection.bias)
    model.projection = narrower
    model.config.dimension = dimension


def _first(
    recipe: Recipe,
    seed: int,
    tracks: list[StoredTrack],
    weights: Tensor,
    *,
    teacher: EmbedderModel | None,
    start_from: Path | None,
) -> EmbedderModel:
    """The network before its first step."""
    start = Generator().manual_seed(seed)
    if teacher is not None:
        seen = make_pairs(sample_sources(tracks, weights, recipe, start)[0], recipe.augmentation, start)
        return cut(teacher, torch.cat(seen), intermediate_size=recipe.distilled_neurons)
    if start_from is None:
        return EmbedderModel(EmbedderConfig(dimension=recipe.dimension))
    model: EmbedderModel = EmbedderModel.from_pretrained(start_from, dtype=torch.float32)
    model.train()
    if model.config.dimension > recipe.dimension:
        cuts = [sample_sources(tracks, weights, recipe, start)[0] for _ in range(NARROWING_BATCHES)]
        narrow(model, recipe.dimension, make_pairs(torch.cat(cuts), recipe.augmentation, start)[0])
    return model


@dataclass(slots=True)
class _State:
    """All that a run needs to go on: written as one checkpoint."""

    model: EmbedderModel
    average: EmbedderModel
    optimiser: torch.optim.Optimizer
    step: int = 0
    best: float = -1.0  # below every score: the first weights judged are kept, whatever they reach

    @classmethod
    def start(cls, recipe: Recipe, model: EmbedderModel) -> _State:
        # 50 tokens: plain products are twice as fast as the fused attention's backward pass on a CPU.
        model.encoder.set_attn_implementation("eager")
        optimiser = torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=(0.9, 0.98)
        )
        return cls(model=model, average=deepcopy(model), optimiser=optimiser)

    @classmethod
    def resume(cls, recipe: Recipe, checkpoint: Path, device: torch.device) -> _State:
        """As the checkpoint left it: a network that began as another one may have any size."""
        saved = torch.load(checkpoint, weights_only=True, map_location=CPU)
        if "config" not in saved:
            raise SettingsError(
                f"{checkpoint} does not say how large its network is: an older version wrote it; move it away"
                f" and go on from the best weights with --start-from {checkpoint.parent / 'best'}"
            )
        config = json.loads(saved["config"])
        state = cls.start(recipe, EmbedderModel(EmbedderConfig(**config)).to(device))
        state.load(checkpoint)
        return state

    def rate(self, learning_rate: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.model.device)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.best = int(state["step"]), float(state["best"])

    def save(self, path: Path) -> None:
        part = path.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "best": self.best,
                "config": self.model.config.to_json_string(),
            },
            part,
        )
        part.rename(path)


def train(
    *,
    corpus: Path,
    out: Path,
    hours: float,
    steps: int | None = None,
    anneal_steps: int = 0,
    seed: int = 1,
    start_from: Path | None = None,
    distil_from: Path | None = None,
    recipe: Recipe | None = None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    preparing: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Train for `hours` of wall time, continuing the checkpoint in `out` when there is one.

    corpus: folder with tracks.csv (columns path, package, sha256, split). Returns the folder of the
    best weights by `tune_score`. steps: no further than this step, counted over all runs, so that a machine
    of another speed makes the same weights. anneal_steps: after that, so many steps with a rate that falls to
    nothing. `start_from`: weights to begin with where there is no checkpoint yet. `distil_from`: weights of
    a larger network; the one to be trained begins as that one, cut (`classifiers.distil`), and learns from
    its answers.
    Raises NotAudio for music that can't be read, SettingsError for a checkpoint of an older version.
    """
    recipe = recipe or Recipe()
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps({"seed": seed, **asdict(recipe)}, indent=1))
    tracks, weights = _usable(load_store(corpus, "train", out / "spectrograms", progress=preparing))
    tune, tune_weights = _usable(load_store(corpus, "tune", out / "spectrograms", progress=preparing))

    fixed = Generator().manual_seed(7)
    tune_recipe = Recipe(pairs=128, windows_per_track=2 if len(tune) >= 64 else 4)
    tune_batches = [
        make_pairs(sample_sources(tune, tune_weights, tune_recipe, fixed)[0], recipe.augmentation, fixed)
        for _ in range(TUNE_BATCHES)
    ]

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    checkpoint = out / "checkpoint.pt"
    teacher = None if distil_from is None else load_teacher(distil_from, device)
    if checkpoint.exists():
        state = _State.resume(recipe, checkpoint, device)
    else:
        model = _first(recipe, seed, tracks, weights, teacher=teacher, start_from=start_from)
        state = _State.start(recipe, model.to(device))
    run = _Run(state, recipe, seed, tracks, weights, tune_batches, out, teacher)
    started = monotonic()
    while (elapsed := monotonic() - started) < hours * 3600.0 and (steps is None or state.step < steps):
        warm = min(1.0, (state.step + 1) / recipe.warmup_steps)
        figures = run.step(recipe.learning_rate * warm, recipe.average_decay) | {"seconds": elapsed}
        if state.step % STEPS_PER_EVALUATION == 0:
            run.judge(figures)
            state.save(checkpoint)
        report(figures)
    state.save(checkpoint)
    for left in range(anneal_steps, 0, -1):
        rate = recipe.learning_rate * left / anneal_steps
        figures = run.step(rate, recipe.annealed_average_decay) | {"seconds": monotonic() - started}
        if left == 1 or state.step % STEPS_PER_EVALUATION == 0:
            run.judge(figures)
        report(figures)
    if anneal_steps:
        # The next run goes on from before them, but takes nothing less for its best.
        best = state.best
        state.load(checkpoint)
        state.best = best
        state.save(checkpoint)
    return out / "best"


@dataclass(frozen=True, slots=True)
class _Run:
    """A state and the music it learns from."""

    state: _State
    recipe: Recipe
    seed: int
    tracks: list[StoredTrack]
    weights: Tensor
    tune_batches: list[tuple[Tensor, Tensor]]
    out: Path
    teacher: EmbedderModel | None

    def step(self, learning_rate: float, average_decay: float) -> dict[str, float]:
        state = self.state
        # Each step draws from its own generator: a resumed run continues the same sequence.
        generator = Generator().manual_seed(self.seed * 1_000_003 + state.step)
        device = state.model.device
        sources, owners = sample_sources(self.tracks, self.weights, self.recipe, generator, device)
        if device.type != "cpu":
            generator = Generator(device).manual_seed(generator.initial_seed())
        reference, query = make_pairs(sources, self.recipe.augmentation, generator)
        state.rate(learning_rate)
        loss = _learn(
            state, self.recipe, reference, query, owners, average_decay=average_decay, teacher=self.teacher
        )
        return {"step": float(state.step), "loss": loss}

    def judge(self, figures: dict[str, float]) -> None:
        """Adds the score on the tune split to figures and curve; keeps the weights if they are the best."""
        state = self.state
        figures["tune_top1"] = tune_score(state.average, self.tune_batches)
        if figures["tune_top1"] > state.best:
            state.best = figures["tune_top1"]
            # As they are used: half the size, and no cosine changes by more than 0.01.
            deepcopy(state.average).to(torch.bfloat16).save_pretrained(self.out / "best")
        _append(self.out / "curve.csv", figures)


def _usable(tracks: list[StoredTrack]) -> tuple[list[StoredTrack], Tensor]:
    """Tracks long enough to cut from, and how often to draw each.

    Long tracks hold more music, but not in proportion, for they repeat themselves: the square root.
    """
    usable = [track for track in tracks if len(track.levels) > 2 * SOURCE_FRAMES]
    return usable, torch.tensor([float(len(track.levels)) for track in usable]).sqrt()


def _learn(
    state: _State,
    recipe: Recipe,
    reference: Tensor,
    query: Tensor,
    owners: Tensor,
    *,
    average_decay: float,
    teacher: EmbedderModel | None,
) -> float:
    """One step of gradient descent; returns the loss."""
    both = torch.cat([reference, query])
    embedded = embed_batch(state.model, both)
    half = len(reference)
    loss = contrastive_loss(embedded[:half], embedded[half:], owners, recipe)
    if teacher is not None:
        with torch.no_grad():
            taught = embed_batch(teacher, both)
        loss = loss + distance(embedded, taught)
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), recipe.gradient_clip)
    state.optimiser.step()
    state.step += 1
    decay = min(average_decay, state.step / (state.step + 10.0))
    with torch.no_grad():
        for kept, current in zip(state.average.parameters(), state.model.parameters(), strict=True):
            kept.lerp_(current, 1.0 - decay)
    return loss.item()


def _append(path: Path, figures: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(figures))
        if new:
            writer.writeheader()
        writer.writerow(figures)
