"""The sphere through the sensors on a head."""

from __future__ import annotations

import numpy as np

__all__ = ["USUAL_CENTRE_M", "fitted_sphere"]

USUAL_CENTRE_M = np.array([0.0, 0.0, 0.04])  # centre of an average head in the head frame, as in MNE
_FEWEST_POINTS = 8  # below this a sphere is not determined well enough


def fitted_sphere(positions_m: np.ndarray) -> tuple[np.ndarray, float]:
    """Return centre (3,) and radius in metres of the sphere through sensors, by least squares.

    With fewer than eight sensors the centre of an average head is taken, and the mean distance from it.
    """
    if len(positions_m) < _FEWEST_POINTS:
        return USUAL_CENTRE_M, float(np.linalg.norm(positions_m - USUAL_CENTRE_M, axis=1).mean())
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in the centre and in the bracket.
    design = np.column_stack([2 * positions_m, np.ones(len(positions_m))])
    *centre, rest = np.linalg.lstsq(design, (positions_m**2).sum(axis=1), rcond=None)[0]
    centre = np.array(centre)
    return centre, float(np.sqrt(rest + centre @ centre))
