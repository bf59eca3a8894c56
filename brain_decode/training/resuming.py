"""The state of a network's training on disk: written whole, often enough, and taken up again to the bit."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from brain_decode.core.errors import StorageError
from brain_decode.core.files import write_atomically

__all__ = ["AtomicCheckpoints", "KeepState", "last_state", "saved_callback"]

_STATE_NAME = "last.ckpt"


def last_state(folder: Path) -> Path | None:
    """Return the state that training in this folder is taken up from, None where there is none."""
    state = folder / _STATE_NAME
    return state if state.is_file() else None


def saved_callback(folder: Path, name: str) -> dict[str, Any]:
    """Return the state of a callback that the training in this folder ended with."""
    return dict(torch.load(folder / _STATE_NAME, weights_only=True)["callbacks"][name])


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them; Lightning's own copies a temporary file over the old."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write the checkpoint; the file of before stays until the new one is whole.

        Raises:
            StorageError: The disk is full or was removed.
        """
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_atomically(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            StorageError: The file is damaged.
        """
        try:
            return super().load_checkpoint(path, *args, **kwargs)
        except Exception as error:  # whatever the damaged bytes lead torch to
            raise StorageError(
                f"The state of training in '{path}' is damaged. Remove the file to train from the start."
            ) from error


class KeepState(lightning.Callback):
    """Saves the state of training after a batch or an epoch when `every_s` seconds have passed, and at the end.

    Args:
        folder: Where the state goes; the newest replaces the one before.
        every_s: Seconds between two states; 0 saves after every batch.
    """

    def __init__(self, folder: Path, every_s: float) -> None:
        self.path, self.every_s = folder / _STATE_NAME, every_s
        self._saved_at = time.monotonic()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within an epoch; its last batch is followed by validation and saved after that."""
        if not trainer.is_last_batch:
            self._save_when_due(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save between epochs."""
        self._save_when_due(trainer)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save the end, so that a network that is done is not trained again."""
        self._save(trainer)

    def _save_when_due(self, trainer: lightning.Trainer) -> None:
        is_due = time.monotonic() - self._saved_at >= self.every_s
        # Processes that train together save together.
        if trainer.strategy.reduce_boolean_decision(is_due, all=False):
            self._save(trainer)

    def _save(self, trainer: lightning.Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved_at = time.monotonic()
