"""Residual quantisation on numbers that can be checked by hand."""

from __future__ import annotations

import math

import torch

from brain_decode.tokenizers.residual_vq import ResidualVQ


def quantizer(**options: object) -> ResidualVQ:
    torch.manual_seed(0)
    return ResidualVQ(2, 2, 4, 2, **options)  # type: ignore[arg-type]


def test_each_level_takes_the_nearest_codeword_of_what_is_left():
    model = quantizer().eval()
    model.levels[0].codewords.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    model.levels[1].codewords.copy_(torch.tensor([[0.2, 0.0], [0.0, 0.2], [-0.2, 0.6], [-0.2, -0.6]]))
    found = model(torch.tensor([[1.6, 1.2], [0.0, -3.0]]))
    assert found.codes.tolist() == [[0, 2], [3, 0]] or found.codes.tolist() == [[0, 2], [3, 1]]
    torch.testing.assert_close(found.features[0], torch.tensor([0.8, 0.6]))


def test_k_means_finds_separate_clusters_and_counts_their_rows():
    angles = torch.tensor([0.0, 0.5, 1.0, 1.5]).mul(math.pi).repeat(50) + 0.01 * torch.randn(200)
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    for seed in range(5):
        torch.manual_seed(seed)
        model = ResidualVQ(2, 2, 16, 1).train()
        model(rows)
        distance = torch.cdist(rows, model.levels[0].codewords).min(1).values
        assert float(distance.max()) < 0.1
        torch.testing.assert_close(model.levels[0].counts.sum(), torch.tensor(200.0), rtol=0.05, atol=0.0)


def test_the_rotation_takes_the_gradient_along_with_the_row():
    model = quantizer().eval()
    level = model.levels[0]
    level.codewords.copy_(torch.tensor([[0.0, 2.0], [5.0, 5.0], [-5.0, 5.0], [5.0, -5.0]]))
    level.initialised.fill_(1)
    level.counts.fill_(100.0)
    level.sums.copy_(level.codewords * 100)
    row = torch.tensor([[0.6, 0.8]], requires_grad=True)
    quantized, _, _ = level.train()(row)
    quantized[0, 1].backward()
    # A step along the row's own direction stays along the codeword, twice as long.
    torch.testing.assert_close(row.grad, torch.tensor([[1.2, 1.6]]))
    torch.testing.assert_close(quantized.detach(), torch.tensor([[0.0, 2.0]]), atol=1e-6, rtol=0.0)


def test_codewords_that_nothing_chooses_are_renewed_and_the_official_way_leaves_them():
    rows = torch.nn.functional.normalize(torch.randn(64, 2), dim=1)
    for renew in (True, False):
        model = quantizer(renew=renew).train()
        model(rows)
        level = model.levels[0]
        level.codewords[3], level.sums[3], level.counts[3] = 50.0, 50.0, 1.0
        model(rows)
        far = float(level.codewords[3].norm())
        assert (far < 1.5) is renew


def test_moving_averages_follow_the_rows_exactly():
    model = quantizer(renew=False).train()
    level = model.levels[0]
    level.codewords.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]))
    level.counts.copy_(torch.tensor([10.0, 10.0, 10.0, 10.0]))
    level.sums.copy_(level.codewords * 10)
    level.initialised.fill_(1)
    level(torch.tensor([[0.8, 0.6], [0.9, 0.1]]))
    torch.testing.assert_close(level.counts, torch.tensor([9.92, 9.9, 9.9, 9.9]))
    torch.testing.assert_close(level.sums[0], torch.tensor([0.99 * 10 + 0.01 * 1.7, 0.01 * 0.7]))
    torch.testing.assert_close(level.codewords[0], level.sums[0] / 9.92, rtol=1e-5, atol=1e-6)
