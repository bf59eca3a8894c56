"""Turn a checkpoint of a model's authors into weights of this package."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

CONFIG = "convert"


def run(config: DictConfig, folder: Path) -> None:
    """Convert into `checkpoint/` of the folder, and say what was found."""
    from datetime import UTC, datetime

    from rich.console import Console

    from brain_decode.core.files import write_atomically
    from brain_decode.decoder.conversion import convert
    from brain_decode.training.receipts import receipt_of

    started = datetime.now(UTC)
    part = convert(str(config.model), str(config.source), folder / "checkpoint", compat=config.compat)
    told = part.provenance
    data = {"source": told["source"], "sha256": told["sha256"]}
    write_atomically(folder / "receipt.json", receipt_of("convert", config=config, seed=0, started=started, data=data))
    lines = [
        f"{told['name']}: {part.kind}, {told['source']}",
        f"sha256 {told['sha256']}, licence {told['licence']}",
        *([f"rotary table in the file: {told['rotary']}"] if "rotary" in told else []),
        f"Weights: {folder / 'checkpoint'}",
    ]
    for line in lines:
        Console().print(line, highlight=False, soft_wrap=True)
