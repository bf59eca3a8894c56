"""Pictures that are the same under two names: told by spelling, by features, and by their files."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence

import numpy as np

from brain_decode.core.errors import LeakageError

__all__ = ["normalised_name", "refuse_same_content", "refuse_same_features", "refuse_same_spelling"]

_LOG = logging.getLogger(__name__)
_EXTENSION = re.compile(r"\.(jpe?g|png|bmp|gif|tiff?|webp)$")
_SAME = 1e-4  # distance over the length of the longer vector; another coding of the same picture is further away
_LEAST_DISTINCT = 0.9  # share of distinct vectors below which features stand for concepts, not for pictures
_AT_ONCE = 256


def normalised_name(stimulus: str) -> str:
    """Return a name without folder, case and the extension of a picture."""
    return _EXTENSION.sub("", re.split(r"[/\\]", stimulus.strip().lower())[-1])


def refuse_same_spelling(fold: str, train: Sequence[str], test: Sequence[str]) -> None:
    """Refuse a test stimulus whose name differs from a training one by folder, case or extension only.

    Raises:
        LeakageError: Names both.
    """
    known = {normalised_name(name): name for name in train}
    for name in test:
        other = known.get(normalised_name(name), name)
        if other != name:
            raise LeakageError(
                f"Fold '{fold}': test stimulus '{name}' and training stimulus '{other}' differ by folder, case or "
                "extension only, so they are probably one picture. Give every picture one name."
            )


def refuse_same_content(fold: str, train: Sequence[str], test: Sequence[str], hashes: Mapping[str, str]) -> None:
    """Refuse a test stimulus whose picture is that of a training stimulus with another name.

    Args:
        fold: For the message.
        train: Names of the training stimuli.
        test: Names of the test stimuli.
        hashes: Content hash of each picture that is known, by name.

    Raises:
        LeakageError: Names both.
    """
    known = {hashes[name]: name for name in train if name in hashes}
    for name in test:
        other = known.get(hashes.get(name, ""), name)
        if other != name:
            raise LeakageError(
                f"Fold '{fold}': test stimulus '{name}' and training stimulus '{other}' are one picture (same content). "
                "Give every picture one name, or leave it out."
            )


def refuse_same_features(
    fold: str, names: tuple[Sequence[str], Sequence[str]], features: tuple[np.ndarray, np.ndarray]
) -> None:
    """Refuse a test stimulus whose features are those of a training stimulus.

    Rows of zeros say nothing and are left out. Where stimuli share features by design (one vector per concept), equal
    ones say nothing, and a line in the log says that they were not compared.

    Args:
        fold: For the message.
        names: Of the training stimuli and of the test stimuli, each once.
        features: (n, ...) of both.

    Raises:
        LeakageError: Names both stimuli.
    """
    train, test = (np.asarray(rows, dtype=np.float32).reshape(len(rows), -1) for rows in features)
    distinct = len(np.unique(train, axis=0))
    if distinct < _LEAST_DISTINCT * len(train):
        _LOG.info("%d training stimuli share %d feature vectors, so pictures are not compared.", len(train), distinct)
        return
    lengths = np.linalg.norm(train, axis=1)
    for first in range(0, len(test), _AT_ONCE):
        part = test[first : first + _AT_ONCE]
        norms = np.linalg.norm(part, axis=1)
        cosine = (part @ train.T) / np.maximum(norms[:, None] * lengths, np.finfo(np.float32).tiny)
        for row, column in np.argwhere(cosine > 1 - 1e-5):  # coarse; the few that pass are measured
            longest = max(norms[row], lengths[column])
            if longest > 0 and np.linalg.norm(part[row] - train[column]) <= _SAME * longest:
                raise LeakageError(
                    f"Fold '{fold}': test stimulus '{names[1][first + row]}' has the features of training stimulus "
                    f"'{names[0][column]}', so they are one picture. Give every picture one name, or leave it out."
                )
