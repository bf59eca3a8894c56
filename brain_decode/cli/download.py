"""Fetch a dataset from its official hosts: checked, and from where the last attempt ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

CONFIG = "download"


def run(config: DictConfig, folder: Path) -> None:
    """Fetch what is missing of each dataset into its folder, and write the receipt."""
    from datetime import UTC, datetime

    from brain_decode.core.files import write_atomically
    from brain_decode.datasets.download.remote import Connection
    from brain_decode.training.loading import dataset_entries
    from brain_decode.training.receipts import receipt_of

    started = datetime.now(UTC)
    connection = Connection(attempts=int(config.attempts), timeout_s=float(config.timeout_s))
    fetched = {str(entry["name"]): _fetch(entry, connection, config) for entry in dataset_entries(config)}
    if not config.only_list:
        data = {"datasets": list(fetched), "files": fetched}
        receipt = receipt_of("download", config=config, seed=0, started=started, data=data)
        write_atomically(folder / "receipt.json", receipt)


def _fetch(entry: dict[str, Any], connection: Any, config: DictConfig) -> list[dict[str, Any]]:
    from brain_decode.datasets.download.downloading import plan_download
    from brain_decode.datasets.licences import require_acceptance

    require_acceptance(entry)
    plan = plan_download(entry, connection)
    there = len(plan.items) - len(plan.missing)
    _say(f"{plan.name}: {len(plan.items)} files, {_size(plan.size)}; {there} are there, {_size(plan.left)} to fetch")
    if config.only_list:
        for item in plan.missing:
            _say(f"  {item.file.path}  {_size(item.file.size)}  {item.file.url}")
        return []
    if config.verify:
        plan.verify()
    fetched = plan.fetch_all(connections=int(config.connections))
    if plan.unchecked:
        _say(f"{plan.unchecked} files have no checksum at the host: their length was compared where it is stated")
    _say(f"{plan.name} is complete in {plan.folder}")
    return fetched


def _size(size: int | None) -> str:
    if size is None:
        return "size not stated"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def _say(line: str) -> None:
    from rich.console import Console

    Console().print(line, highlight=False, markup=False, soft_wrap=True)
