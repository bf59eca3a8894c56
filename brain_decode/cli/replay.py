"""Run a receipt again and compare number by number."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "replay"
_SHOWN = 20


def run(config: DictConfig, folder: Path) -> int:
    """Repeat the run into `folder`, write `replay.json`, and return 1 where a number differs."""
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.html import write_report
    from brain_decode.training.replaying import replay

    result = replay(config, folder)
    write_report(folder)
    console = Console()
    for difference in result.environment:
        console.print(f"other than then: {difference}", highlight=False, soft_wrap=True)
    if result.differing:
        table = Table(title=f"{len(result.differing)} of {result.n_compared} values differ", title_justify="left")
        for column in ("value", "was", "is"):
            table.add_column(column, overflow="fold")
        for name, (was, now) in list(result.differing.items())[:_SHOWN]:
            table.add_row(name, str(was), str(now))
        console.print(table)
    else:
        console.print(f"The same: all {result.n_compared} values of {config.run} come out again.", highlight=False)
    console.print(f"Comparison: {folder / 'replay.json'}", highlight=False, soft_wrap=True)
    return 1 if result.differing else 0
