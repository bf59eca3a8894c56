"""The closed look-up from the names in a saved decoder to classes of this package."""

from __future__ import annotations

import importlib
import re
from functools import cache
from pathlib import Path

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.encoders.base import Encoder
from brain_decode.heads.base import Head
from brain_decode.tokenizers.base import Tokenizer

__all__ = ["encoder_names", "head_names", "resolve_encoder", "resolve_head", "resolve_tokenizer", "tokenizer_names"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PACKAGE = Path(__file__).resolve().parent.parent


def encoder_names() -> list[str]:
    """Return the architecture names of all encoders, found by their files."""
    return list(_architectures("encoders"))


def head_names() -> list[str]:
    """Return the architecture names of all heads, found by their files."""
    return list(_architectures("heads"))


def tokenizer_names() -> list[str]:
    """Return the architecture names of all tokenizers, found by their files."""
    return list(_architectures("tokenizers"))


def resolve_tokenizer(name: str) -> type[Tokenizer]:
    """Return the tokenizer class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: saved weights may only name parts of this package.
    """
    return _resolve("tokenizer", "tokenizers", name, Tokenizer)


def resolve_encoder(name: str) -> type[Encoder]:
    """Return the encoder class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: a saved decoder may only name parts of this package.
    """
    return _resolve("encoder", "encoders", name, Encoder)


def resolve_head(name: str) -> type[Head]:
    """Return the head class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: a saved decoder may only name parts of this package.
    """
    return _resolve("head", "heads", name, Head)


@cache
def _architectures(folder: str) -> tuple[str, ...]:
    """Return the names of the files that declare an architecture of their own name, without importing them."""
    files = sorted((_PACKAGE / folder).glob("*.py"))
    declared = {path.stem: rf'^ +architecture(: [^=\n]+)? = "{path.stem}"$' for path in files}
    return tuple(p.stem for p in files if re.search(declared[p.stem], p.read_text(encoding="utf-8"), re.MULTILINE))


def _resolve(kind: str, folder: str, name: str, base: type) -> type:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"A saved decoder names its {kind} by one lower-case word, got {name!r}. Python paths (`_target_`) are "
            f"refused, because loading them could run any code. Allowed: {', '.join(_architectures(folder))}."
        )
    if name not in _architectures(folder):
        raise unknown_option(kind, name, _architectures(folder))
    module = importlib.import_module(f"brain_decode.{folder}.{name}")
    for found in vars(module).values():
        own = isinstance(found, type) and issubclass(found, base) and found.__module__ == module.__name__
        if own and getattr(found, "architecture", None) == name:
            return found
    raise unknown_option(kind, name, [known for known in _architectures(folder) if known != name])
