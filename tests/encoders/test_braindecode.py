"""Foreign models serve as encoders, and a saved decoder never imports one by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from brain_decode.core.errors import ConfigError, MissingExtra, SpecMismatch
from brain_decode.decoder.brain_decoder import BrainDecoder, InputSpec
from brain_decode.encoders.braindecode import Braindecode, wrapping
from brain_decode.heads.classification import Classification
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

SENSORS = Sensors(("C3", "Cz", "C4"), ("eeg",) * 3)
SPEC = SignalSpec(SENSORS, 16, 100.0)
TARGET = f"{__name__}:StandIn"


class StandIn(nn.Module):
    """A model with braindecode's signature; needs at least eight samples."""

    def __init__(self, n_outputs: int, n_chans: int, n_times: int, sfreq: float, chs_info: list, width: int = 2):
        super().__init__()
        self.seen = (n_outputs, n_chans, n_times, sfreq, [channel["ch_name"] for channel in chs_info], width)
        self.filters = nn.Conv1d(n_chans, width, 8)
        self.out = nn.LazyLinear(n_outputs)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        return self.out(self.filters(signal).flatten(1))


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stand-in be imported by name whatever import mode the tests run in."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _module())


def _module():
    import types

    module = types.ModuleType(__name__)
    module.StandIn = StandIn
    return module


def test_sizes_come_from_the_data():
    encoder = Braindecode(SPEC, TARGET, n_values=5, model_settings={"width": 4})
    assert encoder.model.seen == (5, 3, 16, 100.0, ["C3", "Cz", "C4"], 4)
    assert encoder.embedding_dim == 5
    assert encoder(SignalBatch.from_array(np.zeros((2, 3, 16)), SENSORS, 100.0)).pooled.shape == (2, 5)
    assert encoder.config == {"target": TARGET, "n_values": 5, "model_settings": {"width": 4}}


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("StandIn", ConfigError, "written package.module:Class, got 'StandIn'"),
        ("json:loads", ConfigError, "'json:loads' is not a torch model class"),
        ("no_such_package.models:Net", MissingExtra, "needs the package 'no_such_package'"),
    ],
)
def test_a_target_that_is_no_model_is_refused(target: str, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        Braindecode(SPEC, target)


def test_settings_that_belong_to_the_data_or_to_nobody_are_refused():
    with pytest.raises(ConfigError, match=r"may not hold \['n_chans'\]"):
        Braindecode(SPEC, TARGET, model_settings={"n_chans": 2})
    with pytest.raises(ConfigError, match=r"StandIn cannot be built: .*depth"):
        Braindecode(SPEC, TARGET, model_settings={"depth": 2})


def test_windows_the_model_cannot_read_are_refused():
    with pytest.raises(SpecMismatch, match="StandIn cannot read windows of 3 channels x 4 samples"):
        Braindecode(SignalSpec(SENSORS, 4, 100.0), TARGET)


def decoder() -> BrainDecoder:
    encoder = Braindecode(SPEC, TARGET, n_values=5)
    target_spec = TargetSpec("classification", classes=("left", "right"))
    return BrainDecoder(
        Preprocessing(),
        encoder.eval(),
        Classification(encoder.embedding_dim, target_spec).eval(),
        SPEC,
        target_spec,
        InputSpec(SENSORS, 100.0, 0.0, 0.16),
    )


def test_a_saved_decoder_is_loaded_only_with_a_class_the_caller_imported(tmp_path: Path):
    saved = decoder()
    folder = saved.save_pretrained(tmp_path / "checkpoint")
    with pytest.raises(ConfigError, match="never imports code that a file names"):
        BrainDecoder.from_pretrained(folder)
    with pytest.raises(ConfigError, match="never imports code that a file names"):
        BrainDecoder.from_pretrained(folder, encoder_class=Braindecode)
    loaded = BrainDecoder.from_pretrained(folder, encoder_class=wrapping(StandIn))
    signal = SignalBatch.from_array(np.random.default_rng(0).standard_normal((2, 3, 16)), SENSORS, 100.0)
    torch.testing.assert_close(loaded.encoder(signal).pooled, saved.encoder(signal).pooled, rtol=0, atol=0)
    again = loaded.save_pretrained(tmp_path / "again")
    assert (again / "config.json").read_text() == (folder / "config.json").read_text()


def test_another_class_than_the_saved_one_is_refused(tmp_path: Path):
    folder = decoder().save_pretrained(tmp_path / "checkpoint")
    with pytest.raises(ConfigError, match=r"saved with the model '.*StandIn'; got Linear"):
        BrainDecoder.from_pretrained(folder, encoder_class=wrapping(nn.Linear))
