"""Score a saved decoder on recordings it has not seen."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "evaluate"


def run(config: DictConfig, folder: Path) -> None:
    """Load the checkpoint, predict, score and report."""
    from brain_decode.cli.finish import report_run
    from brain_decode.training.evaluating import evaluate

    report_run(evaluate(config, folder))
