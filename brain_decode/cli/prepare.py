"""Turn the raw files of a dataset into a signal store; resumes where it was stopped."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "prepare"


def run(config: DictConfig, folder: Path) -> None:
    """Prepare each recording once; `folder` is not used, the store keeps its own."""
    from rich.console import Console

    from brain_decode.training.preparing import prepare

    for line in prepare(config):
        Console().print(line, highlight=False, soft_wrap=True)
