"""The stem computes what the published convolutions compute, for any number of rows."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brain_decode.core.errors import SpecMismatch
from brain_decode.nn.temporal_spatial_stem import TemporalSpatialStem, stem_from_official

N_FILTERS = 6


def textbook(n_rows: int) -> nn.ModuleDict:
    """The published layers, under the published names."""
    convolutions = nn.Sequential(
        nn.Conv2d(1, N_FILTERS, (1, 25)),
        nn.AvgPool2d((1, 51), (1, 5)),
        nn.BatchNorm2d(N_FILTERS),
        nn.ELU(),
        nn.Conv2d(N_FILTERS, N_FILTERS, (n_rows, 1)),
        nn.BatchNorm2d(N_FILTERS),
        nn.ELU(),
    )
    return nn.ModuleDict({"tsconv": convolutions, "projection": nn.Sequential(nn.Conv2d(N_FILTERS, N_FILTERS, 1))})


@pytest.mark.parametrize(("n_rows", "n_samples"), [(5, 120), (9, 75)])
@pytest.mark.parametrize("training", [True, False])
def test_tokens_and_gradients_of_rows_equal_the_published_order(n_rows: int, n_samples: int, training: bool):
    torch.manual_seed(0)
    slow = textbook(n_rows).double()
    fast = TemporalSpatialStem(n_rows, n_samples, model="this", n_filters=N_FILTERS, dropout=0.0).double()
    fast.load_state_dict(stem_from_official(slow.state_dict(), ""))
    slow.train(training), fast.train(training)
    rows = torch.randn(7, n_rows, n_samples, dtype=torch.float64)
    own, other = (rows.clone().requires_grad_() for _ in range(2))
    maps = slow["projection"](slow["tsconv"](other[:, None]))
    theirs = maps.squeeze(2).transpose(1, 2)
    ours = fast(own)
    assert ours.shape == (7, fast.n_tokens, N_FILTERS)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    torch.testing.assert_close(own.grad, other.grad, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("n_samples", [75, 90, 250, 500])  # of one, of few and of more tokens than one product takes
def test_moments_of_frames_are_those_of_the_frames_written_out(n_samples: int):
    torch.manual_seed(0)
    stem = TemporalSpatialStem(3, n_samples, model="this", n_filters=N_FILTERS)
    means = torch.randn(4, 3, n_samples - 50, dtype=torch.float64) + torch.arange(n_samples - 50)
    frames = stem._frames(means).flatten(0, 2)
    mean, covariance = stem._frame_moments(means)
    torch.testing.assert_close(mean, frames.mean(0))
    torch.testing.assert_close(covariance, torch.cov(frames.T, correction=0))


def test_the_published_size_has_the_published_number_of_parameters_and_values():
    stem = TemporalSpatialStem(63, 250, model="this")
    assert sum(parameter.numel() for parameter in stem.parameters()) == 103_680
    assert (stem.n_tokens, stem.output_dim) == (36, 1440)


def test_rows_shorter_than_a_token_are_refused_in_the_name_of_the_model():
    with pytest.raises(SpecMismatch, match="ATM needs windows of at least 75 samples, got 74"):
        TemporalSpatialStem(3, 74, model="ATM")


def test_a_missing_weight_is_named():
    with pytest.raises(KeyError, match=r"tsconv\.0\.weight"):
        stem_from_official({}, "encoder.")
