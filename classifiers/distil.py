"""A smaller network from a trained one: cut, then taught to answer as the larger one does.

What is cut cost little before any teaching: joining patches in pairs before the first layer left a cosine of
0.93 to the teacher's answers, the 512 strongest of 1,024 neurons of each layer 0.93, both 0.87, both with
384 neurons 0.84. Leaving out a whole layer instead: 0.74 at best. Learning from the teacher's answer to the
very same window (Hinton, Vinyals, Dean 2015) needs no labels and tells more of each window than which other
one is its partner.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from classifiers.embedder import EmbedderConfig, EmbedderModel

STRENGTH = 10.0
"""Of one minus the cosine beside the contrastive loss: their gradients are about as large."""


@torch.no_grad()
def cut(teacher: EmbedderModel, windows_db: Tensor, *, intermediate_size: int) -> EmbedderModel:
    """The teacher with so many neurons a layer and half of the patches, in training mode.

    windows_db: float32 [windows, VIEW_BANDS, WINDOW_FRAMES], by which the neurons that matter are found.
    """
    config = EmbedderConfig(
        **{**teacher.config.to_dict(), "intermediate_size": intermediate_size, "merge_before": 0}
    )
    student = EmbedderModel(config)
    student.to(teacher.device)
    kept = dict(teacher.state_dict())
    for number, used in enumerate(_outputs(teacher, windows_db)):
        up, down = (f"encoder.layers.{number}.mlp.{name}" for name in ("fc1", "fc2"))
        worth = used * kept[f"{down}.weight"].norm(dim=0)
        strongest = worth.topk(intermediate_size).indices.sort().values
        kept[f"{up}.weight"] = kept[f"{up}.weight"][strongest]
        kept[f"{up}.bias"] = kept[f"{up}.bias"][strongest]
        kept[f"{down}.weight"] = kept[f"{down}.weight"][:, strongest]
    same = torch.eye(config.hidden_size, device=teacher.device)
    kept["merge.weight"] = torch.cat([same, same], dim=1) / 2.0
    kept["merge.bias"] = torch.zeros(config.hidden_size, device=teacher.device)
    student.load_state_dict(kept)
    student.train()
    return student


def _outputs(teacher: EmbedderModel, windows_db: Tensor) -> list[Tensor]:
    """Mean size of each neuron's output, layer by layer: float32 [neurons] each."""
    sums = [torch.zeros(teacher.config.intermediate_size) for _ in teacher.encoder.layers]
    hooks = [
        layer.mlp.fc2.register_forward_pre_hook(
            lambda _, given, total=total: total.add_(given[0].abs().mean(dim=(0, 1)).cpu())
        )
        for layer, total in zip(teacher.encoder.layers, sums, strict=True)
    ]
    for part in torch.split(windows_db, 192):
        teacher(part.to(teacher.device))
    for hook in hooks:
        hook.remove()
    return sums


def load_teacher(path: Path | str, device: torch.device) -> EmbedderModel:
    """A trained network that only answers."""
    model: EmbedderModel = EmbedderModel.from_pretrained(path, dtype=torch.float32)
    model.to(device).eval().requires_grad_(False)
    return model


def distance(embedded: Tensor, taught: Tensor) -> Tensor:
    """What the contrastive loss gets added: STRENGTH times one minus the mean cosine of the rows."""
    return STRENGTH * (1.0 - (embedded * taught).sum(dim=1).mean())
