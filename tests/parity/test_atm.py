"""ATM-S equals the authors' model of either year on their weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from brain_decode.encoders.atm import ATM, from_official, settings_from_official
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.retrieval import Retrieval
from brain_decode.nn.projector import projector_from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

pytestmark = pytest.mark.parity
CASES = ("known", "same", "unknown", "mixed")


class Reference(NamedTuple):
    """The authors' model as it was run once, and ours with its weights."""

    vectors: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]
    config: dict[str, Any]
    model: ATM


@pytest.fixture(scope="module", params=["atms", "atms_2026"])
def reference(request: pytest.FixtureRequest, reference_folder: Path) -> Reference:
    """One of the two years."""
    place = reference_folder / request.param
    if not place.is_dir():
        pytest.skip(f"no parity vectors of {request.param}")
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    weights, vectors = load_file(place / "weights.safetensors"), load_file(place / "io.safetensors")
    sensors = Sensors(tuple(f"c{i}" for i in range(config["n_channels"])), ("eeg",) * config["n_channels"])
    settings = settings_from_official(weights, n_heads=config["attention_heads"], compat=config["variant"])
    # The vectors name people by their row, whichever way the authors count them.
    settings["subjects"] = [str(row) for row in range(config["embed_subjects"])]
    spec = SignalSpec(sensors, config["n_times"], 250.0, subjects=tuple(settings["subjects"]))
    model = ATM(spec, **settings)
    model.load_state_dict(from_official(weights))
    return Reference(vectors, weights, config, model.eval())


def batch_of(reference: Reference, case: str, needed: Any) -> SignalBatch:
    signal, subjects = needed(reference.vectors, "x", f"subject_ids.{case}")
    return SignalBatch.from_array(signal, reference.model.signal_spec.sensors, 250.0, subjects=subjects)


def test_settings_are_read_from_the_weights(reference: Reference):
    config, model = reference.config, reference.model
    assert model.embedding_dim == len(reference.weights["proj_eeg.0.bias"])
    assert model.blocks[0].widen.out_features == config["d_ff"]
    assert model.blocks[0].out.in_features == config["attention_heads"] * config["head_dim"]
    assert len(model.subject_tokens) == config["embed_subjects"] + 1


@torch.no_grad()
@pytest.mark.parametrize("case", CASES)
def test_vectors_of_known_and_unknown_subjects_equal(reference: Reference, case: str, needed, close):
    close(reference.model(batch_of(reference, case, needed)).pooled, reference.vectors, f"out.{case}")


@torch.no_grad()
def test_every_stage_equals(reference: Reference, needed, close):
    model, vectors = reference.model, reference.vectors
    batch = batch_of(reference, "known", needed)
    embedded = model.embedded(batch)
    close(embedded, vectors, "known.enc_embedding")
    close(model.attended(embedded), vectors, "known.encoder_tokens")
    kept = model.channel_tokens(batch)
    close(kept, vectors, "known.kept_tokens")
    close(model.stem.stem_maps(kept).transpose(1, 2)[:, :, None], vectors, "known.tsconv")
    embedding = model(batch)
    close(embedding.sequence.flatten(1), vectors, "known.enc_eeg_flat")


def test_positions_equal(reference: Reference, close):
    close(reference.model.positions, reference.vectors, "position_embedding.first63")


@torch.no_grad()
def test_losses_equal(reference: Reference, needed, close):
    vectors = reference.vectors
    output, image = needed(vectors, "out.known", "img_features")
    target = TargetSpec("retrieval", dim=image.shape[1])
    raw = {"normalise_brain": False, "normalise_stimulus": False, "scale": "linear", "projector": "none"}
    retrieval = {
        "clip_loss.raw_scale_unnormalised": Retrieval(image.shape[1], target, **raw),
        "clip_loss.exp_scale_normalised": Retrieval(image.shape[1], target, projector="none"),
        "mse": Retrieval(image.shape[1], target, **raw, regression_share=1.0),
        "generation_loss.alpha0.9_x10": Retrieval(image.shape[1], target, **raw, regression_share=0.9, loss_factor=10),
    }
    for name, head in retrieval.items():
        head.log_scale.copy_(reference.weights["logit_scale"])
        close(head.loss(head(BrainEmbedding(output)), image), vectors, name)


@torch.no_grad()
def test_the_retrieval_head_takes_the_place_of_the_projector(reference: Reference, needed, close):
    (image,) = needed(reference.vectors, "img_features")
    settings = {**reference.model.config, "projected_dim": None}
    encoder = ATM(reference.model.signal_spec, **settings).eval()
    tensors = from_official(reference.weights)
    encoder.load_state_dict({name: value for name, value in tensors.items() if not name.startswith("projector.")})
    head = Retrieval(encoder.embedding_dim, TargetSpec("retrieval", dim=image.shape[1])).eval()
    head.projector.load_state_dict(projector_from_official(reference.weights, "proj_eeg."))
    close(head(encoder(batch_of(reference, "known", needed))), reference.vectors, "out.known")


@torch.no_grad()
def test_only_the_unknown_subject_of_a_batch_gets_the_shared_token_without_compat(reference: Reference, needed):
    corrected = ATM(reference.model.signal_spec, **{**reference.model.config, "compat": None}).eval()
    corrected.load_state_dict(reference.model.state_dict())
    mixed = batch_of(reference, "mixed", needed)
    is_known = mixed.subjects < reference.config["embed_subjects"]
    unknown = replace(mixed, subjects=torch.full_like(mixed.subjects, -1))
    outputs, shared = corrected(mixed).pooled, corrected(unknown).pooled
    torch.testing.assert_close(outputs[~is_known], shared[~is_known], atol=1e-5, rtol=1e-5)
    assert ((outputs - shared)[is_known].abs().amax(1) > 1e-3).all()
