"""BrainTokenizer on mixed montages and lengths, hidden sensors, and input that it refuses."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.tokenizers import braintokenizer
from brain_decode.tokenizers.braintokenizer import BrainTokenizer, window_starts
from brain_decode.tokenizers.sensor_embedding import sensor_geometry

SMALL = {"window_samples": 64, "n_filters": 4, "ratios": (4, 2, 2), "dim": 16, "n_sources": 3, "n_heads": 2,
         "codebook_dim": 16, "codebook_size": 24, "n_levels": 2}  # fmt: skip


def tokenizer(**changes: object) -> BrainTokenizer:
    torch.manual_seed(0)
    return BrainTokenizer(**{**SMALL, **changes})


def recording(n_channels: int, n_times: int, seed: int = 0, types: tuple[str, ...] | None = None) -> SignalBatch:
    rng = np.random.default_rng(seed)
    locations = rng.normal(0.0, 0.06, (n_channels, 12))
    sensors = Sensors(tuple(f"c{i}" for i in range(n_channels)), types or ("eeg",) * n_channels, locations)
    return SignalBatch.from_array(rng.standard_normal((1, n_channels, n_times)), sensors, 256.0)


@pytest.mark.parametrize("overlap", [0.0, 0.25])
def test_a_recording_has_the_same_tokens_alone_and_beside_another_montage_and_length(overlap: float):
    model = tokenizer()
    parts = [recording(5, 200, 1), recording(3, 130, 2), recording(4, 40, 3, ("eeg", "eeg", "mag", "grad"))]
    together = model.tokenize(SignalBatch.concatenate(parts), overlap)
    for row, part in enumerate(parts):
        alone = model.tokenize(part, overlap)
        steps = alone.codes.shape[2]
        assert torch.equal(together.codes[row, :, :steps], alone.codes[0])
        torch.testing.assert_close(together.features[row, :, :steps], alone.features[0])
        assert together.mask[row, :, :steps].all() and not together.mask[row, :, steps:].any()
        assert not together.features[row, :, steps:].any()


def test_long_recordings_are_tokenised_some_windows_at_a_time_with_the_same_codes(monkeypatch: pytest.MonkeyPatch):
    model, batch = tokenizer(), recording(5, 700)
    whole = model.tokenize(batch, 0.25)
    rows, encode = [], model.codec_encoder.forward
    monkeypatch.setattr(braintokenizer, "_ROWS_AT_ONCE", 12)
    monkeypatch.setattr(model.codec_encoder, "forward", lambda x: rows.append(len(x)) or encode(x))
    pieces = model.tokenize(batch, 0.25)
    assert rows == [10] * 7 + [5]
    assert torch.equal(pieces.codes, whole.codes)
    torch.testing.assert_close(pieces.features, whole.features)


def test_a_recording_has_the_same_reconstruction_alone_and_beside_another():
    model = tokenizer()
    parts = [recording(5, 200, 1), recording(3, 130, 2)]
    together = model.reconstruct(SignalBatch.concatenate(parts))
    alone = model.reconstruct(parts[1])
    assert int(together.mask[1].sum()) == int(alone.mask.sum()) == 3 * 128
    torch.testing.assert_close(together.estimate[1][together.mask[1]], alone.estimate[0].flatten())


@pytest.mark.parametrize(
    ("n_times", "overlap", "expected"),
    [(40, 0.0, (64, 1)), (200, 0.0, (64, 3)), (40, 0.25, (48, 1)), (200, 0.25, (48, 4)), (160, 0.25, (48, 3))],
)
def test_windows_leave_out_the_tail_without_overlap_and_complete_it_with_overlap(
    n_times: int, overlap: float, expected: tuple[int, int]
):
    assert window_starts(n_times, 64, overlap) == expected
    tokens = tokenizer().tokenize(recording(3, n_times), overlap)
    assert tokens.codes.shape == (1, 3, expected[1] * 4, 2)


def test_released_sizes_have_the_published_number_of_parameters_and_tokens():
    model = BrainTokenizer()
    assert sum(parameter.numel() for parameter in model.parameters()) == 5_050_338
    lengths = {
        seconds: window_starts(seconds * 256, 512, 0.25)[1] * model.steps_per_window for seconds in (2, 5, 10, 30)
    }
    assert lengths == {2: 8, 5: 24, 10: 56, 30: 160}


def test_hidden_sensors_do_not_influence_the_reconstruction_and_are_reconstructed():
    model = tokenizer()
    batch = recording(5, 128)
    hidden = torch.tensor([[False, True, False, False, False]])
    changed = batch.signal.clone()
    changed[:, 1] = 100.0
    first, second = model.reconstruct(batch, hidden), model.reconstruct(replace(batch, signal=changed), hidden)
    assert torch.equal(first.estimate, second.estimate)
    assert first.mask.all() and first.estimate[:, 1].std() > 0


def test_sensors_are_told_apart_by_place_and_type_and_not_by_order():
    model = tokenizer()
    batch = recording(6, 128)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    shuffled = replace(
        batch, signal=batch.signal[:, order], positions_m=batch.positions_m[:, order],
        orientations=batch.orientations[:, order], sensor_types=batch.sensor_types[:, order],
    )  # fmt: skip
    assert torch.equal(model.tokenize(shuffled).codes, model.tokenize(batch).codes)
    torch.testing.assert_close(model.reconstruct(shuffled).estimate, model.reconstruct(batch).estimate[:, order])


def test_tokenizing_is_deterministic_and_leaves_the_mode_and_codebooks_alone():
    model = tokenizer(dropout=0.5).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first, second = model.tokenize(recording(4, 128)), model.tokenize(recording(4, 128))
    assert torch.equal(first.codes, second.codes) and model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_codes_are_the_same_under_bfloat16():
    model = tokenizer()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        coarse = model.tokenize(recording(4, 128))
    assert torch.equal(coarse.codes, model.tokenize(recording(4, 128)).codes)


def test_a_copy_and_a_reloaded_model_give_the_same_codes():
    model = tokenizer()
    other = BrainTokenizer(**model.config)
    other.load_state_dict(model.state_dict())
    codes = model.tokenize(recording(4, 128)).codes
    assert torch.equal(copy.deepcopy(model).tokenize(recording(4, 128)).codes, codes)
    assert torch.equal(other.tokenize(recording(4, 128)).codes, codes)


def test_codes_look_up_to_the_features_they_came_with():
    for changes in ({}, {"codebook_dim": 8}):
        model = tokenizer(**changes)
        tokens = model.tokenize(recording(4, 128))
        torch.testing.assert_close(model.lookup(tokens.codes), tokens.features)


def test_training_lowers_the_loss_of_a_common_rhythm_and_uses_many_codewords():
    torch.manual_seed(0)
    model = tokenizer().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.5, 0.9))
    base = recording(4, 128)
    times = torch.arange(128) / 256
    losses = []
    for _ in range(120):
        phases = torch.rand(16, 1, 1) * 6.28
        signal = torch.sin(2 * torch.pi * 12 * times + phases).expand(-1, 4, -1)
        batch = replace(base.rows(torch.zeros(16, dtype=torch.long)), signal=signal)
        terms = model.pretraining_terms(batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert float(terms["pearson"]) > 0.9 and float(terms["use_0"]) > 0.2


def test_noise_is_added_in_training_only_unless_official():
    batch = recording(4, 128)
    for compat, n_outcomes in ((None, 4), ("official", 12)):
        model = tokenizer(compat=compat).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(3.0)
        outcomes = set()
        for seed in range(12):
            torch.manual_seed(seed)
            outcomes.add(float(model.pretraining_terms(batch)["time"]))
        assert len(outcomes) == n_outcomes  # without noise, as many as there are sensors to hide


def test_brain_tokenizer_refuses_what_it_cannot_tell_apart():
    model, batch = tokenizer(), recording(4, 128)
    unknown = replace(batch, positions_m=batch.positions_m.clone().fill_(float("nan")))
    nan = replace(batch, signal=batch.signal.clone().fill_(float("nan")))
    unturned = recording(4, 128, types=("mag",) * 4)
    unturned = replace(unturned, orientations=unturned.orientations.clone().fill_(float("nan")))
    together = replace(batch, positions_m=torch.zeros_like(batch.positions_m))
    for wrong, error, message in (
        (replace(batch, rate_hz=250.0), SpecMismatch, "needs 256 Hz, the windows have 250 Hz"),
        (unknown, DataError, "4 of 4 sensors have no position"),
        (nan, DataError, "NaN or infinite"),
        (unturned, DataError, "4 MEG sensors have no coil orientation"),
        (recording(3, 128, types=("eeg", "eeg", "mag")), DataError, "has one MEG sensor"),
        (recording(1, 128), DataError, "has one EEG sensor"),
        (recording(3, 128, types=("eeg", "eeg", "seeg")), SpecMismatch, "the recording has \\['seeg'\\]"),
        (together, DataError, "the same position"),
    ):
        with pytest.raises(error, match=message):
            model.tokenize(wrong)
    with pytest.raises(SpecMismatch, match="no visible sensor"):
        model.reconstruct(batch, torch.ones(1, 4, dtype=torch.bool))


def test_sizes_that_do_not_fit_are_refused():
    for changes, message in (
        ({"window_samples": 70}, "multiple of the product of ratios \\(16\\), got 70"),
        ({"n_heads": 3}, "dim is a multiple of n_heads, got 16 and 3"),
        ({"compat": "offical"}, "Did you mean 'official'"),
    ):
        with pytest.raises(ConfigError, match=message):
            tokenizer(**changes)
    with pytest.raises(ConfigError, match="overlap is a share"):
        tokenizer().tokenize(recording(3, 128), overlap=1.0)


def test_positions_have_unit_spread_within_eeg_and_within_meg():
    geometry = sensor_geometry(recording(7, 64, types=("eeg",) * 4 + ("mag", "grad", "mag")))
    for group in (slice(0, 4), slice(4, 7)):
        positions = geometry.positions[0, group, :3]
        torch.testing.assert_close(positions.mean(0), torch.zeros(3), atol=1e-6, rtol=0.0)
        torch.testing.assert_close(3 * positions.square().sum(1).mean(), torch.tensor(1.0))
    assert not geometry.positions[0, :4, 3:].any()
    assert geometry.types[0].tolist() == [0, 0, 0, 0, 1, 2, 1]
