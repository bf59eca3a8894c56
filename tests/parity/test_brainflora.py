"""BrainFLORA's encoders equal the authors' on their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from brain_decode.encoders.brainflora import (
    BrainFLORA,
    from_official,
    settings_from_official,
    sizes_from_official,
)
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

pytestmark = pytest.mark.parity
RATE_HZ = 250.0


@pytest.fixture(scope="module", params=["brainflora_eeg", "brainflora_meg"])
def folder(request: pytest.FixtureRequest, reference_folder: Path) -> Path:
    """The authors' weights, inputs and outputs of one modality."""
    place = reference_folder / request.param
    if not place.is_dir():
        pytest.skip(f"no parity vectors of {request.param}")
    return place


@pytest.fixture(scope="module")
def vectors(folder: Path) -> dict[str, torch.Tensor]:
    """Inputs and outputs of the authors' model."""
    return load_file(folder / "io.safetensors")


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    """Sizes of the authors' model."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the authors' model."""
    return load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def signal(vectors, needed) -> torch.Tensor:
    """Windows that the authors' model saw."""
    return (
        vectors["x.item0"].reshape(1, *vectors["x.item0"].shape[-2:])
        if "x.item0" in vectors
        else needed(vectors, "x")[0]
    )


@pytest.fixture(scope="module")
def encoder(config, weights, signal) -> BrainFLORA:
    """Our encoder with the authors' weights."""
    spec = SignalSpec(sensors_of(signal), signal.shape[2], RATE_HZ)
    built = BrainFLORA(spec, **settings_from_official(weights) | {"n_heads": config["n_heads"]})
    built.load_state_dict(from_official(weights))
    return built.eval()


def sensors_of(signal: torch.Tensor) -> Sensors:
    return Sensors(tuple(f"c{number}" for number in range(signal.shape[1])), ("eeg",) * signal.shape[1])


def close_to_first(actual: torch.Tensor, vectors: dict[str, torch.Tensor], name: str, close) -> None:
    """Compare with a vector of which only the first items may be stored; not at all where it is absent."""
    for stored in (name, f"{name}.item0"):
        if stored in vectors:
            n_items = 1 if stored != name else len(vectors[name])
            close(actual[:n_items], vectors, stored)


@torch.no_grad()
def test_tokens_of_every_patch_length_equal(encoder: BrainFLORA, signal, vectors, close):
    parts = encoder.medformer.patches(signal).split(encoder.medformer.patches.counts, dim=1)
    for number, part in enumerate(parts):
        close_to_first(part, vectors, f"embed.{number}", close)


@torch.no_grad()
def test_tokens_after_attention_equal_before_and_after_the_gelu(encoder: BrainFLORA, signal, vectors, close):
    tokens = encoder.medformer.normalised_tokens(encoder.medformer.patches(signal))
    close_to_first(tokens, vectors, "encoder_tokens", close)
    close_to_first(functional.gelu(tokens), vectors, "medformer_out", close)


@torch.no_grad()
def test_embedding_and_projected_vectors_equal(encoder: BrainFLORA, signal, vectors, close):
    embedding = encoder(SignalBatch.from_array(signal, sensors_of(signal), RATE_HZ))
    close_to_first(embedding.sequence.flatten(1), vectors, "head_flat", close)
    if encoder.projector is None:
        pytest.skip("the parity weights lack the projector")
    close_to_first(embedding.pooled, vectors, "out", close)


def test_sizes_of_the_authors_follow_from_their_weights(weights, signal, config):
    channels, samples = sizes_from_official(weights)
    shortest = min(config["patch_lengths"])
    assert channels == signal.shape[1]
    assert samples // shortest == signal.shape[2] // shortest
    told = settings_from_official(weights)
    assert (told["dim"], told["ff_dim"]) == (config["d_model"], config["d_ff"])
    assert told["patch_samples"] == config["patch_lengths"]
