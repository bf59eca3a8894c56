"""Any model with braindecode's signature as an encoder."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from brain_decode.core.errors import ConfigError, MissingExtra, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.mne_conversion import info_from_sensors
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

__all__ = ["Braindecode", "wrapping"]

_FROM_DATA = ("n_outputs", "n_chans", "n_times", "sfreq", "chs_info")


class Braindecode(Encoder):
    """A model built from `n_outputs, n_chans, n_times, sfreq, chs_info`, whose outputs are the embedding.

    Args:
        signal_spec: Sizes of the windows, handed to the model under braindecode's names.
        target: The class as "package.module:Class", for example "braindecode.models:ShallowFBCSPNet".
        n_values: Outputs asked of the model; the head stands on them.
        model_settings: Further arguments of the class.

    Raises:
        ConfigError: A target that is not a model class, or settings it does not take.
        MissingExtra: The package is not installed.
        SpecMismatch: The model cannot read windows of these sizes.

    `target` runs foreign code, so a saved decoder is loaded only with `encoder_class=` from the caller; see `wrapping`.
    """

    architecture = "braindecode"
    imports_code: ClassVar[bool] = True
    model_class: ClassVar[type[nn.Module] | None] = None

    def __init__(
        self,
        signal_spec: SignalSpec,
        target: str,
        n_values: int = 64,
        model_settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(signal_spec)
        self.model = _build(self._class_of(target), signal_spec, n_values, dict(model_settings or {}))
        self.embedding_dim = self._probe()

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the model's outputs, flattened where it has several axes of them."""
        self.require_spec(batch)
        weight = next(self.model.parameters(), batch.signal)
        return BrainEmbedding(self.model(batch.signal.to(weight.dtype)).flatten(1))

    def _class_of(self, target: str) -> type[nn.Module]:
        if self.model_class is None:
            return _imported_class(target)
        name = str(target).rpartition(":")[2]
        if self.model_class.__name__ != name:
            raise ConfigError(f"The decoder was saved with the model '{target}'; got {self.model_class.__name__}.")
        return self.model_class

    @torch.no_grad()
    def _probe(self) -> int:
        """Return how many values the model gives for one window."""
        window = torch.zeros(1, self.signal_spec.n_channels, self.signal_spec.n_times)
        try:
            output = self.model.eval()(window)
        except (RuntimeError, ValueError, IndexError) as error:
            raise SpecMismatch(
                f"{type(self.model).__name__} cannot read windows of {window.shape[1]} channels x {window.shape[2]} "
                f"samples: {error}"
            ) from error
        self.model.train()
        return int(output.flatten(1).shape[1])


def wrapping(model_class: type[nn.Module]) -> type[Braindecode]:
    """Return the encoder class for one model class that the caller has imported; it imports nothing by name.

    Example:
        BrainDecoder.from_pretrained(folder, encoder_class=wrapping(ShallowFBCSPNet))
    """
    return type("Braindecode", (Braindecode,), {"model_class": model_class, "imports_code": False})


def _imported_class(target: str) -> type[nn.Module]:
    module_name, colon, class_name = str(target).partition(":")
    if not (module_name and colon and class_name):
        raise ConfigError(f"encoder.target is written package.module:Class, got '{target}'.")
    try:
        found = getattr(importlib.import_module(module_name), class_name, None)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"encoder.target '{target}' needs the package '{error.name}'; install it first.") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"encoder.target '{target}' is not a torch model class.")
    return found


def _build(model_class: type[nn.Module], spec: SignalSpec, n_values: int, settings: dict[str, Any]) -> nn.Module:
    taken = [name for name in settings if name in _FROM_DATA]
    if taken:
        raise ConfigError(f"model_settings may not hold {taken}: sizes come from the data; use n_values for n_outputs.")
    if not isinstance(spec.sensors, Sensors):
        raise SpecMismatch("Models of braindecode read sensors, not voxels. Choose another encoder.")
    channels = info_from_sensors(spec.sensors, spec.rate_hz)["chs"]
    sizes = (n_values, spec.n_channels, spec.n_times, spec.rate_hz, channels)
    parameters = inspect.signature(model_class).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    known = {name: value for name, value in zip(_FROM_DATA, sizes, strict=True) if takes_all or name in parameters}
    try:
        return model_class(**known, **settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{model_class.__name__} cannot be built: {error}. See encoder.model_settings.") from error
