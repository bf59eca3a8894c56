"""A ventral visual stream: areas with a place, a latency and the picture features they respond to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brain_decode.simulation.forward import BRAIN_RADIUS_M, HEAD_CENTRE_M
from brain_decode.simulation.pictures import CATEGORIES, PictureSet
from brain_decode.simulation.pixel_features import fit_reduction

__all__ = ["AREAS", "Area", "Stream", "area_drive", "build_stream", "time_courses"]


@dataclass(frozen=True)
class Area:
    """One visual area, present in both hemispheres.

    Args:
        name: As in the literature.
        azimuth: Degrees from the occipital midline towards the ear.
        elevation: Degrees above the plane through the head centre.
        peak_s: Seconds from the picture's onset to the strongest response.
        width_s: Deviation of the response in time.
        features: Feature families of `pixel_features` it responds to; "category" adds the super-category.
    """

    name: str
    azimuth: float
    elevation: float
    peak_s: float
    width_s: float
    features: tuple[str, ...]


AREAS = (
    Area("V1", 8.0, 2.0, 0.100, 0.014, ("energy",)),
    Area("V2", 20.0, 8.0, 0.115, 0.016, ("energy", "colour")),
    Area("V4", 38.0, -15.0, 0.145, 0.022, ("colour", "energy")),
    Area("LO", 52.0, 0.0, 0.170, 0.028, ("silhouette",)),
    Area("IT", 68.0, -22.0, 0.225, 0.045, ("silhouette", "colour", "category")),
)
_DEPTH = 0.80  # of the brain's radius
_DIPOLES = 6  # per area and hemisphere
_DIMENSIONS = 10  # picture dimensions an area responds to
_CATEGORY_WEIGHT = 1.0  # deviations; how strongly the super-category drives the areas that know it


@dataclass(frozen=True)
class Stream:
    """The dipoles of one participant's visual areas.

    Args:
        positions_m, moments: (dipole, 3) in head coordinates; moments are unit vectors.
        area: (dipole,) index into `AREAS`.
        tuning: (dipole, area input) response of each dipole to the inputs of its own area.
        baseline: (dipole,) response to any picture.
        latency_s: Added to every latency.
    """

    positions_m: np.ndarray
    moments: np.ndarray
    area: np.ndarray
    tuning: np.ndarray
    baseline: np.ndarray
    latency_s: float


def area_drive(pictures: PictureSet, families: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return (picture, area, dimension) inputs of unit variance over the training pictures.

    Every area sees its own feature families, reduced to their first principal components; the last dimension is the
    super-category, zero for areas that do not know it.

    Args:
        pictures: What is shown.
        families: Features of `pixel_features`.
    """
    train = pictures.rows("train")
    kinds = np.array([list(CATEGORIES).index(name) for name in pictures.categories])
    category = _CATEGORY_WEIGHT * (2.0 * kinds / (len(CATEGORIES) - 1) - 1.0)
    drive = np.zeros((len(pictures.ids), len(AREAS), _DIMENSIONS + 1))
    for index, area in enumerate(AREAS):
        values = np.concatenate([families[name] for name in area.features if name in families], axis=1)
        dim = min(_DIMENSIONS, len(train) - 1)
        drive[:, index, :dim] = fit_reduction(values[train], dim).apply(values, whiten=True)
        drive[:, index, -1] = category * ("category" in area.features)
    return drive


def build_stream(subject: int, *, seed: int = 0, individuality: float = 0.3) -> Stream:
    """Return the visual areas of a participant: shared anatomy and tuning, with individual deviations.

    Args:
        subject: Number from 0 on.
        seed: Of the study; what participants share follows from it.
        individuality: 0 makes all participants equal; 1 makes their tuning unrelated.
    """
    shared, own = np.random.default_rng([seed, 10]), np.random.default_rng([seed, 11, subject])
    centres = np.concatenate([_directions(side) for side in (1.0, -1.0)])
    direction = np.repeat(centres, _DIPOLES, axis=0)
    area = np.repeat(np.tile(np.arange(len(AREAS)), 2), _DIPOLES)
    direction = direction + shared.normal(0, 0.06, direction.shape)
    direction = _unit(direction + individuality * own.normal(0, 0.12, direction.shape))
    moments = shared.normal(size=direction.shape) + individuality * own.normal(size=direction.shape)
    sizes = (len(area), _DIMENSIONS + 1)
    tuning = np.sqrt(1 - individuality**2) * shared.normal(size=sizes) + individuality * own.normal(size=sizes)
    baseline = 1.5 * np.abs(shared.normal(size=len(area))) * own.uniform(0.8, 1.2)
    return Stream(
        positions_m=np.array(HEAD_CENTRE_M) + _DEPTH * BRAIN_RADIUS_M * direction,
        moments=_unit(moments),
        area=area,
        tuning=tuning / np.sqrt(sizes[1]),
        baseline=baseline,
        latency_s=float(individuality * own.normal(0, 0.02)),
    )


def time_courses(times_s: np.ndarray, latency_s: float = 0.0) -> np.ndarray:
    """Return (area, time) response of each area after a picture: a peak of 1, then a weaker opposite one."""
    peak = np.array([area.peak_s for area in AREAS])[:, None] + latency_s
    width = np.array([area.width_s for area in AREAS])[:, None]
    first = np.exp(-0.5 * ((times_s - peak) / width) ** 2)
    second = 0.45 * np.exp(-0.5 * ((times_s - peak - 3 * width) / (1.6 * width)) ** 2)
    return np.where(times_s > 0.02, first - second, 0.0)


def _directions(side: float) -> np.ndarray:
    """Return (area, 3) unit vectors; y points to the nose, so that the occiput is at -y."""
    azimuth = np.radians([area.azimuth for area in AREAS])
    elevation = np.radians([area.elevation for area in AREAS])
    flat = np.cos(elevation)
    return np.stack([side * flat * np.sin(azimuth), -flat * np.cos(azimuth), np.sin(elevation)], axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
