"""Where in a volume the classes differ: what the report draws for recordings of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from brain_decode.evaluation.metrics import rank_auc
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

__all__ = ["separability", "strongest_voxels"]

MOST_VOXELS = 256  # more lines and rows than this show nothing, and a volume has many thousands
_BLOCK_VALUES = 1 << 21


def separability(data: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return how well each column of (window, ...) data alone tells the classes apart.

    The AUC of the second class against the first; for more classes, the mean over classes of max(AUC, 1 - AUC) of that
    class against the rest; 0.5 with one class.
    """
    if len(classes) < 2:
        return np.full(data.shape[1:], 0.5)
    columns = data.reshape(len(data), -1)
    # Ranks are doubles: all at once they would take several times the memory of the windows.
    n_blocks = -(-columns.size // _BLOCK_VALUES)
    blocks = [_separability(block, labels, classes) for block in np.array_split(columns, n_blocks, axis=1)]
    return np.concatenate(blocks).reshape(data.shape[1:])


def _separability(columns: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    if len(classes) == 2:
        return rank_auc(columns, labels == classes[1])
    areas = np.stack([rank_auc(columns, labels == name) for name in classes])
    return np.maximum(areas, 1 - areas).mean(axis=0)


def strongest_voxels(windows: Windows, voxels: Voxels, classes: Sequence[str]) -> tuple[dict[str, Any], Windows]:
    """Return the map of separability over all voxels, and the windows of the voxels with most of it.

    Args:
        windows: (window, voxel, time); `table["label"]` holds the class of each.
        voxels: Of the windows.
        classes: Labels, in order.

    Returns:
        {"shape", "indices", "sizes_mm", "values"}, one value per voxel for the mean over each window; and windows of at
        most 256 voxels, in the order of the mask.
    """
    labels = windows.table["label"].astype(str).to_numpy()
    chosen = np.isin(labels, list(classes))
    means = windows.data[chosen].mean(axis=2, dtype=float)
    values = separability(means, labels[chosen], classes)
    kept = np.sort(np.argsort(-np.abs(values - 0.5), kind="stable")[:MOST_VOXELS])
    volume_map = {
        "shape": list(voxels.mask.shape),
        "indices": voxels.grid_indices.tolist(),
        "sizes_mm": np.linalg.norm(voxels.affine[:3, :3], axis=0).round(4).tolist(),
        "values": values.round(6).tolist(),
    }
    return volume_map, replace(windows, data=windows.data[:, kept], space=voxels.pick(kept))
