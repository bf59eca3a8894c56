"""The mixtures of experts equal the authors' on their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brain_decode.nn.mixture_of_experts import HardMixture, SoftMixture, TokenMixture, mixture_from_official

pytestmark = pytest.mark.parity


def loaded(reference_folder: Path, name: str, *kinds: type[SoftMixture]) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Return the authors' inputs and outputs, and our mixtures with their weights."""
    folder = reference_folder / name
    if not folder.is_dir():
        pytest.skip(f"no parity vectors of {name}")
    sizes = json.loads((folder / "config.json").read_text(encoding="utf-8"))["constructor"]
    weights = mixture_from_official(load_file(folder / "weights.safetensors"))
    built = [kind(sizes["input_dim"], sizes["output_dim"], sizes["num_experts"]).eval() for kind in kinds]
    for mixture in built:
        mixture.load_state_dict(weights)
    return load_file(folder / "io.safetensors"), built


@torch.no_grad()
def test_soft_and_hard_mixture_and_their_choices_equal(reference_folder: Path, needed, close, same):
    vectors, (soft, hard) = loaded(reference_folder, "brainflora_moe", SoftMixture, HardMixture)
    (given,) = needed(vectors, "x")
    close(soft.router(given).sigmoid(), vectors, "router_sigmoid")
    close(soft(given), vectors, "out")
    close(hard(given), vectors, "hard_out")
    same(hard.chosen(given), vectors, "hard_index")


@torch.no_grad()
def test_tokens_and_their_pooled_vector_equal(reference_folder: Path, needed, close):
    vectors, (mixture,) = loaded(reference_folder, "brainflora_moe_caption", TokenMixture)
    (given,) = needed(vectors, "x")
    close(mixture.tokens(given), vectors, "out_tokens")
    close(mixture(given), vectors, "out_pooled")
