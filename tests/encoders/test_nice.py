"""NICE computes what its textbook order computes, in less time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.encoders.nice import NICE, ChannelAttention, GraphAttention, from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

N_CHANNELS, N_TIMES = 5, 120
SENSORS = Sensors(tuple(f"c{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)


def encoder_of(n_times: int = N_TIMES, **settings: float | str) -> NICE:
    torch.manual_seed(0)
    return NICE(SignalSpec(SENSORS, n_times, 250.0), **{"n_filters": 6, "dropout": 0.0, **settings}).double()


def batch_of(n: int = 7) -> SignalBatch:
    signal = torch.randn(n, N_CHANNELS, N_TIMES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return SignalBatch.from_array(signal + 0.5, SENSORS, 250.0)


def textbook_forward(encoder: NICE, signal: torch.Tensor) -> torch.Tensor:
    """The authors' order: filter every channel, then average, normalise, and filter over channels."""
    filters = encoder.temporal.weight[:, None, None]
    maps = functional.conv2d(signal[:, None], filters, encoder.temporal.bias)
    maps = functional.avg_pool2d(maps, (1, encoder.pool_samples), (1, encoder.pool_step))
    maps = functional.elu(_textbook_norm(encoder.temporal_norm, maps))
    spatial = encoder.spatial.weight.unflatten(1, (signal.shape[1], -1)).transpose(1, 2)[..., None]
    maps = functional.conv2d(maps, spatial, encoder.spatial.bias)
    maps = encoder.dropout(functional.elu(_textbook_norm(encoder.spatial_norm, maps)))
    maps = functional.conv2d(maps, encoder.projection.weight[..., None, None], encoder.projection.bias)
    return maps.squeeze(2).transpose(1, 2).flatten(1)


def _textbook_norm(norm: torch.nn.BatchNorm1d, maps: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(
        maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )


@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_running_statistics_equal_the_textbook_order(training: bool):
    fast = encoder_of().train(training)
    slow = copy.deepcopy(fast)
    batch = batch_of()
    weights = torch.randn(7, fast.embedding_dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ours, theirs = fast(batch).pooled, textbook_forward(slow, batch.signal)
    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=0)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    for (name, own), other in zip(fast.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-10, rtol=1e-10, msg=name)
    for name in ("running_mean", "running_var"):
        for norm in ("temporal_norm", "spatial_norm"):
            own, other = (getattr(getattr(model, norm), name) for model in (fast, slow))
            torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-12)


def test_gradients_reach_the_signal_as_in_the_textbook_order():
    encoder = encoder_of()
    batch = batch_of()
    own, other = (batch.signal.clone().requires_grad_() for _ in range(2))
    weights = torch.randn(7, encoder.embedding_dim, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (encoder(SignalBatch.from_array(own, SENSORS, 250.0)).pooled * weights).sum().backward()
    (textbook_forward(encoder, other) * weights).sum().backward()
    torch.testing.assert_close(own.grad, other.grad, atol=1e-10, rtol=1e-10)


def test_normalisation_survives_an_offset_far_larger_than_the_signal():
    encoder = encoder_of().float()
    batch = batch_of()
    offset = SignalBatch.from_array(batch.signal.float() + 100.0, SENSORS, 250.0)
    exact = textbook_forward(copy.deepcopy(encoder).double(), offset.signal.double())
    torch.testing.assert_close(encoder(offset).pooled.double(), exact, atol=1e-4, rtol=1e-3)


def test_the_published_size_has_the_published_number_of_parameters_and_values():
    sensors = Sensors(tuple(f"c{i}" for i in range(63)), ("eeg",) * 63)
    encoder = NICE(SignalSpec(sensors, 250, 250.0))
    assert encoder.embedding_dim == 1440
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 103_680


def test_tokens_come_with_the_flattened_vector():
    embedding = encoder_of().eval()(batch_of())
    assert embedding.sequence is not None
    assert torch.equal(embedding.sequence.flatten(1), embedding.pooled)


def test_windows_shorter_than_a_token_are_refused():
    with pytest.raises(SpecMismatch, match="at least 75 samples, got 74"):
        encoder_of(74)
    assert encoder_of(75).n_tokens == 1


def test_foreign_weights_are_refused():
    with pytest.raises(DataError, match="not NICE weights"):
        from_official({"layer.weight": torch.zeros(1)})


@torch.no_grad()
def test_attention_adds_to_the_windows_before_the_filters():
    batch = batch_of()
    plain = encoder_of().eval()
    for kind in ("self", "graph"):
        encoder = encoder_of(attention=kind).eval()
        assert torch.equal(encoder.spatial.weight, plain.spatial.weight)
        signal = batch.signal + encoder.attention(batch.signal)
        expected = plain(SignalBatch.from_array(signal, SENSORS, 250.0)).pooled
        torch.testing.assert_close(encoder(batch).pooled, expected, atol=1e-10, rtol=0)


@torch.no_grad()
def test_channel_attention_weighs_channels_by_coarse_likeness():
    torch.manual_seed(0)
    attention = ChannelAttention(N_CHANNELS).double().eval()
    signal = batch_of(1).signal[0]
    coarse = []
    for layer in (attention.query, attention.key):
        at_each_moment = layer(signal.T).T
        coarse.append(torch.stack([at_each_moment[:, i : i + 30].mean(1) for i in range(0, 120, 30)], dim=1))
    weights = (coarse[0] @ coarse[1].T / len(coarse[0][0]) ** 0.5).softmax(1)
    torch.testing.assert_close(attention(signal[None])[0], attention.out((weights @ signal).T).T)


@torch.no_grad()
def test_graph_attention_is_that_of_the_paper_edge_by_edge():
    torch.manual_seed(0)
    attention = GraphAttention(N_TIMES).double()
    signal = batch_of(1).signal[0]
    projected = signal @ attention.project.weight.T
    towards, away = attention.score.weight
    scores = torch.zeros(N_CHANNELS, N_CHANNELS, dtype=torch.float64)
    for i in range(N_CHANNELS):
        for j in range(N_CHANNELS):
            scores[i, j] = functional.leaky_relu(towards @ projected[i] + away @ projected[j], 0.2)
    torch.testing.assert_close(attention(signal[None])[0], scores.softmax(1) @ projected)


def test_windows_of_a_batch_do_not_see_each_other():
    for attention in (ChannelAttention(N_CHANNELS).double().eval(), GraphAttention(N_TIMES).double()):
        signal = batch_of().signal
        torch.testing.assert_close(attention(signal)[2:3], attention(signal[2:3]))


def test_an_unknown_attention_is_refused():
    with pytest.raises(ConfigError, match="Unknown attention 'grahp'. Did you mean 'graph'"):
        encoder_of(attention="grahp")
