"""Which floating-point type a processor multiplies fastest in."""

from __future__ import annotations

import torch


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware has it, else float32.

    With AMX or AVX512-BF16, bfloat16 halves the time of the embedder; without them PyTorch imitates it, and
    on an AVX2 machine a forward pass took 6 and a training step 20 times as long as in float32. No cosine
    differs by more than 0.01 between the two.
    """
    if device.type == "cuda":
        return torch.bfloat16
    # Older PyTorch does not say what the processor can do; then the type that is never slow.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
    return torch.bfloat16 if fast else torch.float32
