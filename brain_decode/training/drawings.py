"""Drawn pictures, and what is known of them, for training the picture models that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.core.progress import track
from brain_decode.simulation.pictures import CATEGORIES, PictureSet, draw_pictures
from brain_decode.simulation.pixel_features import fit_reduction, pixel_features
from brain_decode.simulation.ventral_stream import AREAS

__all__ = ["Drawings", "draw_for_training", "held_out_concepts"]

_MOST_CONCEPTS = 398  # of 400: a study has at least two test concepts
_FIRST_SEED = 1_000_000  # of the poses; far from the seeds people give their studies
_COMPONENTS = 16  # leading components of each visual area's features


@dataclass(frozen=True)
class Drawings:
    """Pictures with the values that an encoder learns to keep.

    Args:
        pixels: (picture, 3, 64, 64) uint8.
        components: (picture, value) leading components of the features of each visual area, of unit variance.
        attributes: (picture, 3) index of shape, colour and texture.
        names: Names of the attributes' values, one tuple per attribute.
    """

    pixels: torch.Tensor
    components: torch.Tensor
    attributes: torch.Tensor
    names: tuple[tuple[str, ...], ...]

    def pictures(self, rows: torch.Tensor) -> torch.Tensor:
        """Return (row, 3, 64, 64) float32 in [0, 1]."""
        return self.pixels[rows].float() / 255


def held_out_concepts(seed: int = 0) -> frozenset[str]:
    """Return the test concepts of the default simulated study, which no shipped model has seen."""
    pictures = draw_pictures(seed=seed)
    return frozenset(pictures.concepts[row] for row in pictures.rows("test"))


def draw_for_training(
    rounds: int, *, seed: int = 0, without: frozenset[str] = frozenset(), exemplars: int = 4
) -> Drawings:
    """Draw some pictures of nearly every concept in each round.

    Args:
        rounds: Parts that are drawn one after another, which bounds memory.
        seed: Chooses poses.
        without: Concepts that are left out.
        exemplars: Pictures per concept and round; 4 are about 1,400 pictures a round.

    Raises:
        ConfigError: No round.
    """
    if rounds < 1:
        raise ConfigError(f"Training needs pictures of at least one round, got {rounds}.")
    parts = [
        _round(_FIRST_SEED + 1000 * seed + index, without, exemplars)
        for index in track(range(rounds), "drawing", total=rounds)
    ]
    pixels, families, concepts = (
        np.concatenate([part[0] for part in parts]),
        {name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]},
        [concept for part in parts for concept in part[2]],
    )
    attributes, names = _attributes(concepts)
    return Drawings(
        pixels=torch.from_numpy(pixels),
        components=torch.from_numpy(_components(families)),
        attributes=torch.from_numpy(attributes),
        names=names,
    )


def _round(seed: int, without: frozenset[str], exemplars: int) -> tuple[np.ndarray, dict[str, np.ndarray], list[str]]:
    pictures: PictureSet = draw_pictures(_MOST_CONCEPTS, exemplars, 2, seed=seed)
    rows = [row for row in pictures.rows("train") if pictures.concepts[row] not in without]
    pixels = pictures.pixels[rows]
    families = {name: values.astype(np.float32) for name, values in pixel_features(pixels).items()}
    eight_bit = np.round(pixels * 255).astype(np.uint8).transpose(0, 3, 1, 2)
    return eight_bit, families, [pictures.concepts[row] for row in rows]


def _components(families: dict[str, np.ndarray]) -> np.ndarray:
    """Return the whitened leading components of every combination of feature families that an area responds to."""
    wanted = {tuple(sorted(name for name in area.features if name in families)) for area in AREAS}
    values = [np.concatenate([families[name] for name in names], axis=1) for names in sorted(wanted)]
    return np.concatenate([fit_reduction(part, _COMPONENTS).apply(part, whiten=True) for part in values], axis=1)


def _attributes(concepts: Sequence[str]) -> tuple[np.ndarray, tuple[tuple[str, ...], ...]]:
    """Return (picture, 3) indices of shape, colour, texture from names like red_striped_star, and their meaning."""
    words = np.array([concept.split("_")[::-1] for concept in concepts])[:, [0, 2, 1]]
    shapes = tuple(sorted(shape for members in CATEGORIES.values() for shape in members))
    names = (shapes, *(tuple(sorted(set(words[:, part].tolist()))) for part in (1, 2)))
    indices = np.stack([np.searchsorted(names[part], words[:, part]) for part in range(3)], axis=1)
    return indices.astype(np.int64), names
