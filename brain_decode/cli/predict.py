"""Write the answers of a saved decoder for a recording file as CSV."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "predict"


def run(config: DictConfig, folder: Path) -> None:
    """Predict each window of `input` into `predictions.csv`."""
    from rich.console import Console

    from brain_decode.core.files import write_atomically
    from brain_decode.inference.recordings import predictions_table

    table = predictions_table(
        str(config.checkpoint),
        Path(config.input),
        config.events and Path(config.events),
        input_unit=config.get("input_unit"),
    )
    target = folder / "predictions.csv"
    write_atomically(target, table.to_csv(index=False))
    Console().print(f"{len(table)} windows: {target}", highlight=False, soft_wrap=True)
