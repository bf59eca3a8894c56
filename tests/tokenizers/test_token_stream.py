"""A stream gives the tokens of the whole recording, whatever the size of its pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.tokenizers.braintokenizer import BrainTokenizer
from brain_decode.tokenizers.token_stream import TokenStream

SMALL = {"window_samples": 64, "n_filters": 4, "ratios": (4, 2, 2), "dim": 16, "n_sources": 3, "n_heads": 2,
         "codebook_dim": 16, "codebook_size": 24, "n_levels": 2}  # fmt: skip


def recording(n_channels: int, n_times: int) -> SignalBatch:
    rng = np.random.default_rng(0)
    sensors = Sensors(tuple("abcdef"[:n_channels]), ("eeg",) * n_channels, rng.normal(0, 0.06, (n_channels, 12)))
    return SignalBatch.from_array(rng.standard_normal((2, n_channels, n_times)), sensors, 256.0)


def piece(batch: SignalBatch, start: int, stop: int) -> SignalBatch:
    return replace(batch, signal=batch.signal[..., start:stop], time_mask=batch.time_mask[..., start:stop])


@pytest.mark.parametrize("overlap", [0.0, 0.25])
@pytest.mark.parametrize("step", [1, 7, 64, 200, 1000])
def test_pieces_of_any_size_give_the_tokens_of_the_whole(step: int, overlap: float):
    torch.manual_seed(0)
    model = BrainTokenizer(**SMALL)
    stream, batch = TokenStream(model, overlap), recording(4, 304)
    parts = [stream.push(piece(batch, start, start + step)) for start in range(0, 304, step)]
    codes = torch.cat([part.codes for part in parts if part is not None], dim=2)
    expected = model.tokenize(batch, overlap).codes
    assert torch.equal(codes, expected[:, :, : codes.shape[2]])
    assert codes.shape[2] == (16 if overlap == 0 else 24)


def test_other_sensors_and_a_full_overlap_are_refused():
    model = BrainTokenizer(**SMALL)
    stream = TokenStream(model)
    assert stream.push(piece(recording(4, 64), 0, 10)) is None
    with pytest.raises(SpecMismatch, match="it had \\(2, 4\\), the piece has \\(2, 5\\)"):
        stream.push(piece(recording(5, 64), 10, 20))
    with pytest.raises(ConfigError, match="overlap"):
        TokenStream(model, 1.0)
