"""From the words of the command line to one complete configuration, or one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from brain_decode.cli.explanation import example_of, explain_words, one_line
from brain_decode.cli.overrides import catalogue_folder, prepare_overrides
from brain_decode.core.errors import ConfigError
from brain_decode.core.resources import CATALOGUE_FOLDERS, catalogue_root, group_folders

__all__ = ["QUIET_HYDRA", "compose", "explained", "opened_hydra", "require_complete"]

QUIET_HYDRA = ("hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.output_subdir=null", "hydra.run.dir=.")


def compose(config_name: str, words: Sequence[str]) -> DictConfig:
    """Return the composed configuration of a command.

    Args:
        config_name: Primary configuration in `conf/`.
        words: Overrides as typed.

    Raises:
        ConfigError: An unknown word or choice, a value that is missing, or a broken YAML file.
    """
    overrides = prepare_overrides(words)
    catalogue = catalogue_folder(overrides)
    with opened_hydra(catalogue) as hydra, explained(hydra, config_name, overrides, catalogue):
        config = _compose(hydra, config_name, overrides)
    require_complete(config)
    return config


@contextmanager
def opened_hydra(catalogue: Path | None) -> Iterator[Hydra]:
    """Give a Hydra that searches the package's catalogue, then the user's.

    Raises:
        ConfigError: An entry of the user's has the name of one of the package's.
    """
    setbase("1.3")
    Plugins.instance()  # registers the readers of the search path
    root = catalogue_root()
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    for provider, folder in (("brain_decode", root / "conf"), ("catalogue", root)):
        path.append(provider, f"file://{folder}")
    if catalogue is not None:
        _refuse_same_names(catalogue)
        path.append("user", f"file://{(catalogue / 'conf').resolve()}")
        path.append("user", f"file://{catalogue.resolve()}")
    path.append("schema", "structured://")
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2("brain_decode", path)
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def explained(hydra: Hydra, config_name: str, overrides: Sequence[str], catalogue: Path | None) -> Iterator[None]:
    """Turn errors of Hydra, OmegaConf and YAML into one sentence that names the word and the remedy."""
    try:
        yield
    except yaml.YAMLError as error:
        raise ConfigError(f"A YAML file cannot be read: {one_line(error)}") from error
    except (HydraException, OmegaConfBaseException) as error:
        explain_words(config_name, overrides, catalogue, partial(_compose, hydra, config_name))
        raise ConfigError(one_line(error)) from error


def require_complete(config: DictConfig) -> None:
    """Refuse a configuration with values that are missing or refer to nothing.

    Raises:
        ConfigError: Names the word to add.
    """
    try:
        missing = sorted(OmegaConf.missing_keys(config))
        OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"A value of the configuration refers to nothing: {one_line(error)}") from error
    if missing:
        raise ConfigError(f"'{missing[0]}' must be given. Add {example_of(missing[0])}.")


def _compose(hydra: Hydra, config_name: str, overrides: Sequence[str]) -> DictConfig:
    config = hydra.compose_config(
        config_name=config_name,
        overrides=[*QUIET_HYDRA, *overrides],
        run_mode=RunMode.RUN,
        with_log_configuration=False,
    )
    with open_dict(config):
        del config["hydra"]
    return config


def _refuse_same_names(catalogue: Path) -> None:
    root = catalogue_root()
    groups = [*CATALOGUE_FOLDERS, *(path.name for path in (root / "conf").iterdir() if path.is_dir())]
    for group in groups:
        shipped = {path.name for folder in group_folders(group) for path in folder.glob("*.yaml")}
        for folder in set(group_folders(group, catalogue)) - set(group_folders(group)):
            for path in sorted(folder.glob("*.yaml")):
                if path.name in shipped:
                    raise ConfigError(f"'{path}' has the name of an entry of the package. Rename the file.")
