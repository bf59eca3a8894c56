"""The near-linear encoder is a projector of the whole window; smoothing changes training windows only."""

from __future__ import annotations

import pytest
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.linear_projector import LinearProjector, _smoothed
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SENSORS = Sensors(("O1", "Oz", "O2"), ("eeg",) * 3)
SPEC = SignalSpec(SENSORS, 40, 250.0)


def windows(n: int = 4) -> torch.Tensor:
    return torch.randn(n, 3, 40, generator=torch.Generator().manual_seed(0))


def test_the_vector_is_that_of_the_projector_on_the_flattened_window():
    encoder = LinearProjector(SPEC, dim=8).eval()
    signal = windows()
    flat = encoder.projector.linear(signal.reshape(4, 120))
    block = flat + encoder.projector.residual[1](torch.nn.functional.gelu(flat))
    vectors = encoder(SignalBatch.from_array(signal, SENSORS, 250.0)).pooled
    torch.testing.assert_close(vectors, encoder.projector.normalise(block))
    assert encoder.embedding_dim == 8


def test_the_published_size_has_the_published_number_of_parameters():
    sensors = Sensors(tuple(f"c{i}" for i in range(17)), ("eeg",) * 17)
    encoder = LinearProjector(SignalSpec(sensors, 250, 250.0))
    n_parameters = (17 * 250 + 1) * 1024 + (1024 + 1) * 1024 + 2 * 1024
    assert sum(weight.numel() for weight in encoder.parameters()) == n_parameters


def test_smoothing_replaces_windows_in_training_only():
    encoder = LinearProjector(SPEC, dim=8, dropout=0.0, smoothing_share=1.0)
    batch = SignalBatch.from_array(windows(), SENSORS, 250.0)
    torch.manual_seed(0)
    smooth = encoder.train()(batch).pooled
    assert not torch.allclose(smooth, encoder.eval()(batch).pooled)
    plain = LinearProjector(SPEC, dim=8, dropout=0.0).train()
    plain.load_state_dict(encoder.state_dict())
    assert torch.equal(plain(batch).pooled, encoder(batch).pooled)


def test_running_means_are_exact_and_shorter_at_the_edges():
    torch.manual_seed(3)
    signal = windows(6)
    smooth = _smoothed(signal, 1.0, 5)
    for window, result in zip(signal, smooth, strict=True):
        candidates = []
        for length in range(1, 6):
            before, after = (length - 1) // 2, length // 2 + 1
            means = [window[:, max(t - before, 0) : t + after].mean(1) for t in range(40)]
            candidates.append(torch.stack(means, dim=1))
        assert any(torch.allclose(result, one, atol=1e-6) for one in candidates)


def test_the_share_of_smoothed_windows_is_the_one_asked_for():
    torch.manual_seed(0)
    signal = torch.randn(4000, 1, 8)
    changed = (_smoothed(signal, 0.5, 8) != signal).any(-1).float().mean()
    assert float(changed) == pytest.approx(0.5 * 7 / 8, abs=0.03)  # a length of one changes nothing
    assert torch.equal(_smoothed(signal, 0.0, 8), signal)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="smoothing_share is a share"):
        LinearProjector(SPEC, smoothing_share=2.0)
    with pytest.raises(ConfigError, match="smoothing_samples is a whole number"):
        LinearProjector(SPEC, smoothing_samples=0)
