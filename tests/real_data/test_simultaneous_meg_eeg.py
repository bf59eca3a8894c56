"""A real recording of MEG and EEG at once passes tokenizer and encoder with its sensor types and directions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from brain_decode.core.resources import catalogue_root
from brain_decode.datasets.formats import open_recording
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import Entities
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.windows import Windows
from brain_decode.tokenizers.braintokenizer import window_starts
from brain_decode.tokenizers.sensor_embedding import sensor_geometry

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def batch(real_data_folder: Path) -> SignalBatch:
    """The first seconds of the recording, preprocessed as BrainOmni asks."""
    path = real_data_folder / "format_zoo" / "elekta_sss" / "sample_audvis_trunc_raw_sss.fif"
    recording = open_recording(path, Entities(subject="01"))
    steps = yaml.safe_load((catalogue_root() / "conf" / "preprocessing" / "brainomni.yaml").read_text())
    preprocessing = Preprocessing.from_json(steps)
    chosen = recording.space.decoded_indices()
    chosen = chosen[[name not in recording.bads for name in np.array(recording.space.names)[chosen]]]
    signal = Continuous.of_recording(recording, recording.read()[chosen], recording.space.pick(chosen))
    done = preprocessing.apply_signal(signal)
    windows = Windows(done.data[None, :, :1024], done.rate_hz, 0.0, done.sensors)
    return SignalBatch.from_windows(preprocessing.apply_windows(windows))


def test_types_and_directions_are_those_of_the_coils(batch: SignalBatch):
    geometry = sensor_geometry(batch)
    counts = torch.bincount(geometry.types[0], minlength=3).tolist()
    assert counts[0] > 50 and counts[1] > 90 and counts[2] == pytest.approx(2 * counts[1], abs=10)
    lengths = geometry.positions[0, :, 3:].norm(dim=-1)
    torch.testing.assert_close(lengths, (geometry.types[0] > 0).float(), atol=1e-3, rtol=0.0)
    # The two planar gradiometers of a place are turned by a right angle, and lie in the plane of its magnetometer.
    place = batch.positions_m[0].round(decimals=6)
    for index in torch.nonzero(geometry.types[0] == 1).flatten()[:20]:
        here = torch.nonzero((place == place[index]).all(-1) & (geometry.types[0] == 2)).flatten()
        directions = geometry.positions[0, here, 3:]
        if len(here) == 2:
            assert abs(float(directions[0] @ directions[1])) < 0.01
            assert float((directions @ geometry.positions[0, index, 3:]).abs().max()) < 0.01


@torch.no_grad()
def test_both_kinds_are_tokenised_embedded_and_reconstructed_together(batch: SignalBatch):
    sizes = {"window_samples": 256, "n_filters": 4, "dim": 16, "n_sources": 4, "n_heads": 2, "codebook_dim": 16,
             "codebook_size": 16}  # fmt: skip
    torch.manual_seed(0)
    spec = SignalSpec(None, 1024, 256.0)  # type: ignore[arg-type]
    model = BrainOmni(spec, tokenizer=sizes, dim=16, n_heads=2, depth=2).eval()
    tokens = model.tokenize(batch)
    _, n_windows = window_starts(batch.signal.shape[-1], 256, 0.25)
    assert tokens.codes.shape == (1, 4, 4 * n_windows, 4) and bool(tokens.mask.all())
    embedding = model(batch).pooled
    assert embedding.shape == (1, 64) and bool(embedding.isfinite().all())
    reconstruction = model.tokenizer.reconstruct(batch)
    whole = batch.signal.shape[-1] // 256 * 256
    assert reconstruction.estimate.shape == (*batch.signal.shape[:2], whole) and bool(
        reconstruction.estimate.isfinite().all()
    )
