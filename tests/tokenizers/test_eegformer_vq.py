"""EEGFormerVQ and EEGFormer: sizes, masks, learning, and refused input."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.encoders.eegformer import EEGFormer
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ

SMALL = {"patch_samples": 16, "max_patches": 8, "dim": 16, "n_layers": 2, "n_decoder_layers": 1, "n_heads": 2,
         "codebook_size": 12}  # fmt: skip


def tokenizer(**changes: object) -> EEGFormerVQ:
    torch.manual_seed(0)
    return EEGFormerVQ(**{**SMALL, **changes})


def test_windows_in_volts_are_refused_before_all_fall_on_one_code():
    in_volts = recording(3, 64)
    with pytest.raises(
        SpecMismatch, match="unit scale; these have a standard deviation of 1e-05.*preprocessing=brainomni"
    ):
        tokenizer().tokenize(replace(in_volts, signal=1e-5 * in_volts.signal / in_volts.signal.std(correction=0)))
    assert torch.isfinite(tokenizer().tokenize(replace(in_volts, signal=0 * in_volts.signal)).features).all()


def test_the_first_batch_fills_the_codebook_and_patches_and_codewords_have_unit_mean_square():
    model = tokenizer().train()
    before = model.codebook.weight.detach().clone()
    model.pretraining_terms(recording(8, 128))
    replaced = (model.codebook.weight != before).any(1)
    assert int(replaced.sum()) >= 6  # most of twelve random codewords are chosen by less than their even share
    hidden, _ = model.eval().contextual(recording(8, 128))
    torch.testing.assert_close(hidden.square().mean(-1), torch.ones(hidden.shape[:3]), rtol=0, atol=1e-4)
    features = model.tokenize(recording(8, 128)).features
    torch.testing.assert_close(features.square().mean(-1), torch.ones(features.shape[:3]), rtol=0, atol=1e-4)


def recording(n_channels: int, n_times: int, seed: int = 0) -> SignalBatch:
    sensors = Sensors(tuple("abcdefgh"[:n_channels]), ("eeg",) * n_channels)
    signal = np.random.default_rng(seed).standard_normal((1, n_channels, n_times))
    return SignalBatch.from_array(signal, sensors, 256.0)


@pytest.mark.parametrize(
    ("sizes", "published"),
    [((6, 512), 1.85e6), ((8, 1024), 2.31e6), ((12, 2048), 3.24e6)],
    ids=["small", "base", "large"],
)
def test_the_number_of_parameters_is_that_of_the_published_sizes_to_a_hundredth(
    sizes: tuple[int, int], published: float
):
    model = EEGFormerVQ(n_layers=sizes[0], codebook_size=sizes[1])
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(published, rel=0.01)


def test_a_recording_has_the_same_codes_and_embedding_alone_and_beside_another():
    model = tokenizer()
    parts = [recording(4, 128, 1), recording(2, 70, 2)]
    together = SignalBatch.concatenate(parts)
    tokens = model.tokenize(together)
    encoder = EEGFormer(SignalSpec(Sensors(("a",), ("eeg",)), 128, 256.0), tokenizer=SMALL, pool="mean").eval()
    pooled = encoder(together).pooled
    for row, part in enumerate(parts):
        alone = model.tokenize(part)
        channels, patches = alone.codes.shape[1:3]
        assert torch.equal(tokens.codes[row, :channels, :patches], alone.codes[0])
        assert int(tokens.mask[row].sum()) == channels * patches
        torch.testing.assert_close(pooled[row], encoder(part).pooled[0], rtol=1e-4, atol=1e-5)


def test_tokens_are_one_code_per_channel_and_patch_and_an_incomplete_patch_is_left_out():
    tokens = tokenizer().tokenize(recording(3, 100))
    assert tokens.codes.shape == (1, 3, 6, 1) and tokens.features.shape == (1, 3, 6, 16)


def test_channels_do_not_see_each_other():
    model, batch = tokenizer(), recording(3, 128)
    changed = batch.signal.clone()
    changed[:, 0] = 5.0
    assert torch.equal(model.tokenize(replace(batch, signal=changed)).codes[:, 1:], model.tokenize(batch).codes[:, 1:])


def test_reconstruction_is_of_amplitudes_whose_frequencies_are_named():
    found = tokenizer().reconstruct(recording(2, 32))
    assert found.target.shape == found.estimate.shape == found.mask.shape == (1, 2, 18)
    assert found.frequencies_hz is not None and found.frequencies_hz.tolist() == [16.0 * n for n in range(9)] * 2
    batch = recording(2, 32)
    expected = np.abs(np.fft.rfft(batch.signal[0, 0, :16].double(), norm="ortho"))
    np.testing.assert_allclose(found.target[0, 0, :9], expected, rtol=1e-4, atol=1e-6)


def test_training_lowers_the_error_of_rhythms_and_uses_several_codewords():
    model = tokenizer().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    base, times = recording(2, 128), torch.arange(128) / 256
    errors = []
    for _ in range(150):
        rates_hz = torch.tensor([16.0, 32.0, 64.0])[torch.randint(3, (16, 2, 1))]
        signal = 2 * torch.sin(2 * torch.pi * rates_hz * times)
        terms = model.pretraining_terms(replace(base.rows(torch.zeros(16, dtype=torch.long)), signal=signal))
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        errors.append(float(terms["reconstruction"]))
    assert np.mean(errors[-5:]) < 0.3 * np.mean(errors[:5])
    assert float(terms["use_0"]) > 0.2


def test_a_copy_gives_the_same_codes_and_training_mode_does_not_matter():
    model = tokenizer(dropout=0.5)
    codes = model.tokenize(recording(3, 128)).codes
    assert torch.equal(copy.deepcopy(model).train().tokenize(recording(3, 128)).codes, codes)


def test_input_and_options_that_do_not_fit_are_refused():
    model, batch = tokenizer(), recording(2, 128)
    for wrong, error, message in (
        (replace(batch, rate_hz=250.0), SpecMismatch, "needs 256 Hz"),
        (recording(2, 15), SpecMismatch, "windows of 1 to 8 patches of 16 samples; these have 15"),
        (recording(2, 200), SpecMismatch, "these have 200"),
        (replace(batch, signal=batch.signal * float("nan")), DataError, "NaN or infinite"),
    ):
        with pytest.raises(error, match=message):
            model.tokenize(wrong)
    with pytest.raises(ConfigError, match="multiple of n_heads"):
        tokenizer(n_heads=3)
    with pytest.raises(ConfigError, match="Did you mean 'mean'"):
        EEGFormer(SignalSpec(Sensors(("a",), ("eeg",)), 128, 256.0), pool="means")
