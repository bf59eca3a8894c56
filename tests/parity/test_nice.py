"""NICE equals the authors' model on their weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from brain_decode.encoders.base import BrainEmbedding
from brain_decode.encoders.nice import NICE, from_official
from brain_decode.heads.retrieval import Retrieval
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

pytestmark = pytest.mark.parity
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}


@pytest.fixture(scope="module")
def vectors(reference_folder: Path) -> dict[str, torch.Tensor]:
    """Inputs and outputs of the authors' model."""
    return load_file(reference_folder / "nice" / "io.safetensors")


@pytest.fixture(scope="module")
def model(reference_folder: Path, vectors: dict[str, torch.Tensor]) -> tuple[NICE, Retrieval, SignalBatch]:
    """Encoder and head with the authors' weights, and their input."""
    signal = vectors["x"].squeeze(1)
    sensors = Sensors(tuple(f"c{i}" for i in range(signal.shape[1])), ("eeg",) * signal.shape[1])
    encoder = NICE(SignalSpec(sensors, signal.shape[2], 250.0))
    head = Retrieval(encoder.embedding_dim, TargetSpec("retrieval", dim=vectors["img"].shape[1]))
    weights, projector = from_official(load_file(reference_folder / "nice" / "weights.safetensors"))
    encoder.load_state_dict(weights)
    head.projector.load_state_dict(projector)
    return encoder.eval(), head.eval(), SignalBatch.from_array(signal, sensors, 250.0)


@torch.no_grad()
def test_embedding_vectors_similarities_and_loss_equal(model, vectors: dict[str, torch.Tensor]):
    encoder, head, batch = model
    embedding = encoder(batch)
    torch.testing.assert_close(embedding.pooled, vectors["enc_flat"], **TOLERANCE)
    output = head(BrainEmbedding(vectors["enc_flat"]))
    torch.testing.assert_close(output, vectors["proj"], **TOLERANCE)
    torch.testing.assert_close(functional.normalize(head(embedding), dim=-1), vectors["proj_normalised"], **TOLERANCE)
    torch.testing.assert_close(head.similarities(output, vectors["img"]), vectors["logits"], **TOLERANCE)
    torch.testing.assert_close(head.loss(output, vectors["img"]).reshape(1), vectors["loss"], **TOLERANCE)


@torch.no_grad()
def test_pooled_temporal_maps_and_spatial_maps_equal(model, vectors: dict[str, torch.Tensor]):
    encoder, _, batch = model
    means = functional.avg_pool1d(batch.signal, encoder.pool_samples, stride=1)
    pooled = encoder.temporal(encoder._frames(means)[:1]).permute(0, 3, 2, 1)
    torch.testing.assert_close(pooled, vectors["tsconv.1_avgpool"], **TOLERANCE)
    tokens = encoder(batch).sequence
    projected = encoder.projection(vectors["tsconv.7_out"].squeeze(2).transpose(1, 2))
    torch.testing.assert_close(tokens, projected, **TOLERANCE)
