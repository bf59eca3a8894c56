"""Weights of ATM-S and NICE come in with their projector, and retrieve pictures without any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional

from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, DataError
from brain_decode.decoder.conversion import convert
from brain_decode.decoder.pretrained import pretrained_encoder
from brain_decode.decoder.pretrained_embedding import embed_by_pretrained
from brain_decode.encoders.atm import ATM
from brain_decode.encoders.nice import NICE
from brain_decode.heads.cosine import Cosine
from brain_decode.heads.retrieval import Projector
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

N_CHANNELS, N_TIMES = 4, 90
SENSORS = Sensors(tuple(f"c{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)
SPEC = SignalSpec(SENSORS, N_TIMES, 250.0, subjects=("01", "08"))


def batch() -> SignalBatch:
    signal = torch.randn(3, N_CHANNELS, N_TIMES, generator=torch.Generator().manual_seed(0))
    return SignalBatch.from_array(signal, SENSORS, 250.0, subjects=torch.tensor([0, 1, -1]))


def nice_weights(*, prefix: str = "") -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights of encoder and projector under the authors' names."""
    norms = ("tsconv.2", "tsconv.5")
    shapes = {
        "tsconv.0.weight": (6, 1, 1, 25),
        "tsconv.4.weight": (6, 6, N_CHANNELS, 1),
        "projection.0.weight": (6, 6, 1, 1),
    }
    shapes |= {f"{layer}.bias": (6,) for layer in ("tsconv.0", "tsconv.4", "projection.0")}
    shapes |= {f"{norm}.{part}": (6,) for norm in norms for part in ("weight", "bias", "running_mean", "running_var")}
    generator = torch.Generator().manual_seed(1)
    encoder = {f"{prefix}0.{name}": torch.rand(shape, generator=generator) for name, shape in shapes.items()}
    sizes = {"0.weight": (7, 24), "0.bias": (7,), "1.fn.1.weight": (7, 7)}
    sizes |= dict.fromkeys(("1.fn.1.bias", "2.weight", "2.bias"), (7,))
    return encoder, {f"{prefix}{name}": torch.rand(shape, generator=generator) for name, shape in sizes.items()}


@torch.no_grad()
@pytest.mark.parametrize("year", [None, 2024, "2026"])
def test_an_atm_gives_its_authors_vectors_for_their_subjects(tmp_path: Path, atm_weights, year: str | int | None):
    weights = atm_weights(N_CHANNELS, N_TIMES)
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "40.pth")
    part = convert("atm", tmp_path / "40.pth", tmp_path / "out", compat=year)
    assert part.settings["compat"] == (None if year is None else str(year))
    assert part.settings["subjects"] == (["01", "02"] if year == "2026" else ["00", "01"])
    encoder = pretrained_encoder(SPEC, tmp_path / "out")
    assert isinstance(encoder, ATM) and encoder.embedding_dim == 7
    person = encoder.embedded(batch())[:, 0]
    place = "encoder.enc_embedding.subject_embedding"
    own = weights[f"{place}.subject_embedding.weight"][0 if year == "2026" else 1]
    shared = weights[f"{place}.shared_embedding"][0]
    expected = [own, shared, shared] if year is None else [shared] * 3
    torch.testing.assert_close(person, torch.stack(expected))
    assert "| preprocessing | nice |" in (tmp_path / "out" / "README.md").read_text()
    head = Cosine(encoder.embedding_dim, TargetSpec("retrieval", dim=7))
    assert head(encoder(batch())).shape == (3, 7)


@torch.no_grad()
def test_nice_comes_from_its_two_files(tmp_path: Path):
    encoder_weights, projector_weights = nice_weights(prefix="module.")
    torch.save(encoder_weights, tmp_path / "08Enc_eeg_cls.pth")
    convert("nice", tmp_path / "08Enc_eeg_cls.pth", tmp_path / "alone")
    alone = pretrained_encoder(SPEC, tmp_path / "alone")
    assert isinstance(alone, NICE) and alone.projector is None
    torch.save(projector_weights, tmp_path / "08Proj_eeg_cls.pth")
    convert("nice", tmp_path / "08Enc_eeg_cls.pth", tmp_path / "both")
    both = pretrained_encoder(SPEC, tmp_path / "both")
    assert isinstance(both, NICE) and isinstance(both.projector, Projector)
    torch.testing.assert_close(both(batch()).pooled, both.projector(alone(batch()).pooled))
    weight, bias = projector_weights["module.0.weight"], projector_weights["module.0.bias"]
    expected = functional.linear(alone(batch()).pooled, weight, bias)
    torch.testing.assert_close(both.projector.linear(alone(batch()).pooled), expected)


def test_a_single_file_of_nice_may_hold_both_parts(tmp_path: Path):
    encoder_weights, projector_weights = nice_weights()
    named = {f"Enc_eeg.{name}": value for name, value in encoder_weights.items()}
    torch.save(named | {f"Proj_eeg.{name}": value for name, value in projector_weights.items()}, tmp_path / "nice.pth")
    assert convert("nice", tmp_path / "nice.pth", tmp_path / "out").settings["projected_dim"] == 7


def test_converted_encoders_can_be_tuned(tmp_path: Path, atm_weights):
    torch.save(atm_weights(N_CHANNELS, N_TIMES), tmp_path / "40.pth")
    convert("atm", tmp_path / "40.pth", tmp_path / "out")
    tuned = pretrained_encoder(SPEC, tmp_path / "out", adaptation="fine_tune")
    assert tuned.learns_by_gradient and len(tuned.layers()) == 4
    adapted = pretrained_encoder(SPEC, tmp_path / "out", adaptation="lora", rank=2)
    assert (
        0 < sum(p.numel() for p in adapted.parameters() if p.requires_grad) < sum(p.numel() for p in tuned.parameters())
    )


def test_other_files_and_options_are_refused(tmp_path: Path, atm_weights):
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    for model, name in (("atm", "ATM-S"), ("nice", "NICE")):
        with pytest.raises(DataError, match=f"not {name} weights"):
            convert(model, tmp_path / "other.pth", tmp_path / "out")
    torch.save(atm_weights(N_CHANNELS, N_TIMES), tmp_path / "40.pth")
    with pytest.raises(ConfigError, match="Unknown compat '2025'"):
        convert("atm", tmp_path / "40.pth", tmp_path / "out", compat=2025)
    with pytest.raises(ConfigError, match="NICE has no quirks to restore"):
        convert("nice", tmp_path / "40.pth", tmp_path / "out", compat="2024")
    assert not (tmp_path / "out").exists()


def test_windows_of_other_sizes_are_refused(tmp_path: Path, atm_weights):
    torch.save(atm_weights(N_CHANNELS, N_TIMES), tmp_path / "40.pth")
    convert("atm", tmp_path / "40.pth", tmp_path / "out")
    with pytest.raises(DataError, match="The weights do not fit atm: .* of another shape"):
        pretrained_encoder(SignalSpec(SENSORS.pick([0, 1]), N_TIMES, 250.0), tmp_path / "out")


def test_the_command_takes_the_year_as_a_number(tmp_path: Path, atm_weights, capsys: pytest.CaptureFixture[str]):
    torch.save(atm_weights(N_CHANNELS, N_TIMES), tmp_path / "40.pth")
    words = ["convert", "model=atm", f"source={tmp_path / '40.pth'}", f"out={tmp_path / 'run'}", "compat=2024"]
    assert main(words) == 0
    assert "atm from 40.pth: encoder" in capsys.readouterr().out
    encoder = pretrained_encoder(SPEC, tmp_path / "run")
    assert isinstance(encoder, ATM) and encoder.compat == "2024"


def test_embedding_says_that_the_steps_must_be_fitted_first(tmp_path: Path, atm_weights):
    torch.save(atm_weights(N_CHANNELS, N_TIMES), tmp_path / "40.pth")
    convert("atm", tmp_path / "40.pth", tmp_path / "out")
    signal = np.zeros((N_CHANNELS, 500))
    events = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    recording = Recording(Entities("01"), SENSORS, 250.0, events, ArraySource(signal))
    with pytest.raises(ConfigError, match="'atm' needs preprocessing=nice, which is fitted on training recordings"):
        embed_by_pretrained(tmp_path / "out", recording, window_s=N_TIMES / 250)
