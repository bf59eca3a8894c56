"""Train a decoder on a dataset and write its scores, report and checkpoint."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "train"


def run(config: DictConfig, folder: Path) -> None:
    """Cross-validate, refit and report."""
    from brain_decode.cli.finish import report_run
    from brain_decode.training.run import train

    report_run(train(config, folder))
