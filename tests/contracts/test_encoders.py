"""Every encoder in conf/encoder keeps the same promises."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from brain_decode.decoder.architectures import resolve_encoder
from brain_decode.decoder.pretrained import save_tokenizer
from brain_decode.encoders.base import ClosedFormEncoder, Encoder
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ
from brain_decode.training.recipes import Recipe

CONFIGS = Path(__file__).resolve().parents[2] / "conf" / "encoder"
CHOICES = {
    "nested_selection",
    "auto",
    "braindecode",
    "brainomni_base",
    "pretrained",
}  # no encoder of their own, or another size
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in CHOICES)
N_WINDOWS, N_CHANNELS, N_TIMES, RATE_HZ = 24, 6, 300, 256.0
PLACES = np.random.default_rng(1).normal(0.0, 0.05, (N_CHANNELS, 12))
SENSORS = Sensors(("Fz", "C3", "Cz", "C4", "Pz", "Oz"), ("eeg",) * N_CHANNELS, PLACES)
FOLDERS: dict[str, Path] = {}
SPEC = SignalSpec(SENSORS, N_TIMES, RATE_HZ, -0.5)


def batch() -> SignalBatch:
    signal = np.random.default_rng(0).standard_normal((N_WINDOWS, N_CHANNELS, N_TIMES))
    signal[::2, 1, 80:120] += 1.0
    return SignalBatch.from_array(signal, SENSORS, RATE_HZ, start_s=-0.5)


@pytest.fixture(scope="session", autouse=True)
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Save the tokenizer whose codes some encoders read."""
    torch.manual_seed(0)
    small = EEGFormerVQ(patch_samples=30, max_patches=10, dim=16, n_heads=2, n_layers=1, codebook_size=8)
    FOLDERS["tokenizer"] = save_tokenizer(small, tmp_path_factory.mktemp("weights") / "tokenizer", {"name": "small"})


def settings(name: str) -> dict:
    own = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return {**own, "source": str(FOLDERS["tokenizer"])} if "source" in own else own


def encoder_of(name: str) -> Encoder:
    """Return the encoder, fitted where it is fitted in closed form."""
    torch.manual_seed(0)
    encoder = Recipe(name, {"signal_steps": [], "window_steps": []}, settings(name)).build_encoder(SPEC)
    if isinstance(encoder, ClosedFormEncoder):
        encoder.fit(batch(), np.arange(N_WINDOWS) % 2)
    return encoder.eval()


@pytest.fixture(params=NAMES)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    """Each encoder in turn."""
    return encoder_of(request.param)


@torch.no_grad()
def test_the_embedding_has_the_promised_size(encoder: Encoder):
    pooled = encoder(batch()).pooled
    assert pooled.shape == (N_WINDOWS, encoder.embedding_dim)
    assert torch.isfinite(pooled).all()


@torch.no_grad()
def test_evaluation_is_deterministic_and_the_same_after_a_copy(encoder: Encoder):
    first = encoder(batch()).pooled
    assert torch.equal(encoder(batch()).pooled, first)
    assert torch.equal(copy.deepcopy(encoder)(batch()).pooled, first)


@torch.no_grad()
def test_settings_and_weights_rebuild_the_encoder_by_its_architecture(encoder: Encoder):
    rebuilt = resolve_encoder(encoder.architecture)(SPEC, **json.loads(json.dumps(encoder.config)))
    rebuilt.load_state_dict(encoder.state_dict())
    assert torch.equal(rebuilt.eval()(batch()).pooled, encoder(batch()).pooled)


@torch.no_grad()
def test_a_window_alone_has_the_embedding_it_has_among_others(encoder: Encoder):
    alone = encoder(batch().rows(np.arange(1))).pooled
    torch.testing.assert_close(alone, encoder(batch()).pooled[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_gives_every_weight_a_gradient(name: str):
    encoder = encoder_of(name).train()
    if isinstance(encoder, ClosedFormEncoder):
        pytest.skip("fitted in closed form")
    (encoder(batch()).pooled ** 2).sum().backward()
    assert not [key for key, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_that_says_it_sees_no_labels_is_fitted_alike_to_any(name: str):
    encoder = encoder_of(name)
    if not isinstance(encoder, ClosedFormEncoder) or encoder.sees_labels:
        pytest.skip("fitted to labels, or not in closed form")
    fitted = {key: value.clone() for key, value in encoder.state_dict().items()}
    for labels in (None, np.arange(N_WINDOWS) // 2 % 2):
        encoder.fit(batch(), labels)
        assert all(torch.equal(value, fitted[key]) for key, value in encoder.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_fitting_returns_the_embedding_of_the_training_windows(name: str):
    encoder = encoder_of(name)
    if not isinstance(encoder, ClosedFormEncoder):
        pytest.skip("not fitted in closed form")
    embedding = encoder.fit(batch(), np.arange(N_WINDOWS) % 2)
    assert torch.allclose(embedding.pooled, encoder(batch()).pooled, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_architecture_is_the_name_of_its_module(name: str):
    encoder = encoder_of(name)
    assert type(encoder).__module__ == f"brain_decode.encoders.{encoder.architecture}"
