"""Where in a volume the classes differ: slices through the voxels of a functional MRI dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from brain_decode.reports.drawing import WIDE, area_colours, new_figure, report_style, svg_of

__all__ = ["volume_map_figure"]

_MOST_SLICES = 6


def volume_map_figure(volume_map: Mapping[str, Any], n_classes: int) -> str:
    """Draw the separability of each voxel on the slices that hold most of it.

    Args:
        volume_map: {"shape", "indices", "sizes_mm", "values"}, see `strongest_voxels` in evaluation.
        n_classes: Two classes have a direction, so 0.5 is the middle of the colours; several have none.
    """
    indices, values = np.asarray(volume_map["indices"], dtype=int), np.asarray(volume_map["values"], dtype=float)
    volume = np.full(tuple(volume_map["shape"]), np.nan)
    volume[tuple(indices.T)] = values
    slices = _best_slices(indices[:, 2], values)
    style = area_colours(values, n_classes)
    aspect = float(volume_map["sizes_mm"][1]) / float(volume_map["sizes_mm"][0])
    columns = min(len(slices), 3)
    rows = -(-len(slices) // columns)
    with report_style():
        figure = new_figure(WIDE, 0.4 + 2.2 * rows)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, place in zip(grid.flat, slices, strict=False):
            image: Any = axes.imshow(
                volume[:, :, place].T, origin="lower", aspect=aspect, interpolation="nearest", **style
            )
            axes.set_title(f"slice {place}")
        figure.colorbar(image, ax=list(grid.flat), shrink=0.8, label="AUC of one voxel").outline.set_visible(False)
        listed = ", ".join(str(place) for place in slices)
        return svg_of(
            figure, f"How well each of {len(values)} voxels alone tells the classes apart, on slices {listed}"
        )


def _best_slices(places: np.ndarray, values: np.ndarray) -> list[int]:
    """Return the slices with the largest separability, in their order."""
    weight = np.bincount(places, np.nan_to_num(np.abs(values - 0.5)))
    present = np.unique(places)
    return sorted(int(place) for place in present[np.argsort(-weight[present], kind="stable")][:_MOST_SLICES])
