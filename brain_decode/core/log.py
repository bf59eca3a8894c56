"""Messages to the person at the terminal: quiet unless asked."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import TextIO

from brain_decode.core.errors import unknown_option

__all__ = ["LEVEL_VARIABLE", "get_logger", "set_up_logging"]

LEVEL_VARIABLE = "BRAIN_DECODE_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_CHATTY = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning", "mne", "matplotlib", "hydra")


class _StandardError(logging.StreamHandler):
    """Writes to what standard error is when a message comes: programs and tests exchange it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def get_logger(name: str) -> logging.Logger:
    """Return the package's logger for a module; pass `__name__`."""
    return logging.getLogger(name if name.startswith("brain_decode") else f"brain_decode.{name}")


def set_up_logging(level: str | None = None) -> None:
    """Send messages of the package to standard error, and quieten the libraries below it.

    Called by the command line only: a library leaves the choice to the program that uses it.

    Args:
        level: "debug", "info", "warning" or "error"; the variable BRAIN_DECODE_LOG, else "warning", where None.

    Raises:
        ConfigError: Another word.
    """
    word = (level or os.environ.get(LEVEL_VARIABLE) or "warning").lower()
    if word not in _LEVELS:
        raise unknown_option("log level", word, _LEVELS)
    logger = logging.getLogger("brain_decode")
    logger.setLevel(_LEVELS[word])
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(_StandardError())
    logger.handlers[0].setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    if _LEVELS[word] > logging.INFO:
        _quieten_libraries()


def _quieten_libraries() -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("MNE_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for library in ("lightning", "torch", "mne", "mne_bids", "sklearn", "pyriemann"):
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")
