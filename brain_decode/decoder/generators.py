"""Picture generators by name, for decoders that draw what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.decoder.architectures import resolve_generator
from brain_decode.generation.base import PictureGenerator
from brain_decode.signals.spec import TargetSpec

__all__ = ["build_generator"]


def build_generator(settings: Mapping[str, Any], target_spec: TargetSpec) -> PictureGenerator:
    """Return the generator that `settings` names, for answers of `target_spec`.

    Args:
        settings: `architecture`, the name of a module of `brain_decode.generation`, and the arguments of its class.
        target_spec: What the decoder answers.

    Raises:
        ConfigError: An unknown name or setting, or weights that are not there.
        SpecMismatch: The generator draws from vectors of another length.
    """
    name = str(settings["architecture"])
    wanted = resolve_generator(name)
    try:
        generator = wanted(**{key: value for key, value in settings.items() if key != "architecture"})
    except TypeError as error:
        raise ConfigError(f"generator '{name}' does not take these settings: {error}.") from error
    if generator.feature_dim != target_spec.dim:
        raise SpecMismatch(
            f"generator '{name}' draws from {generator.feature_dim} values, the decoder answers with "
            f"{target_spec.dim}. Train it on the features the generator was made for (stimuli=), or choose another."
        )
    return generator
