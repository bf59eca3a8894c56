"""Encoders whose sizes follow from the shapes of the authors' weights: what conversion asks of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import DataError
from brain_decode.encoders import brainflora
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.brainflora import BrainFLORA
from brain_decode.nn.weights_folder import load_weights
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import Space
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.voxels import Voxels

__all__ = ["BY_SHAPE", "encoder_by_shape"]

State = Mapping[str, torch.Tensor]
_RATE_HZ = 250.0  # of no consequence for the weights


@dataclass(frozen=True)
class _ByShape:
    """How the weights of one model become an encoder.

    Args:
        encoder: Class that is built.
        settings: Its arguments, from the shapes.
        sizes: Channels (or voxels) and samples of a window, from the shapes.
        weights: State dict of ours.
        of_voxels: Whether the weights are for voxels.
    """

    encoder: type[Encoder]
    settings: Callable[[State], dict[str, Any]]
    sizes: Callable[[State], tuple[int, int]]
    weights: Callable[[State], dict[str, torch.Tensor]]
    of_voxels: Callable[[State], bool]


BY_SHAPE = {
    "brainflora": _ByShape(
        BrainFLORA,
        brainflora.settings_from_official,
        brainflora.sizes_from_official,
        brainflora.from_official,
        lambda state: "proj_fmri.weight" in state,
    ),
}


def encoder_by_shape(model: str, state: State) -> Encoder:
    """Return an encoder with the authors' weights.

    Args:
        model: A key of `BY_SHAPE`.
        state: The authors' state dict.

    Raises:
        DataError: Weights of something else, or whose shapes do not belong together.
    """
    kind = BY_SHAPE[model]
    n_channels, n_times = kind.sizes(state)
    space = _voxels(n_channels) if kind.of_voxels(state) else _sensors(n_channels)
    weights = kind.weights(state)
    try:
        built = kind.encoder(SignalSpec(space, n_times, _RATE_HZ), **kind.settings(state))
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"The shapes of these weights do not describe a {model}: {error}.") from error
    load_weights(built, weights, what=model)
    return built


def _sensors(n_channels: int) -> Space:
    return Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)


def _voxels(n_voxels: int) -> Space:
    return Voxels(np.ones((n_voxels, 1, 1), dtype=bool), np.eye(4))
