"""The interface of every picture generator: vectors of a feature space in, pictures out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

__all__ = ["PictureGenerator"]


class PictureGenerator(ABC):
    """Draws what a vector of picture features stands for.

    A subclass lives in a module named after its `architecture`. It is built from JSON-able arguments, which a saved
    decoder keeps; large weights stay where they are and are named by folder or Hub id.
    """

    architecture: ClassVar[str]
    feature_dim: int  # values per vector
    height: int  # of the pictures, in pixels
    width: int
    feature_model: str | None = None  # the only one whose features it draws from, as `stimuli.model` names it

    def features_of(self, pixels: np.ndarray) -> np.ndarray | None:
        """Return the features (picture, feature_dim) of pictures, from which the generator would draw them again.

        None, as here, where the generator does not have the picture encoder at hand.

        Args:
            pixels: (picture, height, width, 3) in [0, 1].
        """
        return None

    @abstractmethod
    def generate(
        self,
        features: np.ndarray,
        *,
        seed: int,
        starts: np.ndarray | None = None,
        captions: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return one picture per vector, the same for the same seed whatever the size of the batch.

        Args:
            features: (picture, feature_dim), in the space of the picture encoder the generator was trained with.
            seed: Chooses the noise of the diffusion; picture i of a call draws from (seed, i).
            starts: (picture, height, width, 3) in [0, 1] that generation starts from, where the generator can.
            captions: One text per picture, where the generator takes text.

        Returns:
            (picture, height, width, 3) float32 in [0, 1].

        Raises:
            SpecMismatch: Vectors of another dimension.
            ConfigError: Starts or captions that this generator cannot use.
        """
