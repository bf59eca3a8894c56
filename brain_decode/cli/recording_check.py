"""The part of `doctor` that holds a recording against a decoder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

__all__ = ["check_recording"]


def check_recording(config: DictConfig) -> None:
    """Print the passport of `input` for `checkpoint`.

    Raises:
        ConfigError: Only one of the two is given.
        SpecMismatch: The recording is refused.
    """
    from rich.console import Console

    from brain_decode.core.errors import ConfigError
    from brain_decode.inference.inspection import passport_of_file

    absent = [key for key in ("checkpoint", "input") if not config.get(key)]
    if absent:
        raise ConfigError(f"A recording is held against a decoder: give {absent[0]}= too.")
    events = Path(config.events) if config.get("events") else None
    unit = config.get("input_unit")
    passport = passport_of_file(str(config.checkpoint), Path(config.input), events, input_unit=unit)
    Console(highlight=False, soft_wrap=True).print(str(passport), markup=False)
    passport.require_accepted()
