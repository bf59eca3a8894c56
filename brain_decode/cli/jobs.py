"""One run, or a sweep of runs, of a command."""

from __future__ import annotations

import importlib
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from brain_decode.cli.commands import Command
from brain_decode.cli.composition import QUIET_HYDRA, compose, explained, opened_hydra, require_complete
from brain_decode.cli.overrides import catalogue_folder, parse_override, prepare_overrides, quoted
from brain_decode.core.errors import ConfigError, MissingExtra, unknown_option
from brain_decode.core.run_folder import new_folder_name, open_run_folder, require_free_folder, unfinished_run

__all__ = ["run_once", "run_sweep"]

_LOG = logging.getLogger(__name__)
_LAUNCHER = "hydra/launcher"
_SLURM = "submitit_slurm"
_OF_EXTRA = ("joblib", "submitit_local", _SLURM)


@dataclass(frozen=True)
class _SweepJob:
    """One run of a sweep; a launcher plug-in may pickle it and call it in another process."""

    command: str

    def __call__(self, config: DictConfig) -> None:
        require_complete(config)
        _run_in(self.command, config, Path(HydraConfig.get().runtime.output_dir))


def run_once(command: Command, words: Sequence[str]) -> int:
    """Compose the configuration, run the command in its run folder, and return its exit code."""
    config = compose(command.config, words)
    out = config.get("out")
    left = None if out else unfinished_run(command.name)
    if left is not None:
        _LOG.warning("%s was not finished. Repeat its command with out=%s to go on with it.", left, left)
    return _run_in(command.name, config, Path(out) if out else None)


def run_sweep(command: Command, words: Sequence[str]) -> int:
    """Run every combination of the values through Hydra's sweeper and launcher, each in a numbered folder."""
    overrides = prepare_overrides(words, multirun=True)
    catalogue = catalogue_folder(overrides)
    out = [str(o.value()) for o in map(parse_override, overrides) if o.key_or_group == "out" and o.value()]
    folder = Path(out[-1]) if out else new_folder_name(command.name)
    require_free_folder(folder, command.name)
    settings = [f"hydra.sweep.dir={quoted(str(folder))}", "hydra.sweep.subdir=${hydra.job.num}"]
    jobs = [word for word in overrides if parse_override(word).key_or_group != "out"]
    with opened_hydra(catalogue) as hydra, explained(hydra, command.config, jobs, catalogue):
        _require_launcher(jobs, hydra.config_loader.get_group_options(_LAUNCHER))
        hydra.multirun(
            config_name=command.config,
            task_function=_SweepJob(command.name),
            overrides=[*QUIET_HYDRA, *settings, *jobs],
            with_log_configuration=False,
        )
    return 0


def _require_launcher(overrides: Sequence[str], installed: Sequence[str]) -> None:
    """Refuse a launcher that is not installed, or whose cluster is not there, before a folder is made.

    Raises:
        MissingExtra: One of those that the extra brings.
        ConfigError: An unknown one, or Slurm's on a machine without Slurm.
    """
    chosen = [
        str(override.value()) for override in map(parse_override, overrides) if override.key_or_group == _LAUNCHER
    ]
    for name in chosen:
        if name not in {*installed, *_OF_EXTRA}:
            raise unknown_option("launcher", name, {*installed, *_OF_EXTRA})
        if name not in installed:
            raise MissingExtra(f"hydra/launcher={name} is not installed. Install brain_decode[launchers].")
        if name == _SLURM and shutil.which("srun") is None:
            raise ConfigError(
                f"hydra/launcher={_SLURM} needs Slurm, and this machine has no srun. Start it on the cluster's login "
                "node, or use hydra/launcher=submitit_local or joblib here."
            )


def _run_in(name: str, config: DictConfig, out: Path | None) -> int:
    module = importlib.import_module(f"brain_decode.cli.{name}")
    if _is_follower():
        with tempfile.TemporaryDirectory(prefix="brain_decode_rank_") as scratch, redirect_stdout(io.StringIO()):
            return module.run(config, Path(scratch)) or 0
    with open_run_folder(name, out) as folder:
        return module.run(config, folder) or 0


def _is_follower() -> bool:
    """Return True in all but the first of the processes that torchrun, Slurm or Lightning start for one training."""
    return any(int(os.environ.get(name) or 0) > 0 for name in ("RANK", "LOCAL_RANK"))
