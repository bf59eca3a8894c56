"""The networks that judge reconstructions, each with its file, its preprocessing and the measure it is used for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.stimuli.perceptual.alexnet import AlexNet
from brain_decode.stimuli.perceptual.clip import open_clip_image
from brain_decode.stimuli.perceptual.efficientnet import EfficientNetB1
from brain_decode.stimuli.perceptual.inception import IMAGENET_MEAN, IMAGENET_STD, InceptionV3
from brain_decode.stimuli.perceptual.resizing import compared, resize
from brain_decode.stimuli.perceptual.resnet20 import ResNet20
from brain_decode.stimuli.perceptual.resnet50 import ResNet50
from brain_decode.stimuli.perceptual.weights import find_weights, load_network
from brain_decode.stimuli.picture_transform import CLIP_MEAN, CLIP_STD

__all__ = ["NETWORKS", "Measure", "PerceptualNetwork", "PublishedNetwork", "open_networks"]

Measure = Literal["two_way", "distance"]
Channels = tuple[float, float, float]
_IMAGENET: tuple[Channels, Channels] = (IMAGENET_MEAN, IMAGENET_STD)
_CLIP: tuple[Channels, Channels] = (CLIP_MEAN, CLIP_STD)
_BATCH = 16
_COMPAT = "2024"


@dataclass(frozen=True)
class PublishedNetwork:
    """What is known of a network before its weights are there.

    Args:
        build: Returns the network without weights; None for a folder of CLIP.
        files: Names of its published files (or folder); the first that is there is taken.
        side: Pictures are brought to side x side, after 256 x 256.
        normalisation: Mean and deviation per colour.
        measure: "two_way" identification, or mean correlation "distance".
        foreign: Prefixes of keys in the file that belong to another network.
        value_range: Largest pixel value before normalisation.
    """

    build: Callable[[], nn.Module] | None
    files: tuple[str, ...]
    side: int
    normalisation: tuple[Channels, Channels] = _IMAGENET
    measure: Measure = "two_way"
    foreign: tuple[str, ...] = ()
    value_range: float = 1.0


_ALEXNET = ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth")
_EFFICIENTNET = (
    "efficientnet_b1-c27df63c.pth",
    "efficientnet_b1_rwightman-533bc792.pth",
    "efficientnet_b1_rwightman-bac287d4.pth",
)
# Sizes and measures: the evaluation of ATM (Li et al. 2024).
NETWORKS: dict[str, PublishedNetwork] = {
    "alexnet2": PublishedNetwork(partial(AlexNet, 4), _ALEXNET, 256),
    "alexnet5": PublishedNetwork(partial(AlexNet, 11), _ALEXNET, 256),
    "inception": PublishedNetwork(InceptionV3, ("inception_v3_google-0cc3c7bd.pth",), 342),
    "clip": PublishedNetwork(None, ("clip-vit-large-patch14",), 224, _CLIP),
    "effnet": PublishedNetwork(EfficientNetB1, _EFFICIENTNET, 255, measure="distance"),
    "swav": PublishedNetwork(
        ResNet50,
        ("swav_800ep_pretrain.pth.tar",),
        224,
        measure="distance",
        foreign=("projection_head.", "prototypes."),
    ),
    # Not of that evaluation: small, and held out from everything a generator of this package is trained with.
    "resnet20_cifar10": PublishedNetwork(ResNet20, ("cifar10_resnet20_state_dict.pt",), 32),
}


@dataclass(frozen=True, eq=False)
class PerceptualNetwork:
    """Pictures to features: call it with (picture, height, width, 3) in [0, 1], get (picture, dim) float32.

    Args:
        name: In `NETWORKS`.
        published: How its input is made.
        module: Frozen, in evaluation mode.
        path: Where its weights are from.
    """

    name: str
    published: PublishedNetwork
    module: nn.Module
    path: Path

    @property
    def metric(self) -> str:
        """The key of its score in metrics.json."""
        return f"two_way_{self.name}" if self.published.measure == "two_way" else f"{self.name}_distance"

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Return features (picture, dim), a batch at a time."""
        device = next(self.module.parameters()).device
        parts = []
        for start in range(0, len(pixels), _BATCH):
            pictures = self.prepared(pixels[start : start + _BATCH]).to(device)
            parts.append(self.module(pictures).flatten(1).float().cpu().numpy())
        return np.concatenate(parts)

    def prepared(self, pixels: np.ndarray) -> torch.Tensor:
        """Return (picture, 3, side, side), resized and normalised: what the network sees."""
        mean, deviation = (torch.tensor(values)[:, None, None] for values in self.published.normalisation)
        pictures = resize(compared(pixels), self.published.side) * self.published.value_range
        return (pictures - mean) / deviation


def open_networks(
    folder: str | Path, names: Sequence[str] | None = None, *, compat: str | None = None, device: str = "cpu"
) -> list[PerceptualNetwork]:
    """Return the networks whose published weights lie in a folder.

    Args:
        folder: Holds the files under the names they were published with, or .safetensors copies of the same stem.
        names: Of `NETWORKS`; all must be there. None takes those that are there.
        compat: "2024" gives EfficientNet pixel values of 0 to 255, as the published notebook of 2024 did by mistake;
            its effnet_distance compares with the numbers of that notebook only.
        device: Where they run.

    Raises:
        ConfigError: An unknown name or `compat`, no such folder, or weights that are not in it.
        DataError: Weights that are damaged, or of another network.
    """
    folder = Path(folder)
    if compat not in (None, _COMPAT):
        raise unknown_option("compat of picture metrics", compat, [_COMPAT])
    for name in names or ():
        if name not in NETWORKS:
            raise unknown_option("network", name, NETWORKS)
    if not folder.is_dir():
        raise ConfigError(f"There is no folder '{folder}' of weights for picture metrics. Give the folder they are in.")
    found = {name: find_weights(folder, NETWORKS[name].files) for name in names or NETWORKS}
    absent = [name for name, path in found.items() if path is None]
    if absent if names else len(absent) == len(found):
        wanted = "; ".join(f"{name}: {' or '.join(NETWORKS[name].files)}" for name in absent)
        raise ConfigError(f"'{folder}' lacks published weights ({wanted}). Put the files there under these names.")
    return [_opened(name, path, compat, device) for name, path in found.items() if path is not None]


def _opened(name: str, path: Path, compat: str | None, device: str) -> PerceptualNetwork:
    published = NETWORKS[name]
    if published.build is None:
        module = open_clip_image(path)
    else:
        with torch.device("meta"):
            network = published.build()
        module = load_network(network, path, foreign=published.foreign)
    if name == "effnet" and compat == _COMPAT:
        published = replace(published, value_range=255.0)
    return PerceptualNetwork(name, published, module.to(device), path)
