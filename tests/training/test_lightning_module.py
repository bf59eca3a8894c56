"""Networks learn what is there, keep the best epoch, and never train on validation windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, StorageError
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.heads.classification import Classification
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.training.lightning_module import TrainingResult, fit_network

SENSORS = Sensors(("C3", "C4"), ("eeg", "eeg"))
N_TIMES, N_WINDOWS = 8, 96
CPU = {"accelerator": "cpu", "batch_size": 16, "max_epochs": 12}
FAST = {"_target_": "torch.optim.AdamW", "lr": 0.02}


class Linear(Encoder):
    """The window through one layer with dropout."""

    architecture = "linear"

    def __init__(self, signal_spec: SignalSpec, dropout: float = 0.2) -> None:
        super().__init__(signal_spec)
        self.embedding_dim = 4
        self.layer = nn.Linear(signal_spec.n_channels * signal_spec.n_times, 4)
        self.dropout = nn.Dropout(dropout)

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        return BrainEmbedding(self.dropout(self.layer(batch.signal.flatten(1))))


class Reader:
    """Two classes that differ by an offset on one channel; remembers what was read."""

    def __init__(self, offset: float = 1.0) -> None:
        rng = np.random.default_rng(0)
        self.labels = np.arange(N_WINDOWS) % 2
        self.signal = rng.standard_normal((N_WINDOWS, 2, N_TIMES)).astype(np.float32)
        self.signal[self.labels == 1, 0] += offset
        self.read: list[np.ndarray] = []

    def batch(self, positions: np.ndarray) -> tuple[SignalBatch, torch.Tensor]:
        self.read.append(positions)
        return SignalBatch.from_array(self.signal[positions], SENSORS, 100.0), torch.from_numpy(self.labels[positions])


def network() -> tuple[Linear, Classification]:
    torch.manual_seed(3)
    encoder = Linear(SignalSpec(SENSORS, N_TIMES, 100.0))
    return encoder, Classification(encoder.embedding_dim, TargetSpec("classification", classes=("a", "b")))


def fit(encoder: Encoder, head: Classification, reader: Reader, *, n_validation: int = 32, **trainer) -> TrainingResult:
    positions = np.arange(N_WINDOWS)
    train, validation = positions[n_validation:], positions[:n_validation]
    return fit_network(encoder, head, reader, train, validation, trainer=CPU | trainer, optimizer=FAST, seed=5)


def validation_loss(encoder: Encoder, head: Classification, reader: Reader, n_validation: int = 32) -> float:
    encoder.eval(), head.eval()
    batch, target = reader.batch(np.arange(n_validation))
    with torch.no_grad():
        return float(head.loss(head(encoder(batch)), target))


def test_a_separable_problem_is_learnt():
    (encoder, head), reader = network(), Reader()
    result = fit(encoder, head, reader)
    batch, target = reader.batch(np.arange(32))
    accuracy = (head.answer(head(encoder(batch))).argmax(1) == target).double().mean()
    assert accuracy > 0.9
    assert result.curves[-1]["train_loss"] < result.curves[0]["train_loss"] / 2
    assert [point["epoch"] for point in result.curves] == list(range(1, len(result.curves) + 1))


def test_the_same_seed_gives_the_same_bits():
    states = []
    for _ in range(2):
        encoder, head = network()
        result = fit(encoder, head, Reader())
        states.append((result.curves, {**encoder.state_dict(), **head.state_dict()}))
    assert states[0][0] == states[1][0]
    assert all(torch.equal(states[0][1][name], states[1][1][name]) for name in states[0][1])


class Stopped(Exception):
    """Stands for the end of the process."""


class StoppingReader(Reader):
    """Ends the process when it is asked for one training batch too many."""

    def __init__(self, n_batches: int) -> None:
        super().__init__(offset=0.3)
        self.left = n_batches

    def batch(self, positions: np.ndarray) -> tuple[SignalBatch, torch.Tensor]:
        if positions.min() >= 32:
            if self.left == 0:
                raise Stopped
            self.left -= 1
        return super().batch(positions)


def fit_in(folder: Path, reader: Reader, **trainer) -> tuple[TrainingResult, dict[str, torch.Tensor]]:
    encoder, head = network()
    positions = np.arange(N_WINDOWS)
    settings = CPU | {"max_epochs": 6, "patience": 6, "keep_state_s": 0} | trainer
    result = fit_network(
        encoder, head, reader, positions[32:], positions[:32],
        trainer=settings, optimizer=FAST, seed=5, checkpoint_folder=folder,
    )  # fmt: skip
    return result, {**encoder.state_dict(), **head.state_dict()}


def trained_batches(reader: Reader) -> list[np.ndarray]:
    return [positions for positions in reader.read if positions.min() >= 32]


@pytest.mark.parametrize("n_batches", [1, 2, 4, 5, 7, 8, 23])
def test_a_run_that_is_stopped_within_an_epoch_ends_with_the_bits_of_an_unbroken_one(tmp_path: Path, n_batches: int):
    unbroken, stopped, resumed = Reader(offset=0.3), StoppingReader(n_batches), Reader(offset=0.3)
    expected, weights = fit_in(tmp_path / "unbroken", unbroken)
    with pytest.raises(Stopped):
        fit_in(tmp_path / "stopped", stopped)
    result, taken_up = fit_in(tmp_path / "stopped", resumed)
    assert result == expected
    assert all(torch.equal(weights[name], taken_up[name]) for name in weights)
    read = [*trained_batches(stopped), *trained_batches(resumed)]
    assert len(read) == 4 * 6  # only what was left to do
    assert all(np.array_equal(one, other) for one, other in zip(read, trained_batches(unbroken), strict=True))


@pytest.mark.parametrize("trainer", [{}, {"patience": 1, "max_epochs": 50}])
def test_a_network_that_is_done_is_not_trained_again(tmp_path: Path, trainer: dict):
    expected, weights = fit_in(tmp_path, Reader(offset=0.3), **trainer)
    again = Reader(offset=0.3)
    result, kept = fit_in(tmp_path, again, **trainer)
    assert result == expected
    assert all(torch.equal(weights[name], kept[name]) for name in weights)
    assert not trained_batches(again)


def test_a_damaged_state_of_training_is_named(tmp_path: Path):
    fit_in(tmp_path, Reader())
    state = tmp_path / "last.ckpt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(StorageError, match=r"last.ckpt' is damaged. Remove the file to train from the start"):
        fit_in(tmp_path, Reader())


def test_the_weights_of_the_best_epoch_are_restored():
    (encoder, head), reader = network(), Reader(offset=0.3)
    result = fit(encoder, head, reader, max_epochs=40, patience=40)
    losses = [point["validation_loss"] for point in result.curves]
    assert result.best_epoch == int(np.argmin(losses)) + 1 < len(losses)
    assert validation_loss(encoder, head, reader) == pytest.approx(min(losses), rel=1e-5)


def test_training_stops_when_patience_is_out():
    result = fit(*network(), Reader(offset=0.0), max_epochs=60, patience=2)
    assert len(result.curves) == result.best_epoch + 2 < 60


def test_validation_windows_are_never_trained_on():
    encoder, head = network()
    reader, other = Reader(), Reader()
    other.labels[:32] = 1 - other.labels[:32]
    settings = {"max_epochs": 3, "patience": 3}
    trained = fit(encoder, head, reader, **settings)
    changed = fit(*network(), other, **settings)
    assert [p["train_loss"] for p in trained.curves] == [p["train_loss"] for p in changed.curves]
    assert [p["validation_loss"] for p in trained.curves] != [p["validation_loss"] for p in changed.curves]


def test_every_training_window_is_read_once_an_epoch_in_a_new_order():
    reader = Reader()
    fit(*network(), reader, n_validation=0, max_epochs=2)
    epochs = np.concatenate(reader.read).reshape(2, -1)
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(N_WINDOWS), (2, 1)))


def test_batches_of_a_pass_are_of_equal_size():
    reader = Reader()
    fit(*network(), reader, n_validation=0, max_epochs=1, batch_size=95)
    assert [len(positions) for positions in reader.read] == [48, 48]


def test_without_validation_every_epoch_runs_and_the_last_one_stays():
    encoder, head = network()
    result = fit(encoder, head, Reader(), n_validation=0, max_epochs=4, patience=1)
    assert result.best_epoch == len(result.curves) == 4
    assert result.curves[0]["validation_loss"] is None
    assert head.temperature == 1.0


def test_the_head_is_calibrated_on_validation_windows():
    (encoder, head), reader = network(), Reader(offset=0.3)
    fit(encoder, head, reader)
    batch, target = reader.batch(np.arange(32))
    with torch.no_grad():
        logits = head(encoder(batch))
    own = torch.nn.functional.nll_loss(head.answer(logits).log(), target)
    for factor in (0.9, 1.1):
        assert own < torch.nn.functional.cross_entropy(logits / (head.temperature * factor), target)
    assert head.temperature != 1.0


def test_training_is_quiet_and_leaves_no_files(capfd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn):
    monkeypatch.chdir(tmp_path)
    fit(*network(), Reader(), max_epochs=2)
    assert capfd.readouterr() == ("", "")
    assert not [warning for warning in recwarn if "lightning" in warning.filename]
    assert not list(tmp_path.iterdir())


def test_mixed_precision_learns_too():
    (encoder, head), reader = network(), Reader()
    fit(encoder, head, reader, precision="bf16-mixed")
    assert validation_loss(encoder, head, reader) < 0.4
    assert encoder.layer.weight.dtype == torch.float32


def test_the_shipped_bfloat16_trainer_and_optimiser_go_together(repository: Path):
    (encoder, head), reader = network(), Reader()
    trainer, optimizer = (
        yaml.safe_load((repository / "conf" / name).read_text())
        for name in ("trainer/cpu_bf16.yaml", "optimizer/adamw.yaml")
    )
    trainer["max_epochs"] = 2
    positions = np.arange(N_WINDOWS)
    result = fit_network(
        encoder, head, reader, positions[32:], positions[:32], trainer=trainer, optimizer=optimizer, seed=5
    )
    assert len(result.curves) == 2


def test_an_unknown_setting_is_refused_with_the_closest_one():
    with pytest.raises(ConfigError, match=r"Unknown trainer setting 'max_epoch'. Did you mean 'max_epochs'"):
        fit(*network(), Reader(), max_epoch=3)


def test_no_epochs_are_refused():
    with pytest.raises(ConfigError, match=r"trainer.max_epochs is a whole number from 1 up, got 0"):
        fit(*network(), Reader(), max_epochs=0)


def test_an_optimiser_that_cannot_be_built_is_named():
    with pytest.raises(ConfigError, match=r"The optimiser torch.optim.AdamW cannot be built"):
        fit_network(
            *network(), Reader(), np.arange(8), np.arange(0), trainer=CPU, seed=0,
            optimizer={"_target_": "torch.optim.AdamW", "learning_rate": 1},
        )  # fmt: skip


def test_a_loss_that_is_not_finite_stops_training():
    reader = Reader()
    reader.signal[40] = np.nan
    with pytest.raises(DataError, match="train_loss became nan in epoch 1"):
        fit(*network(), reader)


def test_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="needs training windows"):
        fit(*network(), Reader(), n_validation=N_WINDOWS)


def test_windows_in_volts_are_refused_with_the_remedy():
    reader = Reader()
    reader.signal *= 1e-6
    with pytest.raises(SpecMismatch, match=r"standard deviation of \d.*e-06. Add a step .* preprocessing=network"):
        fit(*network(), reader)
