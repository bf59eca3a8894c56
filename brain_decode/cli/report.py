"""Rebuild the report of a finished run."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "report"


def run(config: DictConfig, folder: Path) -> None:
    """Write `report.html` into the run folder; `folder` is not used."""
    from rich.console import Console

    from brain_decode.reports.html import write_report

    Console().print(f"Report: {write_report(Path(config.run))}", highlight=False, soft_wrap=True)
