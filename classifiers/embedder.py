"""The transformer that turns two seconds of spectrogram into a point on the unit sphere.

An Audio Spectrogram Transformer (Gong, Chung, Glass 2021; `transformers.ASTModel`) looks at 128
log-frequency bands by 96 frames in patches of 16 by 16; mean and class token are projected to a few dozen
dimensions. Two windows of the same music lie close, whatever was done to one of them. The folder
layout is that of `save_pretrained` (config.json, model.safetensors).
"""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import ASTConfig, ASTModel, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as hf_logging

from classifiers.precision import fastest_dtype
from classifiers.spectrogram import FRAME_RATE_HZ, MARGIN_BANDS, VIEW_BANDS
from soundalike.errors import ModelError

WINDOW_FRAMES = 96
WINDOW_S = WINDOW_FRAMES / FRAME_RATE_HZ
"""1.92 s."""
RANGE_DB = 60.0
"""Cells further than this below the loudest of their window are silence to the network."""
SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "embedder"
BATCH_WINDOWS = 32
"""Windows a forward pass, at most: what two passes beside each other hold stays in the cache."""
BESIDE = 2
"""Passes beside each other: on two cores 5 to 12 % faster than one after the other, each on both."""


class EmbedderConfig(PretrainedConfig):  # type: ignore[misc]
    """Sizes of the network; `front_end` names the picture it was trained on.

    merge_before: number of the layer before which each two patches that follow one another in time become
    one, so that it and those after it have half of the work; None: never.
    """

    model_type = "soundalike-embedder"

    def __init__(
        self,
        *,
        hidden_size: int = 256,
        layers: int = 4,
        heads: int = 4,
        intermediate_size: int = 1024,
        merge_before: int | None = None,
        patch: int = 16,
        dimension: int = 56,
        front_end: str = "log-frequency-24x128-50hz-v1",
        **rest: Any,
    ) -> None:
        self.hidden_size = hidden_size
        self.layers = layers
        self.heads = heads
        self.intermediate_size = intermediate_size
        self.merge_before = merge_before
        self.patch = patch
        self.dimension = dimension
        self.front_end = front_end
        super().__init__(**rest)


class EmbedderModel(PreTrainedModel):  # type: ignore[misc]
    """Power in dB, float [batch, VIEW_BANDS, WINDOW_FRAMES], to unit vectors, float32 [batch, dimension]."""

    config_class = EmbedderConfig
    _tied_weights_keys: ClassVar[list[str] | None] = None

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self.encoder = ASTModel(
            ASTConfig(
                hidden_size=config.hidden_size,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate_size,
                num_mel_bins=VIEW_BANDS,
                max_length=WINDOW_FRAMES,
                patch_size=config.patch,
                frequency_stride=config.patch,
                time_stride=config.patch,
                attn_implementation="sdpa",
            )
        )
        if config.merge_before is not None:
            self.merge = nn.Linear(2 * config.hidden_size, config.hidden_size)
        self.projection = nn.Linear(2 * config.hidden_size, config.dimension)
        self.post_init()

    def forward(self, power_db: Tensor) -> Tensor:
        states = self.encoder.embeddings(normalise(power_db).transpose(1, 2))  # [batch, 2 + patches, hidden]
        for number, layer in enumerate(self.encoder.layers):
            if number == self.config.merge_before:
                # The first two are no patches; the others run through time first, then up in frequency.
                pairs = states[:, 2:].unflatten(1, (-1, 2)).flatten(2)
                states = torch.cat([states[:, :2], self.merge(pairs)], dim=1)
            states = layer(states)
        states = self.encoder.layernorm(states)
        pooled = torch.cat([states[:, :2].mean(dim=1), states[:, 2:].mean(dim=1)], dim=-1)
        return nn.functional.normalize(self.projection(pooled).float(), dim=-1)


def normalise(power_db: Tensor) -> Tensor:
    """Each window relative to its loudest cell, RANGE_DB deep, scaled to about [-1, 1]."""
    loudest = power_db.amax(dim=(1, 2), keepdim=True)
    return (power_db - loudest).clamp_min(-RANGE_DB) * (2.0 / RANGE_DB) + 1.0


class Embedder:
    """A trained network ready to embed whole recordings.

    Raises ModelError when `path` holds no such network, or one for another front end.
    """

    def __init__(self, path: Path | str = SHIPPED_WEIGHTS) -> None:
        self.name = str(path) if Path(path) != SHIPPED_WEIGHTS else "soundalike-embedder"
        # Its progress bar would interleave with ours and with the logs.
        hf_logging.disable_progress_bar()
        try:
            model = EmbedderModel.from_pretrained(str(path))
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"can't load an embedder from {path}: {error}; give a folder or hub id with config.json of "
                f"model type {EmbedderConfig.model_type!r} and model.safetensors"
            ) from error
        expected = EmbedderConfig().front_end
        if model.config.front_end != expected:
            raise ModelError(
                f"{path} wants the front end {model.config.front_end!r}; this program computes {expected!r}"
            )
        self.dimension: int = model.config.dimension
        self.sha256 = _digest(model)
        self._dtype = fastest_dtype(model.device)
        self._model = model.to(self._dtype).eval()

    @torch.inference_mode()
    def embed(
        self, power_db: Tensor, *, start_frames: NDArray[np.int64], shift_bands: int = 0
    ) -> NDArray[np.float32]:
        """Embed windows of one recording.

        power_db: float32 [BANDS, frames]. start_frames: first frame of each window; the picture is
        padded with its floor where a window reaches past the end. shift_bands: move the picture up
        by this many bands (positive: as if the recording were transposed up), within the margin.
        Returns float32 [windows, dimension], rows of unit length.
        """
        if abs(shift_bands) > MARGIN_BANDS:
            raise ValueError(f"shift_bands={shift_bands} reaches past the margin of {MARGIN_BANDS} bands")
        if len(start_frames) == 0:
            return np.zeros((0, self.dimension), dtype=np.float32)
        low = MARGIN_BANDS - shift_bands
        view = power_db[low : low + VIEW_BANDS]
        needed = int(start_frames.max()) + WINDOW_FRAMES
        if needed > view.shape[1]:
            view = nn.functional.pad(view, (0, needed - view.shape[1]), value=float(power_db.min()))
        windows = view.unfold(1, WINDOW_FRAMES, 1)[:, torch.from_numpy(start_frames)].transpose(0, 1)
        # Even shares, so that no thread waits for the other.
        shares = torch.chunk(windows, BESIDE * math.ceil(len(windows) / (BESIDE * BATCH_WINDOWS)))
        with ThreadPoolExecutor(BESIDE) as beside:
            return torch.cat(list(beside.map(self._pass, shares))).numpy()

    @torch.inference_mode()  # counts for the thread that it is said in
    def _pass(self, windows: Tensor) -> Tensor:
        vectors: Tensor = self._model(windows.to(self._dtype))
        return vectors


def _digest(model: nn.Module) -> str:
    """SHA-256 over names and float32 values, whatever file they came from."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.to(torch.float32).numpy()).tobytes())
    return digest.hexdigest()
