"""Train a tokenizer or an encoder on recordings without labels."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "pretrain"


def run(config: DictConfig, folder: Path) -> None:
    """Pretrain, measure on people kept out, and write the weights and the report."""
    from brain_decode.cli.finish import report_pretraining
    from brain_decode.training.pretraining import pretrain

    report_pretraining(pretrain(config, folder))
