"""Folders of models: on this machine, or fetched from the Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from brain_decode.core.errors import ConfigError

__all__ = ["local_folder"]


def local_folder(source: str | Path, *, files: Sequence[str], absent: str) -> Path:
    """Return the folder with `config.json` that a folder, run folder or Hub id stands for.

    Args:
        source: What the person gave.
        files: Names of the files that are fetched from the Hub.
        absent: Sentence about a place where nothing is, with `{source}` in it.

    Raises:
        ConfigError: Nothing there.
    """
    for folder in (Path(source), Path(source) / "checkpoint"):
        if (folder / "config.json").is_file():
            return folder
    if Path(source).exists() or str(source).count("/") != 1 or str(source).startswith((".", "/", "~")):
        raise ConfigError(absent.format(source=source))
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(source), allow_patterns=list(files)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ConfigError(
            f"'{source}' is neither a folder here nor a Hub repository that could be read ({type(error).__name__})."
        ) from error
