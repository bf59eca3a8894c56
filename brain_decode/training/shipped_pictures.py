"""Write trained picture models as the folders that ship with the package: half precision, settings and a card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from brain_decode.generation.drawn_pictures import DrawnPictures
from brain_decode.generation.latent_denoiser import LatentDenoiser
from brain_decode.generation.picture_autoencoder import PictureAutoencoder
from brain_decode.nn.weights_folder import PretrainedPart, write_part
from brain_decode.simulation.pictures import PICTURE_SIZE
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder

__all__ = ["provenance", "write_encoder", "write_generator"]

_CONCEPTS = 400  # shape x colour x texture
_ENCODER = (
    "A convolutional network that turns a drawn picture into {dim} numbers. It was trained so that linear maps of the "
    "numbers give the leading components of colour layout, oriented energy and silhouette, and shape, colour and "
    "texture; then whitened."
)
_GENERATOR = (
    "A latent diffusion model that draws pictures from the numbers of `drawn_picture_encoder`: an autoencoder of "
    "blocks and a small UNet2DModel of diffusers, told of a picture what a regression from noisy signals would tell. "
    "Colour, size, place and outline follow true vectors closely; textures are coarser than in the pictures."
)


def provenance(count: int, without: frozenset[str], seed: int, *, made_by: str) -> dict[str, Any]:
    """Return what both cards say of the training.

    Args:
        count: Pictures trained on.
        without: Concepts that were left out.
        seed: Of the training.
        made_by: Program that did it.
    """
    return {
        "trained_on": f"{count:,} pictures drawn by brain_decode.simulation; no photograph, no brain recording",
        "simulated": True,
        "concepts": f"{_CONCEPTS - len(without)} of {_CONCEPTS}. Never trained on are the {len(without)} test concepts "
        "of the default simulated study (seed 0); the test concepts of a study with another seed may be among the "
        "others, in other poses",
        "never_seen": sorted(without),
        "seed": seed,
        "made_by": made_by,
        "torch": str(torch.__version__),
        "licence": "BSD-3-Clause",
    }


def write_encoder(model: DrawnPictureEncoder, folder: Path, provenance: Mapping[str, Any]) -> Path:
    """Write an encoder of drawn pictures; `DrawnPictureEncoder.load(folder)` reads it back.

    Args:
        model: Trained.
        folder: Absent, empty, or holding an older one.
        provenance: What goes on the card, JSON-able.

    Raises:
        StorageError: The folder cannot be written, or holds something else.
    """
    return _write("picture_encoder", model.architecture, model.config, model, folder, provenance, _ENCODER)


def write_generator(
    autoencoder: PictureAutoencoder, denoiser: LatentDenoiser, folder: Path, provenance: Mapping[str, Any]
) -> Path:
    """Write a generator of drawn pictures; `DrawnPictures(folder)` reads it back.

    Args:
        autoencoder, denoiser: Trained.
        folder: Absent, empty, or holding an older one.
        provenance: What goes on the card, JSON-able.

    Raises:
        StorageError: The folder cannot be written, or holds something else.
    """
    settings = {"autoencoder": autoencoder.config, "denoiser": denoiser.config, "side": PICTURE_SIZE}
    networks = nn.ModuleDict({"autoencoder": autoencoder, "denoiser": denoiser})
    name = DrawnPictures.architecture
    return _write("picture_generator", name, settings, networks, folder, provenance, _GENERATOR)


def _write(
    kind: str,
    architecture: str,
    settings: Mapping[str, Any],
    networks: nn.Module,
    folder: Path,
    provenance: Mapping[str, Any],
    text: str,
) -> Path:
    tensors = {name: _halved(tensor) for name, tensor in networks.state_dict().items()}
    part = PretrainedPart(kind, architecture, settings, tensors, dict(provenance))
    return write_part(part, folder, card=_card(part, text))


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half().contiguous() if tensor.is_floating_point() else tensor.contiguous()


def _card(part: PretrainedPart, text: str) -> str:
    digest = hashlib.sha256(save(dict(part.tensors))).hexdigest()
    count = sum(tensor.numel() for tensor in part.tensors.values())
    rows = {"values": f"{count:,}, in half precision", "sha256 of model.safetensors": digest, **part.provenance}
    cells = [f"| {key.replace('_', ' ')} | {_told(value)} |" for key, value in rows.items()]
    title = f"# {part.architecture}"
    return "\n".join([title, "", text.format(**part.settings), "", "| what | value |", "|---|---|", *cells, ""])


def _told(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return json.dumps(value)
