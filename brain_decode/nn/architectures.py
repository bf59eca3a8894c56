"""Classes of this package by the name of their file, for settings that come from disk."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

from brain_decode.core.errors import ConfigError, unknown_option

__all__ = ["architecture_names", "resolve_architecture"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PACKAGE = Path(__file__).resolve().parent.parent


@cache
def architecture_names(folder: str) -> tuple[str, ...]:
    """Return the names of the files that declare an architecture of their own name, without importing them."""
    files = sorted((_PACKAGE / folder).glob("*.py"))
    declared = {path.stem: rf'^ +architecture(: [^=\n]+)? = "{path.stem}"$' for path in files}
    return tuple(p.stem for p in files if re.search(declared[p.stem], p.read_text(encoding="utf-8"), re.MULTILINE))


def resolve_architecture(kind: str, folder: str, name: str, base: type) -> type:
    """Return the subclass of `base` whose file in `folder` and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: saved weights may only name parts of this package.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"A saved decoder names its {kind} by one lower-case word, got {name!r}. Python paths (`_target_`) are "
            f"refused, because loading them could run any code. Allowed: {', '.join(architecture_names(folder))}."
        )
    if name not in architecture_names(folder):
        raise unknown_option(kind, name, architecture_names(folder))
    module = importlib.import_module(f"brain_decode.{folder}.{name}")
    for found in vars(module).values():
        own = isinstance(found, type) and issubclass(found, base) and found.__module__ == module.__name__
        if own and getattr(found, "architecture", None) == name:
            return found
    raise unknown_option(kind, name, [known for known in architecture_names(folder) if known != name])
