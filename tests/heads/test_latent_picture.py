"""The low-level branch: the published network, its error, and how its latents become pictures."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.encoders.channel_linear import ChannelLinear
from brain_decode.heads.latent_picture import LatentPicture
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

SENSORS = Sensors(tuple(f"c{number}" for number in range(63)), ("eeg",) * 63)


def test_the_published_network_has_143_million_parameters():
    with torch.device("meta"):
        encoder = ChannelLinear(SignalSpec(SENSORS, 250, 250.0))
        head = LatentPicture(encoder.embedding_dim, TargetSpec("retrieval", dim=4 * 64 * 64))
    assert encoder.embedding_dim == 8064
    sizes = [8064, 1024, 512, 256, 128, 64, 32]
    doublings = sum(16 * a * b + 3 * b for a, b in pairwise(sizes))
    n_parameters = sum(p.numel() for part in (encoder, head) for p in part.parameters())
    assert n_parameters == 250 * 128 + 128 + doublings + 32 * 4 + 4
    assert round(n_parameters / 1e6) == 143


def test_an_embedding_becomes_a_square_latent_channel_first():
    head = LatentPicture(6, TargetSpec("retrieval", dim=4 * 8 * 8)).eval()
    assert [part[0].out_channels for part in head.grow] == [128, 64, 32]
    vectors = torch.randn(3, 6)
    output = head(BrainEmbedding(vectors))
    assert output.shape == (3, 256)
    torch.testing.assert_close(output.unflatten(1, (4, 8, 8)), head.last(head.grow(vectors[:, :, None, None])))
    assert torch.equal(head.answer(output), output)


def test_the_loss_is_the_mean_absolute_error():
    head = LatentPicture(6, TargetSpec("retrieval", dim=4))
    assert float(head.loss(torch.zeros(1, 4), torch.tensor([[1.0, -2.0, 0.0, 5.0]]))) == 2.0


def test_the_branch_learns_a_latent_from_a_signal():
    torch.manual_seed(0)
    sensors = Sensors(("a", "b"), ("eeg",) * 2)
    encoder = ChannelLinear(SignalSpec(sensors, 10, 10.0), width=8, dropout=0.0)
    head = LatentPicture(encoder.embedding_dim, TargetSpec("retrieval", dim=16), widths=[16])
    signal = torch.randn(32, 2, 10)
    target = torch.sign(signal.flatten(1)[:, :1]) * torch.ones(16)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    batch = SignalBatch.from_array(signal, sensors, 10.0)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        losses.append(head.loss(head(encoder(batch)), target))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("n_values", [5, 4 * 9, 4 * 8 * 4, 3])
def test_targets_that_are_no_square_latent_are_refused(n_values: int):
    with pytest.raises(SpecMismatch, match=rf"side is a power of two; the targets have {n_values} values"):
        LatentPicture(6, TargetSpec("retrieval", dim=n_values))


def test_another_number_of_widths_than_doublings_is_refused():
    with pytest.raises(SpecMismatch, match=r"Latents of side 8 take 3 widths, one per doubling; got 2"):
        LatentPicture(6, TargetSpec("retrieval", dim=256), widths=[8, 8])
