"""BrainOmni equals the authors' model on their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brain_decode.encoders.brainomni import BrainOmni, MaskDraws, from_official, rotary_table, settings_from_official
from brain_decode.nn.weights_folder import load_weights
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokens
from brain_decode.tokenizers.sensor_embedding import SensorGeometry

pytestmark = pytest.mark.parity
Vectors = dict[str, torch.Tensor]
Close = Callable[..., None]
Needed = Callable[..., list[torch.Tensor]]


@pytest.fixture(scope="module")
def model(brainomni_folder: Path, brainomni_config: dict[str, Any], brainomni: Vectors, needed: Needed) -> BrainOmni:
    """Our encoder with the authors' weights."""
    _, n_channels, n_times = needed(brainomni, "in.signal")[0].shape
    sensors = Sensors(tuple(f"c{i}" for i in range(n_channels)), ("eeg",) * n_channels)
    spec = SignalSpec(sensors, n_times, 256.0)
    encoder = BrainOmni(spec, **settings_from_official(brainomni_config["constructor"]), compat="official")
    load_weights(encoder, from_official(load_file(brainomni_folder / "weights.safetensors")), what="BrainOmni")
    return encoder.eval()


@pytest.fixture(scope="module")
def tokens(model: BrainOmni, brainomni: Vectors, needed: Needed) -> Tokens:
    """The tokens of the fixture's signal, which another test compares with the authors'."""
    signal, positions, types = needed(brainomni, "in.signal", "in.pos", "in.sensor_type")
    geometry = SensorGeometry(positions, types, torch.ones_like(types, dtype=torch.bool))
    batch = SignalBatch.from_array(signal, model.signal_spec.sensors, model.tokenizer.rate_hz)
    with torch.no_grad():
        windows = model.tokenizer._windows(batch, model.overlap)
        features, codes = model.tokenizer._quantized(windows, geometry)
    return Tokens(features, codes, torch.ones(codes.shape[:3], dtype=torch.bool))


@torch.no_grad()
def test_rotary_table_projection_and_every_block_equal(
    model: BrainOmni, brainomni: Vectors, tokens: Tokens, close: Close
):
    steps = tokens.codes.shape[2]
    table = rotary_table(steps, model.dim // 2, torch.device("cpu"))
    for actual, name in zip(table, ("rotate_cos", "rotate_sin"), strict=True):
        if f"out.rope.block0.{name}" in brainomni:
            torch.testing.assert_close(actual, brainomni[f"out.rope.block0.{name}"][:steps], atol=1e-4, rtol=1e-4)
    hidden = model._projected(tokens.features)
    close(hidden, brainomni, "out.encoder.projected")
    normed = model.blocks[0].attention_norm(hidden)
    half = model.dim // 2
    both = model.blocks[0].attend(normed, table, None)
    close(both[..., half:].flatten(0, 1), brainomni, "out.encoder.block0.time_attn_raw")
    close(both[..., :half].transpose(1, 2).flatten(0, 1), brainomni, "out.encoder.block0.spatial_attn_raw")
    for number, block in enumerate(model._used_blocks()):
        hidden = block(hidden, table, None)
        close(hidden, brainomni, f"out.encoder.block{number}")
    embedding = torch.nn.functional.normalize(hidden, dim=-1, eps=1e-6)
    close(embedding, brainomni, "out.encoder.embedding", atol=1e-5)
    close(embedding.mean(2).flatten(1), brainomni, "out.encoder.pooled", atol=1e-5)


@torch.no_grad()
def test_official_compat_equals_the_embedding_with_the_table_that_lost_its_sines(
    model: BrainOmni, brainomni: Vectors, tokens: Tokens, close: Close
):
    close(model.encode(tokens), brainomni, "out.encoder.embedding_cosine_only_rope", atol=1e-5)


@torch.no_grad()
def test_loss_and_accuracy_of_masked_codes_equal(
    model: BrainOmni, brainomni: Vectors, tokens: Tokens, close: Close, needed: Needed
):
    draws = MaskDraws(*needed(brainomni, "out.stage2.rand_select", "out.stage2.rand_80_20", "out.stage2.perm"))
    corrected = BrainOmni(model.signal_spec, **{**model.config, "compat": None})
    corrected.load_state_dict(model.state_dict())
    corrected.eval()
    hidden = draws.select <= corrected.mask_ratio
    features = corrected._masked(tokens.features, hidden, draws)
    logits = corrected.predict(corrected._through(corrected._projected(features), tokens.mask, corrected.blocks))
    close(logits, brainomni, "out.stage2.logits")
    terms = corrected.pretraining_terms(tokens, draws)
    close(terms["loss"], brainomni, "out.stage2.loss")
    close(terms["accuracy"], brainomni, "out.stage2.acc_all", atol=1e-6, rtol=0.0)
    for number in range(corrected.n_levels):
        close(terms[f"accuracy_{number}"], brainomni, f"out.stage2.acc_{number}", atol=1e-6, rtol=0.0)
