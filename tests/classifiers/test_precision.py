import pytest
import torch

from classifiers.precision import fastest_dtype


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx2": True, "avx512_f": True}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({}, torch.float32),
    ],
    ids=["avx2", "avx512 alone", "avx512-bf16", "amx", "unknown processor"],
)
def test_a_cpu_computes_in_bfloat16_only_where_it_can(
    capabilities: dict[str, bool], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert fastest_dtype(torch.device("cpu")) == expected


def test_a_gpu_has_bfloat16_and_an_older_pytorch_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fastest_dtype(torch.device("cuda")) == torch.bfloat16
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert fastest_dtype(torch.device("cpu")) == torch.float32
