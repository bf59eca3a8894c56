"""Picture generators from the settings that a decoder keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.generation.base import PictureGenerator
from brain_decode.nn.architectures import resolve_architecture

__all__ = ["build_generator"]


def build_generator(settings: Mapping[str, Any] | None, feature_dim: int) -> PictureGenerator:
    """Return the generator that settings describe.

    Args:
        settings: `architecture`, the file name of a generator of this package, and its own settings.
        feature_dim: Values per vector that it is to take.

    Raises:
        ConfigError: None configured, an unknown one, or settings it does not have.
        SpecMismatch: It takes other vectors.
    """
    if not settings or "architecture" not in settings:
        raise ConfigError(
            "This decoder gives picture features and no pictures: it was built without a generator. Give "
            "head.generator={architecture: …} when it is trained."
        )
    name, others = settings["architecture"], {key: settings[key] for key in settings if key != "architecture"}
    found = resolve_architecture("generator", "generation", name, PictureGenerator)
    try:
        generator: PictureGenerator = found(**others)
    except TypeError as error:
        raise ConfigError(f"Generator '{name}' cannot be built: {error}.") from error
    if generator.feature_dim != feature_dim:
        raise SpecMismatch(
            f"Generator '{name}' takes vectors of {generator.feature_dim} values, the decoder gives {feature_dim}. "
            "Train on the features that the generator was made for."
        )
    return generator
