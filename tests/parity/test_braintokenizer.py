"""BrainTokenizer equals the authors' model on their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from brain_decode.nn.weights_folder import load_weights
from brain_decode.preprocessing.sensor_type_scale import SensorTypeScale
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows
from brain_decode.tokenizers import braintokenizer
from brain_decode.tokenizers.braintokenizer import BrainTokenizer, from_official, settings_from_official
from brain_decode.tokenizers.reconstruction_loss import reconstruction_terms
from brain_decode.tokenizers.sensor_embedding import MODELLED_TYPES, SensorGeometry, sensor_geometry

pytestmark = pytest.mark.parity
Vectors = dict[str, torch.Tensor]
Close = Callable[..., None]
Needed = Callable[..., list[torch.Tensor]]


@pytest.fixture
def model(brainomni_folder: Path, brainomni_config: dict[str, Any]) -> BrainTokenizer:
    """Our tokenizer with the authors' weights."""
    tokenizer = BrainTokenizer(**settings_from_official(brainomni_config["constructor"]), compat="official")
    weights = load_file(brainomni_folder / "weights.safetensors")
    theirs = {key.removeprefix("tokenizer."): v for key, v in weights.items() if key.startswith("tokenizer.")}
    load_weights(tokenizer, from_official(theirs), what="BrainTokenizer")
    return tokenizer.eval()


@pytest.fixture(scope="module")
def geometry(brainomni: Vectors, needed: Needed) -> SensorGeometry:
    """The sensors of the fixture, normalised as the authors do."""
    positions, types, _ = needed(brainomni, "in.pos", "in.sensor_type", "in.signal")
    return SensorGeometry(positions, types, torch.ones_like(types, dtype=torch.bool))


def windows_of(model: BrainTokenizer, brainomni: Vectors, overlap: float) -> torch.Tensor:
    """Cut the fixture's signal into model windows."""
    signal = brainomni["in.signal"]
    sensors = Sensors(tuple(f"c{i}" for i in range(signal.shape[1])), ("eeg",) * signal.shape[1])
    return model._windows(SignalBatch.from_array(signal, sensors, model.rate_hz), overlap)


def test_windows_are_cut_as_the_authors_do(model, brainomni: Vectors, geometry: SensorGeometry, close: Close):
    close(windows_of(model, brainomni, 0.0), brainomni, "out.unfold.no_overlap")
    close(windows_of(model, brainomni, 0.25), brainomni, "out.unfold.overlap")


def test_positions_and_amplitudes_are_scaled_as_the_authors_do(brainomni: Vectors, close: Close, needed: Needed):
    signal, positions, types = needed(brainomni, "in.prep.raw", "in.prep.pos_raw", "in.sensor_type")
    raw, types = signal.numpy(), types[0]
    names = tuple(f"c{i}" for i in range(len(raw)))
    locations = np.full((len(raw), 12), np.nan)
    locations[:, :3], locations[:, 9:] = positions[:, :3], positions[:, 3:]
    sensors = Sensors(names, tuple(MODELLED_TYPES[int(kind)] for kind in types), locations)
    windows = SensorTypeScale("official").apply(Windows(raw[None], 256.0, 0.0, sensors))
    close(torch.from_numpy(windows.data[0]).float(), brainomni, "out.prep.normalized")
    found = sensor_geometry(SignalBatch.from_array(raw[None], sensors, 256.0))
    close(found.positions[0], brainomni, "out.prep.pos_normalized", atol=1e-5, rtol=1e-5)
    assert torch.equal(found.types[0], types)


@torch.no_grad()
def test_sensors_codec_latents_and_codes_equal(
    model, brainomni: Vectors, geometry: SensorGeometry, close: Close, same: Close
):
    windows = windows_of(model, brainomni, 0.0)
    embedding = model.sensors(geometry)
    close(embedding, brainomni, "out.sensor_embedding")
    close(model.codec_encoder(windows.flatten(0, 2)).view(*windows.shape[:3], model.dim, -1), brainomni,
          "out.seanet_encoder.out")  # fmt: skip
    latent = model._latent(windows, embedding, geometry.mask)
    close(latent, brainomni, "out.tokenizer.latent")
    quantized = model.quantizer(latent.flatten(0, -2))
    same(quantized.codes, brainomni, "out.tokenizer.indices")
    close(quantized.features.view_as(latent), brainomni, "out.tokenizer.quantized")
    close(quantized.commitment, brainomni, "out.tokenizer.commitment_loss")


@torch.no_grad()
def test_tokens_with_overlap_equal(
    model, brainomni: Vectors, geometry: SensorGeometry, brainomni_config: dict[str, Any], close: Close, same: Close
):
    windows = windows_of(model, brainomni, brainomni_config["constructor"]["overlap_ratio"])
    features, codes = model._quantized(windows, geometry)
    same(codes, brainomni, "out.tokenize_overlap.indices")
    close(features, brainomni, "out.tokenize_overlap.features")
    close(model.lookup(codes), brainomni, "out.tokenize_overlap.features")


@torch.no_grad()
def test_reconstruction_and_its_terms_equal(model, brainomni: Vectors, geometry: SensorGeometry, close: Close):
    windows, embedding = windows_of(model, brainomni, 0.0), model.sensors(geometry)
    latent = model._latent(windows, embedding, geometry.mask)
    features = model.quantizer(latent.flatten(0, -2)).features.view_as(latent)
    estimate = model._decoded(features, embedding, geometry.mask)
    close(estimate, brainomni, "out.recon.x_rec")
    target = braintokenizer._standardised(windows)
    close(target, brainomni, "out.recon.target")
    terms = reconstruction_terms(estimate.flatten(0, 2), target.flatten(0, 2), wrap_phase=False)
    close(terms.time, brainomni, "out.recon.loss_time")
    close(terms.pearson, brainomni, "out.recon.pcc")
    close(terms.amplitude, brainomni, "out.recon.loss_amp")
    close(terms.phase, brainomni, "out.recon.loss_phase")


def test_training_loss_equals_with_the_same_sensors_hidden_and_the_same_noise(
    model, brainomni: Vectors, geometry: SensorGeometry, close: Close, same: Close, needed: Needed
):
    order, drawn = needed(brainomni, "out.stage1.perm", "out.stage1.noise")
    windows = windows_of(model, brainomni, 0.0)
    n_hidden = max(int(len(order) * 0.25), 1)
    hidden = torch.zeros_like(geometry.mask)
    hidden[:, order[:n_hidden]] = True
    noise = torch.zeros_like(windows)
    noise[:, order[n_hidden:]] = drawn
    covered = torch.ones(windows.shape[0], windows.shape[2], dtype=torch.bool)
    terms, quantized = model._stage_one(windows, geometry, hidden, noise, covered)
    names = {"time": "time_loss", "pearson": "pcc", "amplitude": "amp_loss", "phase": "phase_loss"}
    for own, theirs in (names | {"loss": "loss", "commitment": "commitment_loss"}).items():
        close(terms[own].detach(), brainomni, f"out.stage1.{theirs}")
    same(quantized.codes, brainomni, "out.stage1.indices")


def test_quantiser_training_moves_codebooks_and_passes_gradients_as_the_authors_do(
    model, brainomni: Vectors, close: Close, same: Close, needed: Needed
):
    quantizer = model.quantizer.train()
    given, cotangent = needed(brainomni, "out.ema.input", "out.ema.cotangent")
    rows = given.clone().requires_grad_()
    quantized = quantizer.quantize(rows.flatten(0, -2))
    features = quantized.features.view_as(rows)
    ((features * cotangent).sum() + quantized.commitment).backward()
    same(quantized.codes, brainomni, "out.ema.indices")
    close(features, brainomni, "out.ema.quantized")
    close(quantized.commitment, brainomni, "out.ema.loss")
    close(rows.grad, brainomni, "out.ema.grad_input")
    for number, level in enumerate(quantizer.levels):
        close(level.codewords, brainomni, f"out.ema.after.{number}.embed")
        close(level.sums, brainomni, f"out.ema.after.{number}.embed_avg")
        close(level.counts, brainomni, f"out.ema.after.{number}.cluster_size")
    own = dict(quantizer.named_parameters())
    for key, expected in brainomni.items():
        if key.startswith("out.ema.grad_param."):
            name = next(iter(from_official({key.removeprefix("out.ema.grad_param."): expected})))
            name = name.removeprefix("quantizer.").removeprefix("rvq.").replace("layers.", "levels.")
            close(own[name].grad, brainomni, key)
