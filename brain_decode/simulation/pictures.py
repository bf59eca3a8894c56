"""Procedurally drawn objects: shape x colour x texture x rim, in any position, size and rotation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from brain_decode.core.errors import ConfigError

__all__ = ["CATEGORIES", "PICTURE_SIZE", "PictureSet", "draw_pictures", "contact_sheet"]

PICTURE_SIZE = 64
_ANGLES = 360
_TURN = 2 * np.pi * np.arange(_ANGLES) / _ANGLES

#: Super-category to its shape families.
CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"organic": ("ellipse", "flower", "blob", "disc"), "constructed": ("triangle", "square", "star", "cross")}
)
_COLOURS = {
    "red": (0.85, 0.15, 0.12),
    "orange": (0.95, 0.55, 0.10),
    "yellow": (0.95, 0.88, 0.20),
    "green": (0.15, 0.65, 0.20),
    "cyan": (0.15, 0.75, 0.78),
    "blue": (0.15, 0.25, 0.85),
    "purple": (0.55, 0.20, 0.75),
    "pink": (0.95, 0.50, 0.70),
    "brown": (0.45, 0.28, 0.14),
    "white": (0.97, 0.97, 0.95),
}
_TEXTURES = ("plain", "striped", "checked", "dotted", "ringed")
_RIMS = {
    "": (0.0, 0.0, 0.0),  # no rim
    "black": (0.04, 0.04, 0.04),
    "silver": (0.80, 0.80, 0.86),
    "navy": (0.08, 0.08, 0.40),
    "gold": (0.85, 0.68, 0.12),
}
_RIM_WIDTH = 0.17  # of the outline's radius
_BACKGROUND = 0.5
_DRAWN_AT_ONCE = 512  # pictures


@dataclass(frozen=True)
class PictureSet:
    """Pictures of concepts that belong to a training or a test part.

    Args:
        pixels: (picture, 64, 64, 3) in [0, 1].
        ids: One name per picture, "<concept>_<number>".
        concepts: Concept of each picture.
        categories: Super-category of each picture.
        partitions: "train" or "test" of each picture; a concept is in one part only.
    """

    pixels: np.ndarray
    ids: tuple[str, ...]
    concepts: tuple[str, ...]
    categories: tuple[str, ...]
    partitions: tuple[str, ...]

    def rows(self, partition: str) -> np.ndarray:
        """Return the positions of the pictures of one part."""
        return np.flatnonzero(np.array(self.partitions) == partition)


def draw_pictures(
    n_train: int = 240, n_exemplars: int = 4, n_test: int = 50, *, n_rims: int = 1, seed: int = 0
) -> PictureSet:
    """Draw the pictures of a simulated study; the same numbers give the same pixels.

    Args:
        n_train: Training concepts, each with `n_exemplars` pictures.
        n_exemplars: Pictures per training concept.
        n_test: Test concepts, with one picture each and disjoint from the training concepts.
        n_rims: Kinds of rim an object can have, 1 (none at all) to 5; each multiplies the 400 possible concepts.
        seed: Chooses concepts and exemplars.

    Raises:
        ConfigError: Too many or too few concepts, or numbers the two categories cannot share equally.
    """
    _check_numbers(n_train, n_exemplars, n_test, n_rims)
    random = np.random.default_rng([seed, 1])
    concepts = _choose_concepts(n_train, n_test, n_rims, random)
    repeats = np.array([n_exemplars] * n_train + [1] * n_test)
    rows = np.repeat(np.arange(len(concepts)), repeats)
    number = np.concatenate([np.arange(count) for count in repeats])
    shapes, colours, textures, rims = (np.array([concept[part] for concept in concepts])[rows] for part in range(4))
    names = np.array([_concept_name(*concept) for concept in concepts])[rows]
    category = {shape: name for name, members in CATEGORIES.items() for shape in members}
    return PictureSet(
        pixels=_render(_Looks(shapes, colours, textures, rims), _draw_poses(len(rows), random)),
        ids=tuple(f"{name}_{count + 1}" for name, count in zip(names, number, strict=True)),
        concepts=tuple(str(name) for name in names),
        categories=tuple(category[str(shape)] for shape in shapes),
        partitions=tuple("train" if row < n_train else "test" for row in rows),
    )


def contact_sheet(pixels: np.ndarray, columns: int = 16) -> np.ndarray:
    """Return pictures (n, height, width, 3) side by side as one uint8 picture."""
    count, height, width, _ = pixels.shape
    rows = -(-count // columns)
    sheet = np.full((rows * columns, height, width, 3), 1.0, dtype=np.float32)
    sheet[:count] = pixels
    grid = sheet.reshape(rows, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return np.round(grid.reshape(rows * height, columns * width, 3) * 255).astype(np.uint8)


def _check_numbers(n_train: int, n_exemplars: int, n_test: int, n_rims: int) -> None:
    if not 1 <= n_rims <= len(_RIMS):
        raise ConfigError(f"There are 1 to {len(_RIMS)} kinds of rim, got n_rims={n_rims}.")
    possible = sum(map(len, CATEGORIES.values())) * len(_COLOURS) * len(_TEXTURES) * n_rims
    if n_train + n_test > possible:
        raise ConfigError(
            f"There are {possible} concepts; {n_train} for training and {n_test} for the test are too many. Use fewer"
            f"{'.' if n_rims == len(_RIMS) else f', or more kinds of rim (n_rims up to {len(_RIMS)}).'}"
        )
    if min(n_train, n_test) < 2 or n_train % 2 or n_test % 2 or n_exemplars < 1:
        raise ConfigError(
            "The two categories share the concepts equally: n_train and n_test are even numbers from 2 on and "
            f"n_exemplars is at least 1; got {n_train}, {n_test} and {n_exemplars}."
        )


_Concept = tuple[str, str, str, str]  # shape, colour, texture, rim


def _choose_concepts(n_train: int, n_test: int, n_rims: int, random: np.random.Generator) -> list[_Concept]:
    """Return the training, then the test concepts, categories alternating."""
    per_category = []
    for shapes in CATEGORIES.values():
        rims = list(_RIMS)[:n_rims]
        every = [(s, c, t, r) for s in shapes for c in _COLOURS for t in _TEXTURES for r in rims]
        per_category.append([every[index] for index in random.permutation(len(every))[: (n_train + n_test) // 2]])
    return [concept for pair in zip(*per_category, strict=True) for concept in pair]


def _concept_name(shape: str, colour: str, texture: str, rim: str) -> str:
    return "_".join((colour, texture, shape, "rimmed", rim) if rim else (colour, texture, shape))


def _outlines() -> dict[str, np.ndarray]:
    """Return shape name to its radius (360,) at each angle, at most about 1."""
    cosine, sine = np.cos(_TURN), np.sin(_TURN)
    arm = np.minimum(0.32 / np.maximum(np.abs(sine), 1e-9), 0.95)
    return {
        "ellipse": 1 / np.sqrt(cosine**2 + (sine / 0.55) ** 2),
        "flower": 0.72 + 0.26 * np.cos(6 * _TURN),
        "blob": 0.72 + 0.14 * np.cos(2 * _TURN + 0.5) + 0.12 * np.cos(3 * _TURN + 2.0) + 0.06 * np.sin(5 * _TURN),
        "disc": np.full(_ANGLES, 0.78),
        "triangle": _polygon(3),
        "square": _polygon(4) * 0.95,
        "star": _star(5, 0.42),
        "cross": np.maximum(arm, np.roll(arm, _ANGLES // 4)),
    }


def _polygon(sides: int) -> np.ndarray:
    part = np.pi / sides
    return np.cos(part) / np.cos(np.mod(_TURN, 2 * part) - part)


def _star(points: int, inner: float) -> np.ndarray:
    """Return the radius of a star: straight edges between outer (1) and inner vertices."""
    part = np.pi / points
    angle = np.abs(np.mod(_TURN + part, 2 * part) - part)
    return inner * np.sin(part) / (np.sin(part - angle) * inner + np.sin(angle))


@dataclass(frozen=True)
class _Looks:
    """What is drawn in each picture: (picture,) names."""

    shapes: np.ndarray
    colours: np.ndarray
    textures: np.ndarray
    rims: np.ndarray

    def part(self, rows: slice) -> _Looks:
        return _Looks(self.shapes[rows], self.colours[rows], self.textures[rows], self.rims[rows])


@dataclass(frozen=True)
class _Poses:
    """How it is drawn: (picture,) size, turn and phase of the texture, (2, picture) shift, (picture, 3) tint."""

    size: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    phase: np.ndarray
    tint: np.ndarray

    def part(self, rows: slice) -> _Poses:
        return _Poses(self.size[rows], self.turn[rows], self.shift[:, rows], self.phase[rows], self.tint[rows])


def _draw_poses(count: int, random: np.random.Generator) -> _Poses:
    size, turn = random.uniform(0.6, 0.9, count), random.uniform(-np.pi / 5, np.pi / 5, count)
    shift = random.uniform(-0.18, 0.18, (2, count))
    phase, tint = random.uniform(0, 2 * np.pi, count), random.normal(0, 0.03, (count, 3))
    return _Poses(size, turn, shift, phase, tint)


def _render(looks: _Looks, poses: _Poses) -> np.ndarray:
    count = len(looks.shapes)
    pixels = np.empty((count, PICTURE_SIZE, PICTURE_SIZE, 3), dtype=np.float32)
    for start in range(0, count, _DRAWN_AT_ONCE):
        rows = slice(start, start + _DRAWN_AT_ONCE)
        pixels[rows] = _render_part(looks.part(rows), poses.part(rows))
    return pixels


def _render_part(looks: _Looks, poses: _Poses) -> np.ndarray:
    size = poses.size[:, None, None]
    axis = (np.arange(PICTURE_SIZE) + 0.5) / PICTURE_SIZE * 2 - 1
    across = (axis[None, None, :] - poses.shift[0][:, None, None]) / size
    down = (axis[None, :, None] - poses.shift[1][:, None, None]) / size
    cosine, sine = np.cos(poses.turn)[:, None, None], np.sin(poses.turn)[:, None, None]
    x, y = across * cosine + down * sine, down * cosine - across * sine
    radius = np.hypot(x, y)
    edge = _edge_radius(looks.shapes, np.arctan2(y, x))
    mask = np.clip((edge - radius) * PICTURE_SIZE / 2 * size + 0.5, 0, 1)[..., None]
    bright = _texture(looks.textures, x, y, radius, poses.phase[:, None, None])[..., None]
    colour = np.array([_COLOURS[str(name)] for name in looks.colours]) + poses.tint
    inside = np.clip(colour, 0, 1)[:, None, None, :] * bright
    ring = ((looks.rims != "")[:, None, None] & (radius > (1 - _RIM_WIDTH) * edge))[..., None]
    rim = np.array([_RIMS[str(name)] for name in looks.rims])[:, None, None, :]
    return (mask * np.where(ring, rim, inside) + (1 - mask) * _BACKGROUND).astype(np.float32)


def _edge_radius(shapes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    outlines = _outlines()
    table = np.stack(list(outlines.values()))
    kind = np.array([list(outlines).index(str(shape)) for shape in shapes])
    step = np.mod(np.round(angle / (2 * np.pi) * _ANGLES).astype(int), _ANGLES)
    return table[kind[:, None, None], step]


def _texture(textures: np.ndarray, x: np.ndarray, y: np.ndarray, radius: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Return the brightness (picture, 64, 64) in [0.35, 1] of each texture."""
    waves = {
        "plain": np.ones_like(x),
        "striped": np.sign(np.sin(14 * x + phase)),
        "checked": np.sign(np.sin(10 * x + phase) * np.sin(10 * y + phase)),
        "dotted": np.where(np.cos(13 * x + phase) + np.cos(13 * y + phase) > 0.9, -1.0, 1.0),
        "ringed": np.sign(np.sin(16 * radius + phase)),
    }
    kind = np.array([_TEXTURES.index(str(texture)) for texture in textures])
    stack = np.stack([waves[name] for name in _TEXTURES])
    chosen = np.take_along_axis(stack, kind[None, :, None, None], axis=0)[0]
    return 0.675 + 0.325 * chosen
