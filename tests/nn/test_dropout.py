"""Dropout drops the share it is asked for, keeps the mean, and follows the seed."""

from __future__ import annotations

import pytest
import torch

from brain_decode.nn.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.9])
def test_the_share_is_dropped_and_the_others_are_scaled(share: float):
    torch.manual_seed(0)
    output = Dropout(share)(torch.ones(401, 999))
    values = output.unique()
    assert len(values) == 2 and values[0] == 0
    assert float(values[1]) == pytest.approx(1 / (1 - share), rel=1e-4)
    assert float((output == 0).float().mean()) == pytest.approx(share, abs=4e-3)
    assert float(output.mean()) == pytest.approx(1.0, abs=0.015)


def test_values_are_dropped_independently_of_their_neighbours():
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(4, 100_000)) == 0).double()
    for step in (1, 2, 3, 4):
        together = torch.corrcoef(torch.stack([dropped[:, step:].flatten(), dropped[:, :-step].flatten()]))
        assert abs(float(together[0, 1])) < 0.01


def test_the_gradient_passes_where_values_do():
    signal = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    output = Dropout(0.5)(signal)
    output.sum().backward()
    torch.testing.assert_close(signal.grad * signal.detach(), output.detach())


def test_the_same_seed_drops_the_same_values_in_any_layout():
    signal = torch.randn(6, 5)
    outputs = []
    for given in (signal, signal, signal.T.contiguous().T):
        torch.manual_seed(4)
        outputs.append(Dropout(0.5)(given))
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


def test_nothing_is_dropped_in_evaluation_or_at_zero_and_all_at_one():
    signal = torch.randn(6, 5)
    assert torch.equal(Dropout(0.5).eval()(signal), signal)
    assert torch.equal(Dropout(0.0)(signal), signal)
    assert not Dropout(1.0)(signal).any()


def test_the_precision_stays():
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert Dropout(0.5)(torch.ones(9, dtype=dtype)).dtype == dtype
