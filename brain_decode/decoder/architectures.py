"""The closed look-up from the names in a saved decoder to classes of this package."""

from __future__ import annotations

from brain_decode.encoders.base import Encoder
from brain_decode.generation.base import PictureGenerator
from brain_decode.heads.base import Head
from brain_decode.nn.architectures import architecture_names, resolve_architecture
from brain_decode.tokenizers.base import Tokenizer

__all__ = [
    "encoder_names",
    "generator_names",
    "head_names",
    "resolve_encoder",
    "resolve_generator",
    "resolve_head",
    "resolve_tokenizer",
    "tokenizer_names",
]


def encoder_names() -> list[str]:
    """Return the architecture names of all encoders, found by their files."""
    return list(architecture_names("encoders"))


def head_names() -> list[str]:
    """Return the architecture names of all heads, found by their files."""
    return list(architecture_names("heads"))


def generator_names() -> list[str]:
    """Return the architecture names of all picture generators, found by their files."""
    return list(architecture_names("generation"))


def tokenizer_names() -> list[str]:
    """Return the architecture names of all tokenizers, found by their files."""
    return list(architecture_names("tokenizers"))


def resolve_tokenizer(name: str) -> type[Tokenizer]:
    """Return the tokenizer class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: saved weights may only name parts of this package.
    """
    return resolve_architecture("tokenizer", "tokenizers", name, Tokenizer)


def resolve_generator(name: str) -> type[PictureGenerator]:
    """Return the picture generator class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: saved weights may only name parts of this package.
    """
    return resolve_architecture("generator", "generation", name, PictureGenerator)


def resolve_encoder(name: str) -> type[Encoder]:
    """Return the encoder class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: a saved decoder may only name parts of this package.
    """
    return resolve_architecture("encoder", "encoders", name, Encoder)


def resolve_head(name: str) -> type[Head]:
    """Return the head class whose file and `architecture` are called `name`.

    Raises:
        ConfigError: An unknown name, or a Python path: a saved decoder may only name parts of this package.
    """
    return resolve_architecture("head", "heads", name, Head)
