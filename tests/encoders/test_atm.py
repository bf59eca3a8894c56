"""ATM-S treats every subject on its own, keeps every channel and trains all it has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.encoders.atm import ATM, from_official, settings_from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

N_CHANNELS, N_TIMES = 5, 90
SENSORS = Sensors(tuple(f"c{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)
SUBJECTS = ("01", "02", "03")


def atm(trained_on: tuple[str, ...] = SUBJECTS, **settings) -> ATM:
    torch.manual_seed(0)
    return ATM(SignalSpec(SENSORS, N_TIMES, 250.0, subjects=trained_on), **{"n_filters": 6, **settings}).eval()


def batch_of(*subjects: int) -> SignalBatch:
    signal = torch.randn(len(subjects), N_CHANNELS, N_TIMES, generator=torch.Generator().manual_seed(1))
    return SignalBatch.from_array(signal, SENSORS, 250.0, subjects=torch.tensor(subjects))


@torch.no_grad()
def test_an_unknown_subject_changes_nothing_for_the_others_of_its_batch():
    model = atm()
    known, mixed = model(batch_of(0, 1, 2)).pooled, model(batch_of(0, -1, 2)).pooled
    torch.testing.assert_close(mixed[[0, 2]], known[[0, 2]])
    assert not torch.allclose(mixed[1], known[1])


@torch.no_grad()
@pytest.mark.parametrize("year", ["2024", "2026"])
def test_an_unknown_subject_gives_all_of_its_batch_the_shared_token_in_the_authors_code(year: str):
    model = atm(compat=year)
    assert torch.equal(model(batch_of(0, -1, 2)).pooled, model(batch_of(-1, -1, -1)).pooled)


@torch.no_grad()
def test_the_code_of_2024_keeps_the_subjects_token_in_place_of_the_last_channel():
    batch = batch_of(0, 1)
    for compat, kept in ((None, slice(1, None)), ("2026", slice(1, None)), (2024, slice(None, -1))):
        model = atm(compat=compat)
        everything = model.attended(model.embedded(batch))
        assert torch.equal(model.channel_tokens(batch), everything[:, kept])
        assert model.channel_tokens(batch).shape[1] == N_CHANNELS


@torch.no_grad()
def test_positions_tell_channels_apart_except_in_the_code_of_2024():
    same = replace(batch_of(0), signal=torch.ones(1, N_CHANNELS, N_TIMES))
    tokens = {year: atm(compat=year).embedded(same)[0, 1:] for year in (None, "2024", "2026")}
    assert torch.equal(tokens["2024"][0], tokens["2024"][1])
    assert not torch.allclose(tokens[None][0], tokens[None][1])
    assert torch.equal(tokens[None], tokens["2026"])
    expected = torch.stack([torch.tensor([1.0]).sin(), torch.tensor([1.0]).cos()]).flatten()
    torch.testing.assert_close(atm().positions[1, :2], expected)


@torch.no_grad()
def test_tokens_follow_the_label_of_a_subject_and_not_its_place_in_the_data():
    pretrained, elsewhere = atm(("07", "03")), atm(("03", "99"), subjects=["07", "03"])
    elsewhere.load_state_dict(pretrained.state_dict())
    torch.testing.assert_close(elsewhere(batch_of(0)).pooled, pretrained(batch_of(1)).pooled)
    torch.testing.assert_close(elsewhere(batch_of(1)).pooled, pretrained(batch_of(-1)).pooled)


def test_training_gives_the_shared_token_a_gradient_that_the_authors_code_does_not():
    for compat, hidden_share, is_trained in ((None, 1.0, True), (None, 0.0, False), ("2026", 1.0, False)):
        model = atm(compat=compat, hidden_share=hidden_share).train()
        model(batch_of(0, 1, 2)).pooled.square().sum().backward()
        assert bool(model.subject_tokens.grad[-1].any()) is is_trained


@torch.no_grad()
def test_joint_training_applies_the_layer_of_each_windows_subject():
    model = atm(joint_train=True)
    batch = batch_of(2, 0, 2)
    embedded = model.embedded(batch)[:, 1:] - model.positions
    for window, subject in enumerate((2, 0, 2)):
        layer = model.embed_time
        expected = functional.linear(batch.signal[window], layer.weight[subject], layer.bias[subject, 0])
        torch.testing.assert_close(embedded[window], expected, atol=1e-5, rtol=1e-5)


def test_joint_training_refuses_new_people_and_needs_some():
    with pytest.raises(SpecMismatch, match="one time embedding for each of its 3 training subjects"):
        atm(joint_train=True)(batch_of(0, -1))
    with pytest.raises(ConfigError, match="no training subject is named"):
        atm((), joint_train=True)


def test_every_weight_is_trained_with_several_subjects_and_layers():
    model = atm(joint_train=True, n_layers=2, projected_dim=8).train()
    model(batch_of(*range(3), *range(3))).pooled.square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())
    listed = {id(weight) for layer in model.layers() for weight in layer}
    assert listed == {id(weight) for weight in model.parameters()}


def test_the_published_size_has_the_parameters_that_the_authors_code_uses():
    sensors = Sensors(tuple(f"c{i}" for i in range(63)), ("eeg",) * 63)
    subjects = tuple(str(i) for i in range(10))
    model = ATM(SignalSpec(sensors, 250, 250.0, subjects=subjects), projected_dim=1024)
    unused = 2 * 250 + 250 * 4 + 2 * (250 * 250 + 250)  # of 3,202,413: two masks, the calendar, two subject layers
    assert sum(weight.numel() for weight in model.parameters()) == 3_202_413 - unused - 1  # and the temperature


def test_options_are_checked():
    with pytest.raises(ConfigError, match="2025.*2024, 2026"):
        atm(compat="2025")
    with pytest.raises(ConfigError, match="n_heads is from 1 to the 90 samples"):
        atm(n_heads=91)
    with pytest.raises(ConfigError, match="hidden_share is a share"):
        atm(hidden_share=1.5)
    with pytest.raises(SpecMismatch, match="ATM needs windows of at least 75 samples, got 60"):
        ATM(SignalSpec(SENSORS, 60, 250.0))


@torch.no_grad()
@pytest.mark.parametrize("joint", [True, False])
def test_the_authors_weights_say_how_large_their_model_is(atm_weights, joint: bool):
    weights = atm_weights(N_CHANNELS, N_TIMES, joint=joint)
    settings = settings_from_official(weights, compat="2026")
    assert settings["subjects"] == ["01", "02"] and settings["projected_dim"] == 7
    assert settings_from_official(weights)["subjects"] == ["00", "01"]
    model = ATM(SignalSpec(SENSORS, N_TIMES, 250.0, subjects=("02",)), **settings).eval()
    model.load_state_dict(from_official(weights))
    assert model(batch_of(0)).pooled.shape == (1, 7)
    place = "encoder.enc_embedding.value_embedding" + (".1" if joint else "")
    expected = functional.linear(batch_of(0).signal, weights[f"{place}.weight"], weights[f"{place}.bias"])
    torch.testing.assert_close(model.embedded(batch_of(0))[:, 1:], expected + model.positions, atol=1e-4, rtol=1e-4)


def test_foreign_weights_are_refused():
    for call in (from_official, settings_from_official):
        with pytest.raises(DataError, match="not ATM-S weights: .* is missing"):
            call({"layer.weight": torch.zeros(1)})


def test_attention_in_training_is_that_of_evaluation_where_nothing_is_dropped():
    model, batch = atm(dropout=0.0, filter_dropout=0.0, hidden_share=0.0), batch_of(0, 1, 2)
    expected = model.channel_tokens(batch)
    torch.testing.assert_close(model.train().channel_tokens(batch), expected, atol=1e-5, rtol=1e-5)
