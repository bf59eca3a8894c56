"""EEGNet computes what its textbook order computes, in less time."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.encoders.eegnet import EEGNet
from brain_decode.nn import temporal_moments
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

N_CHANNELS, N_TIMES, RATE_HZ = 5, 77, 64.0
SENSORS = Sensors(tuple(f"c{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)


def encoder_of(**settings: float) -> EEGNet:
    torch.manual_seed(0)
    encoder = EEGNet(SignalSpec(SENSORS, N_TIMES, RATE_HZ), **{"dropout": 0.0, **settings}).double()
    with torch.no_grad():
        for norm in (encoder.temporal_norm, encoder.spatial_norm, encoder.separable_norm):
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_()
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 1.5)
    return encoder


def batch_of(n: int = 7) -> SignalBatch:
    signal = torch.randn(n, N_CHANNELS, N_TIMES, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return SignalBatch.from_array(signal.cumsum(-1) * 0.3 + 0.5, SENSORS, RATE_HZ)


def textbook_forward(encoder: EEGNet, signal: torch.Tensor) -> torch.Tensor:
    """The published order, layer by layer, on (batch, filter, channel, time) maps."""
    spatial = torch.renorm(encoder.spatial.detach().flatten(0, 1), 2, 0, encoder.spatial_norm_limit)
    encoder.spatial.data = spatial.view_as(encoder.spatial)
    n_temporal, n_spatial, _ = encoder.spatial.shape
    maps = functional.conv2d(_padded(signal[:, None], encoder.temporal), encoder.temporal[:, None, None])
    maps = _textbook_norm(encoder.temporal_norm, maps)
    maps = functional.conv2d(maps, encoder.spatial.flatten(0, 1)[:, None, :, None], groups=n_temporal)
    maps = functional.elu(_textbook_norm(encoder.spatial_norm, maps))
    maps = encoder.dropout(functional.avg_pool2d(maps, (1, 4)))
    depthwise = encoder.depthwise[:, None, None]
    maps = functional.conv2d(_padded(maps, encoder.depthwise), depthwise, groups=n_temporal * n_spatial)
    maps = functional.conv2d(maps, encoder.pointwise.weight[..., None, None])
    maps = functional.elu(_textbook_norm(encoder.separable_norm, maps))
    maps = encoder.dropout(functional.avg_pool2d(maps, (1, 8)))
    return maps.squeeze(2).transpose(1, 2).flatten(1)


def _padded(maps: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    total = filters.shape[1] - 1
    return functional.pad(maps, (total // 2, total - total // 2))


def _textbook_norm(norm: torch.nn.BatchNorm1d, maps: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(
        maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, norm.momentum, norm.eps
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", [{}, {"temporal_s": 0.4, "n_temporal": 3, "n_spatial": 4, "n_separable": 5}])
def test_outputs_gradients_and_running_statistics_equal_the_textbook_order(training: bool, settings: dict):
    fast = encoder_of(**settings).train(training)
    slow = copy.deepcopy(fast)
    batch = batch_of()
    own_signal, other_signal = (batch.signal.clone().requires_grad_() for _ in range(2))
    ours = fast(SignalBatch.from_array(own_signal, SENSORS, RATE_HZ)).pooled
    theirs = textbook_forward(slow, other_signal)
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(own_signal.grad, other_signal.grad, atol=1e-9, rtol=1e-9)
    for (name, own), other in zip(fast.named_parameters(), slow.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, atol=1e-9, rtol=1e-9, msg=name)
    for norm in ("temporal_norm", "spatial_norm", "separable_norm"):
        for name in ("running_mean", "running_var"):
            own, other = (getattr(getattr(model, norm), name) for model in (fast, slow))
            torch.testing.assert_close(own, other, atol=1e-12, rtol=1e-12)


def test_long_windows_are_gathered_in_blocks_with_the_same_moments(monkeypatch: pytest.MonkeyPatch):
    batch, filters = batch_of(), torch.randn(3, 32, dtype=torch.float64)
    whole = temporal_moments.filter_moments(batch.signal, filters)
    monkeypatch.setattr(temporal_moments, "_BLOCK", 10)
    torch.testing.assert_close(temporal_moments.filter_moments(batch.signal, filters), whole)


def test_a_filter_that_cancels_most_of_the_signal_keeps_its_variance_in_single_precision():
    signal = batch_of().signal.float() + 50.0
    filters = torch.tensor([[1.0, -1.0]])
    output = functional.conv1d(
        functional.pad(signal.double().flatten(0, 1)[:, None], (0, 1)), filters.double()[:, None]
    )
    mean, variance = temporal_moments.filter_moments(signal, filters)
    torch.testing.assert_close(variance.double(), output.var(unbiased=False).reshape(1), rtol=1e-5, atol=0)
    torch.testing.assert_close(mean.double(), output.mean().reshape(1), rtol=1e-5, atol=0)


def test_spatial_filters_never_exceed_their_norm():
    encoder = encoder_of(spatial_norm_limit=0.25)
    encoder.eval()(batch_of())
    assert encoder.spatial.norm(dim=2).max() <= 0.25 + 1e-12


def test_the_published_size_at_128_hz_has_filters_of_64_and_16_samples():
    encoder = EEGNet(SignalSpec(SENSORS, 128, 128.0))
    assert encoder.temporal.shape == (8, 64)
    assert encoder.depthwise.shape == (16, 16)
    assert encoder.embedding_dim == 16 * 4


def test_windows_shorter_than_a_token_are_refused():
    with pytest.raises(SpecMismatch, match="at least 32 samples, got 31"):
        EEGNet(SignalSpec(SENSORS, 31, 128.0))


def test_a_filter_without_samples_is_refused():
    with pytest.raises(ConfigError, match=r"separable_s=0.01 s is less than one sample at 32 Hz"):
        EEGNet(SignalSpec(SENSORS, 128, 128.0), separable_s=0.01)
