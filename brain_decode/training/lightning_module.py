"""Training of networks by gradient descent: Lightning inside, one function outside."""

from __future__ import annotations

import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from brain_decode.core.errors import ConfigError, DataError, MissingExtra, SpecMismatch, unknown_option
from brain_decode.core.progress import track
from brain_decode.core.seeding import derived_seed, seed_everything
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.heads.base import Head
from brain_decode.signals.batch import SignalBatch
from brain_decode.training.batches import Batch, BatchReader, EpochBatches, GroupedBatches, ReadAhead
from brain_decode.training.resuming import AtomicCheckpoints, KeepState, last_state, saved_callback

__all__ = ["TrainerSettings", "TrainingResult", "fit_network", "fit_task"]

_OPTIMIZER = {"_target_": "torch.optim.AdamW", "lr": 1e-3, "weight_decay": 1e-2}
_SMALLEST_SCALE = 1e-2  # EEGNet falls from 1.0 to 0.8 accuracy at 1e-3 of unit scale, and to chance in volts
_CHATTY = ("lightning.pytorch", "lightning.fabric")
_HEAD_RATE = 10  # times that of the last layer, in fine-tuning (arXiv 2505.18185)
_SPAWNED = ("ddp_spawn", "ddp_spawn_find_unused_parameters_true")


@dataclass(frozen=True)
class TrainerSettings:
    """How long, on what and how precisely a network is trained; the keys of `conf/trainer` and `conf/logger`.

    Args:
        max_epochs: Passes over the training windows at most.
        patience: Passes without a better validation loss before training stops.
        batch_size: Windows per step at most; the batches of a pass are of equal size, give or take one.
        precision: Lightning's name of a precision: "32-true", "bf16-mixed", "64-true".
        accelerator: "auto", "cpu", "gpu" or "mps".
        strategy: Lightning's name of a strategy: "auto", "ddp_spawn" (processes of this machine), "fsdp", ….
        devices: Processes of this machine that train together, or "auto" for every graphics card.
        num_nodes: Machines that train together.
        gradient_clip: Largest norm of the gradient; 0 leaves it as it is.
        keep_state_s: Seconds between two states of training on disk, which a killed run is taken up from.
        logger_folder: Where TensorBoard files go; None writes none.

    Raises:
        ConfigError: A number of epochs, windows or passes below one.
    """

    max_epochs: int = 100
    patience: int = 15
    batch_size: int = 64
    precision: str = "32-true"
    accelerator: str = "auto"
    strategy: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    gradient_clip: float = 1.0
    keep_state_s: float = 30.0
    logger_folder: str | None = None

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"trainer.{name} is a whole number from 1 up, got {getattr(self, name)}.")

    @classmethod
    def from_mapping(cls, settings: Mapping[str, Any]) -> TrainerSettings:
        """Read settings by name.

        Raises:
            ConfigError: An unknown setting.
        """
        allowed = [entry.name for entry in fields(cls)]
        for key in settings:
            if key not in allowed:
                raise unknown_option("trainer setting", key, allowed)
        return cls(**settings)


@dataclass(frozen=True)
class TrainingResult:
    """How training went.

    Args:
        curves: One row per epoch (from 1): `epoch`, `train_loss`, `validation_loss` (None without validation windows).
        best_epoch: The epoch whose weights were kept.
    """

    curves: list[dict[str, Any]]
    best_epoch: int


def fit_network(
    encoder: Encoder,
    head: Head,
    reader: BatchReader,
    train_positions: np.ndarray,
    validation_positions: np.ndarray,
    *,
    trainer: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    seed: int,
    checkpoint_folder: Path | None = None,
    groups: np.ndarray | None = None,
) -> TrainingResult:
    """Train encoder and head in place, keep the weights of the best epoch and calibrate the head where it can be.

    Args:
        encoder: Windows to embeddings.
        head: Embeddings to answers; `calibrate`, where it has one, gets the validation outputs at the end.
        reader: Reads a batch by position.
        train_positions: (n,) positions trained on, in a new order every epoch.
        validation_positions: (n,) positions that choose the epoch; where empty, all epochs run and the last one stays.
        trainer: Settings of `TrainerSettings`; defaults where absent.
        optimizer: `_target_` and settings of a torch optimiser; AdamW where empty.
        seed: Decides order and dropout: the same seed gives the same weights on the same machine (CPU).
        checkpoint_folder: Where the state of training is kept, and resumed from where there is one, within an epoch
            too; a resumed run ends with the bits of an unbroken one. None keeps nothing.
        groups: As in `fit_task`.

    Raises:
        ConfigError: Unknown settings, an optimiser that cannot be built, or a device that is not there.
        DataError: Nothing to train on, or a loss that is not finite.
        SpecMismatch: Windows in volts or tesla, far below the unit scale that networks learn at.
    """
    settings = TrainerSettings.from_mapping(trainer)
    _require_windows(train_positions)
    if head.needs_training_targets:
        head.learn_targets(_targets(reader, train_positions, settings.batch_size))
    task = _Supervised(encoder, head)
    result = fit_task(
        task,
        reader,
        train_positions,
        validation_positions,
        trainer=trainer,
        optimizer=optimizer,
        seed=seed,
        checkpoint_folder=checkpoint_folder,
        groups=groups,
    )
    if len(validation_positions) and hasattr(head, "calibrate"):
        in_order = EpochBatches(len(validation_positions), settings.batch_size, None)
        _calibrate(encoder, head, ReadAhead(reader, validation_positions, in_order))
    return result


def fit_task(
    task: torch.nn.Module,
    reader: BatchReader,
    train_positions: np.ndarray,
    validation_positions: np.ndarray,
    *,
    trainer: Mapping[str, Any],
    optimizer: Mapping[str, Any],
    seed: int,
    checkpoint_folder: Path | None = None,
    groups: np.ndarray | None = None,
) -> TrainingResult:
    """Train whatever turns a batch into a loss, in place, and keep the weights of the best epoch.

    Args:
        task: Called with a batch, returns scalars by name: `loss`, and what else the curves are to show.
        reader: Reads a batch by position.
        train_positions: (n,) positions trained on, in a new order every epoch.
        validation_positions: (n,) positions that choose the epoch; where empty, all epochs run and the last one stays.
        trainer: Settings of `TrainerSettings`.
        optimizer: As in `fit_network`; `schedule` may hold `warm_up` (share of the steps), `start` and `end` (shares of
            `lr`): a straight line up, then half a cosine down.
        seed: Decides order, dropout and whatever else the task draws.
        checkpoint_folder: As in `fit_network`.
        groups: By position; windows of one batch then share their group (a channel count, say).

    Raises:
        ConfigError, DataError, SpecMismatch: As in `fit_network`.
    """
    settings = TrainerSettings.from_mapping(trainer)
    _require_windows(train_positions)
    seed_everything(seed)
    module = _Network(task, optimizer, seed)
    best = _BestEpoch(settings)
    batches = _batches(train_positions, settings, groups, seed)
    train = ReadAhead(reader, train_positions, batches)
    validation = None
    if len(validation_positions):
        validation = ReadAhead(reader, validation_positions, _batches(validation_positions, settings, groups, None))
    with _quiet(), ExitStack() as stack:
        folder = _state_place(settings, checkpoint_folder, stack)
        running = _lightning_trainer(settings, best, folder)
        _require_shares(running, len(train_positions))
        batches.trainer = running
        _run(running, module, train, validation, folder)
        if folder is not None and not best.curves:
            best.load_state_dict(saved_callback(folder, best.state_key))
    module.cpu()
    best.restore(module)
    module.eval()
    return TrainingResult(best.curves, best.epoch)


def _require_windows(positions: np.ndarray) -> None:
    if not len(positions):
        raise DataError("A network needs training windows; there are none. Choose another split=.")


def _batches(
    positions: np.ndarray, settings: TrainerSettings, groups: np.ndarray | None, seed: int | None
) -> EpochBatches:
    if groups is None:
        return EpochBatches(len(positions), settings.batch_size, seed)
    return GroupedBatches(groups[positions], settings.batch_size, seed)


def _state_place(settings: TrainerSettings, folder: Path | None, stack: ExitStack) -> Path | None:
    """Return where the state of training is kept.

    Spawned processes hand their result over by it, so they always have one. Processes that each run the whole command
    (torchrun, Slurm) have a run folder each and keep none: only the first would find its state again.
    """
    if settings.devices == 1 and settings.num_nodes == 1:
        return folder
    if settings.strategy not in _SPAWNED:
        return None
    if folder is not None:
        return folder
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="brain_decode_training_")))


def _require_shares(trainer: lightning.Trainer, n_windows: int) -> None:
    if trainer.world_size > n_windows:
        raise ConfigError(
            f"{trainer.world_size} processes cannot share {n_windows} training windows. Lower trainer.devices."
        )


class _Supervised(torch.nn.Module):
    """The loss of encoder and head."""

    def __init__(self, encoder: Encoder, head: Head) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        signal, target = batch
        return {"loss": self.head.loss(self.head(self.encoder(signal)), target)}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return what is fine-tuned, layers near the input at lower rates and the head at ten times the rate."""
        layers, decay = self.encoder.layers(), self.encoder.layer_decay or 1.0  # type: ignore[operator]
        groups = [
            {"params": [p for p in layer if p.requires_grad], "lr": lr * decay ** (len(layers) - 1 - number)}
            for number, layer in enumerate(layers)
        ]
        head = [parameter for parameter in self.head.parameters() if parameter.requires_grad]
        return [group for group in [*groups, {"params": head, "lr": _HEAD_RATE * lr}] if group["params"]]


class _Network(lightning.LightningModule):
    """A task, its optimiser and its randomness."""

    def __init__(self, task: torch.nn.Module, optimizer: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        self.task, self.seed, self.n_steps = task, seed, 0.0
        self.optimizer_settings = dict(optimizer) or dict(_OPTIMIZER)

    def configure_optimizers(self) -> Any:
        """Return the optimiser over everything that has a gradient, with its schedule where it has one."""
        settings = dict(self.optimizer_settings)
        schedule = settings.pop("schedule", None)
        optimizer = self._optimizer(settings)
        if schedule is None:
            return optimizer
        shape = _WarmUpCosine(int(self.trainer.estimated_stepping_batches), **schedule)
        return [optimizer], [{"scheduler": LambdaLR(optimizer, shape), "interval": "step"}]

    def _optimizer(self, settings: Mapping[str, Any]) -> torch.optim.Optimizer:
        trained: list[Any] = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trained:
            raise ConfigError("Nothing in this encoder and head can be trained by gradient descent.")
        if isinstance(self.task, _Supervised) and self.task.encoder.layer_decay is not None:
            trained = self.task.parameter_groups(float(settings.get("lr", 1e-3)))
        try:
            built = instantiate({**settings, "_partial_": True, "_convert_": "all"})(trained)
        except (InstantiationException, TypeError, ValueError) as error:
            target = settings.get("_target_")
            raise ConfigError(f"The optimiser {target} cannot be built: {error}. See conf/optimizer.") from error
        if not isinstance(built, torch.optim.Optimizer):
            raise ConfigError(f"optimizer: {settings.get('_target_')} is not a torch optimiser.")
        return built

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return windows and targets on the device."""
        signal, target = batch
        return signal.to(device), target.to(device)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Limit the norm of the gradient; Lightning's own refuses fused optimisers under bf16-mixed, needlessly."""
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_train_start(self) -> None:
        """Note how many steps there will be, where patience does not end them."""
        self.n_steps = float(self.trainer.estimated_stepping_batches)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by the step, so that it does not depend on what was drawn before a run was resumed."""
        if self.trainer.global_step == 0:
            _require_scale(batch[0])
        if isinstance(self.task, _Supervised):
            self.task.head.share_done = self.trainer.global_step / max(float(self.n_steps), 1.0)
        rank = (self.trainer.global_rank,) if self.trainer.world_size > 1 else ()
        torch.manual_seed(derived_seed(self.seed, "step", self.trainer.global_step, *rank))

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the loss of one batch; processes that train together weigh it by their share of the windows."""
        terms = self.task(batch)
        loss, world_size = terms["loss"], self.trainer.world_size
        shown = {name: value.detach() for name, value in terms.items()}
        if world_size == 1:
            return {"loss": loss, "terms": shown}
        n_windows = torch.tensor(float(len(batch[0])), device=loss.device)
        together = self.trainer.strategy.reduce(n_windows.clone(), reduce_op="sum")
        return {"loss": loss * (n_windows * world_size / together), "terms": shown}

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return the loss of one batch; what the task draws is the same in every epoch."""
        torch.manual_seed(derived_seed(self.seed, "validation", batch_idx))
        return {"terms": self.task(batch)}


@dataclass(frozen=True)
class _WarmUpCosine:
    """The share of the learning rate at a step: a straight line up, then half a cosine down."""

    n_steps: int
    warm_up: float = 0.1
    start: float = 0.1
    end: float = 0.05

    def __call__(self, step: int) -> float:
        rising = max(round(self.warm_up * self.n_steps), 1)
        if step < rising:
            return self.start + (1 - self.start) * step / rising
        done = min((step - rising) / max(self.n_steps - rising, 1), 1.0)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2


class _BestEpoch(lightning.Callback):
    """Collects losses, keeps the weights of the best epoch and stops when patience is out."""

    def __init__(self, settings: TrainerSettings) -> None:
        self.patience = settings.patience
        self.epoch = 0
        self.curves: list[dict[str, Any]] = []
        self.lowest = float("inf")
        self.state: dict[str, torch.Tensor] | None = None
        self.losses: dict[str, list[tuple[torch.Tensor, int]]] = {"train_loss": [], "validation_loss": []}
        self.max_epochs = settings.max_epochs
        self.bar: Iterator[int] | None = None  # drawn by the process that trains

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Arrive in a spawned process, which has none of the parent's settings of messages."""
        self.__dict__.update(state)
        warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.ERROR)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take up the progress of a run that was stopped, which may have been done."""
        self.bar = track(range(self.max_epochs), "epochs", total=self.max_epochs)
        for _ in self.curves:
            next(self.bar, None)
        trainer.should_stop = self._is_out_of_patience()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Advance the progress bar."""
        if self.bar is not None:
            next(self.bar, None)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Note the terms of a training batch."""
        self._note("train", outputs["terms"], len(batch[0]))

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int, *_: Any
    ) -> None:
        """Note the terms of a validation batch."""
        self._note("validation", outputs["terms"], len(batch[0]))

    def _note(self, part: str, terms: Mapping[str, torch.Tensor], n_windows: int) -> None:
        for name, value in terms.items():
            self.losses.setdefault(f"{part}_{name}", []).append((value.detach(), n_windows))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Close the epoch; validation has run before."""
        means = {name: self._mean(name, trainer) for name in self.losses}
        point: dict[str, Any] = {"epoch": len(self.curves) + 1, **means}
        self.curves.append(point)
        for name in self.losses:
            if point[name] is not None:
                pl_module.log(name, point[name])
        for name in ("train_loss", "validation_loss"):
            if point[name] is not None:
                self._require_finite(name, point)
        self._compare(point, pl_module)
        trainer.should_stop = self._is_out_of_patience()

    def _is_out_of_patience(self) -> bool:
        if not self.curves or self.curves[-1]["validation_loss"] is None:
            return False
        return bool(self.curves[-1]["epoch"] - self.epoch >= self.patience)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Make sure that processes that hold whole copies of the network end with the same weights."""
        if trainer.world_size == 1 or not isinstance(trainer.strategy, DDPStrategy):
            return
        own = torch.stack([parameter.detach().double().sum() for parameter in pl_module.parameters()])
        if not torch.equal(own, trainer.strategy.broadcast(own)):
            raise RuntimeError("The processes that trained together ended with different weights.")

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: tensors and plain values."""
        kept = ("curves", "epoch", "lowest", "state", "losses")
        return {name: getattr(self, name) for name in kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.curves, self.epoch = list(state_dict["curves"]), state_dict["epoch"]
        self.lowest, self.state = state_dict["lowest"], state_dict["state"]
        self.losses = {name: list(seen) for name, seen in state_dict["losses"].items()}

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Close the progress bar."""
        if self.bar is not None:
            self.bar.close()  # type: ignore[attr-defined]
            self.bar = None

    def restore(self, module: torch.nn.Module) -> None:
        """Put the weights of the best epoch back; without validation the last epoch's stay."""
        if self.state is not None:
            module.load_state_dict(self.state)
        else:
            self.epoch = len(self.curves)

    def _compare(self, point: dict[str, Any], module: torch.nn.Module) -> None:
        loss = point["validation_loss"]
        if loss is not None and loss < self.lowest:
            self.lowest, self.epoch = loss, point["epoch"]
            self.state = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}

    def _mean(self, name: str, trainer: lightning.Trainer) -> float | None:
        """Return the mean loss over windows; of training, over those of all processes."""
        seen, self.losses[name] = self.losses[name], []
        if not seen:
            return None
        losses = torch.stack([loss.double() for loss, _ in seen]).cpu()
        counts = torch.tensor([count for _, count in seen], dtype=torch.float64)
        sums = torch.stack([(losses * counts).sum(), counts.sum()])
        if trainer.world_size > 1 and name.startswith("train_"):
            sums = trainer.strategy.reduce(sums.to(trainer.strategy.root_device), reduce_op="sum").cpu()
        return float(sums[0] / sums[1])

    def _require_finite(self, name: str, point: dict[str, Any]) -> None:
        if not np.isfinite(point[name]):
            raise DataError(
                f"{name} became {point[name]} in epoch {point['epoch']}. Lower optimizer.lr, or check the scale of the "
                "signal (preprocessing=network brings channels to unit variance)."
            )


def _require_scale(windows: Any) -> None:
    """Refuse windows so small that the epsilon of the norms swamps them: decoders then stay at chance, silently."""
    if not isinstance(windows, SignalBatch | BrainEmbedding):
        return
    scale = float((windows.signal if isinstance(windows, SignalBatch) else windows.pooled).std(correction=0))
    if 0 < scale < _SMALLEST_SCALE:
        raise SpecMismatch(
            f"Networks learn from windows of about unit scale; these have a standard deviation of {scale:.2g}. Add a "
            "step that scales them: preprocessing=network does, and preprocessing=brainomni for pretraining."
        )


def _targets(reader: BatchReader, positions: np.ndarray, batch_size: int) -> torch.Tensor:
    parts = np.array_split(np.asarray(positions), -(-len(positions) // batch_size))
    return torch.cat([reader.batch(part)[1] for part in parts])


def _lightning_trainer(settings: TrainerSettings, best: _BestEpoch, folder: Path | None) -> lightning.Trainer:
    callbacks: list[lightning.Callback] = [best]
    if folder is not None:
        callbacks.append(KeepState(folder, settings.keep_state_s))
    try:
        return lightning.Trainer(
            max_epochs=settings.max_epochs,
            accelerator=settings.accelerator,
            strategy=settings.strategy,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            precision=settings.precision,  # type: ignore[arg-type]
            gradient_clip_val=settings.gradient_clip or None,
            logger=_logger(settings.logger_folder),
            callbacks=callbacks,
            plugins=[AtomicCheckpoints()],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise ConfigError(f"The trainer settings cannot be used: {error}") from error


def _logger(folder: str | None) -> Any:
    if folder is None:
        return False
    try:
        return lightning.loggers.TensorBoardLogger(folder, name="")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "TensorBoard is not installed. Install brain_decode[track], or choose logger=none."
        ) from error


def _run(
    trainer: lightning.Trainer,
    module: _Network,
    train: DataLoader[Batch],
    validation: DataLoader[Batch] | None,
    folder: Path | None,
) -> None:
    resumed = None if folder is None else last_state(folder)
    try:
        trainer.fit(module, train, validation, ckpt_path=resumed, weights_only=True)
    except SystemExit as error:  # Lightning turns Ctrl+C into an exit; the program above decides what it means
        raise KeyboardInterrupt from error


@torch.no_grad()
def _calibrate(encoder: Encoder, head: Head, validation: DataLoader[Batch]) -> None:
    parts = [(head(encoder(signal)), target) for signal, target in validation]
    outputs, targets = zip(*parts, strict=True)
    head.calibrate(torch.cat(outputs), torch.cat(targets))  # type: ignore[operator]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes about devices, loaders and logging off the terminal."""
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
