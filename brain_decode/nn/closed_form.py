"""Parts fitted in closed form whose fitted arrays are buffers, saved and served like network weights."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from brain_decode.core.errors import ConfigError

__all__ = ["FittedBuffers"]


class FittedBuffers(nn.Module):
    """A module whose state is a set of arrays of sizes known only after fitting.

    Subclasses list the arrays in `fitted_names`, store them with `store_fitted`, and read them with `fitted`.
    A state dict restores them whatever their sizes.
    """

    fitted_names: ClassVar[tuple[str, ...]] = ()

    def register_fitted(self) -> None:
        """Reserve a buffer for each fitted array; call once after the module is initialised."""
        for name in self.fitted_names:
            self.register_buffer(name, None)

    @property
    def is_fitted(self) -> bool:
        """True once every array is there."""
        return all(getattr(self, name) is not None for name in self.fitted_names)

    def store_fitted(self, **arrays: np.ndarray | torch.Tensor | float) -> None:
        """Keep fitted arrays as buffers (float64 stays float64)."""
        for name, value in arrays.items():
            if name not in self.fitted_names:
                raise TypeError(f"{type(self).__name__} does not list '{name}' in fitted_names.")
            tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
            setattr(self, name, tensor.clone(memory_format=torch.contiguous_format))

    def fitted(self, name: str) -> np.ndarray:
        """Return a fitted array.

        Raises:
            ConfigError: `fit` has not run.
        """
        value = getattr(self, name)
        if value is None:
            raise ConfigError(f"{type(self).__name__} is not fitted yet; train it or load a checkpoint.")
        return value.detach().cpu().numpy()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name in self.fitted_names:
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
