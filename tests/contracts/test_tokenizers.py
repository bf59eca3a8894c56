"""Every tokenizer in the catalogue keeps the same promises."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.decoder.architectures import resolve_tokenizer
from brain_decode.decoder.pretrained import save_tokenizer
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.tokenizers.base import Tokenizer

CATALOGUE = Path(__file__).resolve().parents[2] / "tokenizers"
NAMES = sorted(path.stem for path in CATALOGUE.glob("*.yaml"))
N_WINDOWS, N_TIMES = 3, 600


def batch(n_channels: int = 4) -> SignalBatch:
    rng = np.random.default_rng(0)
    names = tuple(f"E{number}" for number in range(n_channels))
    sensors = Sensors(names, ("eeg",) * n_channels, rng.normal(0.0, 0.05, (n_channels, 12)))
    return SignalBatch.from_array(rng.standard_normal((N_WINDOWS, n_channels, N_TIMES)), sensors, 256.0)


@pytest.fixture(params=NAMES, scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each tokenizer in turn, with random weights."""
    torch.manual_seed(0)
    settings = yaml.safe_load((CATALOGUE / f"{request.param}.yaml").read_text(encoding="utf-8"))
    return instantiate({**settings, "_convert_": "all"})().eval()


def test_tokens_have_the_promised_sizes_and_codes_are_of_the_codebook(tokenizer: Tokenizer):
    tokens = tokenizer.tokenize(batch())
    assert tokens.features.shape == (*tokens.mask.shape, tokenizer.dim)
    assert tokens.codes.shape == (*tokens.mask.shape, tokenizer.n_levels)
    assert tokens.codes.dtype == torch.int64
    assert int(tokens.codes.min()) >= 0 and int(tokens.codes.max()) < tokenizer.codebook_size
    assert tokens.mask.shape[:2] == (N_WINDOWS, 4) or not tokenizer.per_channel


def test_tokenising_is_deterministic_after_a_copy_too_and_leaves_the_mode_alone(tokenizer: Tokenizer):
    training = copy.deepcopy(tokenizer).train()
    assert torch.equal(training.tokenize(batch()).codes, tokenizer.tokenize(batch()).codes)
    assert training.training


def test_a_window_alone_has_the_codes_it_has_among_others(tokenizer: Tokenizer):
    alone = tokenizer.tokenize(batch().rows(np.arange(1))).codes
    assert torch.equal(alone, tokenizer.tokenize(batch()).codes[:1])


def test_the_reconstruction_has_the_sizes_of_its_target(tokenizer: Tokenizer):
    found = tokenizer.reconstruct(batch())
    assert found.target.shape == found.estimate.shape == found.mask.shape
    assert found.target.shape[:2] == (N_WINDOWS, 4)
    assert (found.frequencies_hz is None) == (tokenizer.reconstructs == "signal")


def test_the_loss_has_a_gradient_and_its_parts_have_none(tokenizer: Tokenizer):
    terms = copy.deepcopy(tokenizer).train().pretraining_terms(batch())
    assert terms["loss"].requires_grad and torch.isfinite(terms["loss"])
    assert not any(value.requires_grad for name, value in terms.items() if name != "loss")


def test_settings_rebuild_the_tokenizer_and_its_folder_loads_it(tokenizer: Tokenizer, tmp_path: Path):
    rebuilt = resolve_tokenizer(tokenizer.architecture)(**json.loads(json.dumps(tokenizer.config)))
    assert rebuilt.state_dict().keys() == tokenizer.state_dict().keys()
    save_tokenizer(tokenizer, tmp_path / "weights", {"name": "untrained"})
    loaded = type(tokenizer).from_pretrained(tmp_path / "weights")
    assert torch.equal(loaded.tokenize(batch()).codes, tokenizer.tokenize(batch()).codes)


def test_another_rate_and_nan_are_refused(tokenizer: Tokenizer):
    with pytest.raises(SpecMismatch, match="needs 256 Hz, the windows have 250 Hz"):
        tokenizer.tokenize(replace(batch(), rate_hz=250.0))
    broken = batch()
    broken.signal[1, 2, 7] = torch.nan
    with pytest.raises(DataError, match="NaN"):
        tokenizer.tokenize(broken)


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_card(name: str):
    assert (CATALOGUE / f"{name}.md").read_text(encoding="utf-8").startswith("#")
