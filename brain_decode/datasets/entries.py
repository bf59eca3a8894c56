"""From a dataset file of the catalogue to a dataset, its target and its features."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.datasets.base import Dataset
from brain_decode.datasets.licences import require_acceptance

__all__ = ["build_dataset"]

_HANDED_DOWN = ("name", "subjects", "sessions", "tasks", "facts")


def build_dataset(entry: Mapping[str, Any]) -> Dataset:
    """Return the dataset that an entry (`datasets/<name>.yaml`, interpolations resolved) describes.

    The keys `name`, `subjects`, `sessions`, `tasks` and `facts` of the entry go to its loader.

    Raises:
        ConfigError: Terms that were not accepted, no loader, a loader that is no `Dataset`, or a setting it does not
            have.
    """
    require_acceptance(entry)
    loader = dict(entry.get("loader") or {})
    target = loader.pop("_target_", None)
    kind = _dataset_class(str(target), str(entry.get("name", "")))
    settings = {key: entry[key] for key in _HANDED_DOWN if entry.get(key) is not None} | loader
    allowed = [name for name in inspect.signature(kind).parameters if name != "self"]
    for key in settings:
        if key not in allowed:
            raise unknown_option(f"loader setting of dataset '{entry.get('name')}'", key, allowed)
    try:
        return kind(**settings)
    except TypeError as error:
        raise ConfigError(f"Dataset '{entry.get('name')}': {error}. Complete `loader:` in its file.") from error


def _dataset_class(target: str, name: str) -> type[Dataset]:
    module, _, attribute = target.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"Dataset '{name}': loader._target_ '{target}' cannot be imported: {error}.") from error
    if not (inspect.isclass(kind) and issubclass(kind, Dataset)):
        raise ConfigError(f"Dataset '{name}': loader._target_ '{target}' is no Dataset. Name a subclass of Dataset.")
    return kind
