"""Spherical splines: the potential between electrodes, estimated from the electrodes around."""

from __future__ import annotations

import numpy as np
from numpy.polynomial.legendre import legval

from brain_decode.core.errors import DataError
from brain_decode.signals.spheres import USUAL_CENTRE_M, fitted_sphere

__all__ = ["spline_weights"]

_STIFFNESS = 4
_TERMS = 50
_REGULARISATION = 1e-5


def spline_weights(known_m: np.ndarray, wanted_m: np.ndarray) -> np.ndarray:
    """Return the weights that estimate electrodes from others.

    Args:
        known_m: (n_known, 3) positions in metres of the electrodes that were recorded.
        wanted_m: (n_wanted, 3) positions of those to estimate, in the same frame.

    Returns:
        (n_wanted, n_known); the rows sum to one, so a potential that is equal everywhere stays what it is.

    Raises:
        DataError: Positions that are not finite, or fewer than two electrodes.

    Source: Perrin et al. 1989, with stiffness, terms and regularisation as in MNE-Python. Differs: the centre of the
    sphere is fitted to the electrodes that were recorded.
    """
    known, wanted = np.asarray(known_m, dtype=float), np.asarray(wanted_m, dtype=float)
    if len(known) < 2 or not np.isfinite(known).all() or not np.isfinite(wanted).all():
        raise DataError(f"Interpolation needs two electrodes with positions or more; got {len(known)}. Set a montage.")
    centre = _centre(known)
    known, wanted = _on_sphere(known - centre), _on_sphere(wanted - centre)
    between = _potential(known @ known.T) + _REGULARISATION * np.eye(len(known))
    ones = np.ones((len(known), 1))
    system = np.block([[between, ones], [ones.T, np.zeros((1, 1))]])
    to_wanted = np.hstack([_potential(wanted @ known.T), np.ones((len(wanted), 1))])
    return np.asarray(to_wanted @ np.linalg.pinv(system)[:, :-1])


def _on_sphere(positions: np.ndarray) -> np.ndarray:
    return positions / np.linalg.norm(positions, axis=1, keepdims=True)


def _centre(positions: np.ndarray) -> np.ndarray:
    """Return the centre of the sphere through the positions; that of an average head where they lie in one plane."""
    in_plane = np.linalg.matrix_rank(np.column_stack([2 * positions, np.ones(len(positions))])) < 4
    return USUAL_CENTRE_M if in_plane else fitted_sphere(positions)[0]


def _potential(cosines: np.ndarray) -> np.ndarray:
    """Return the spline's kernel for cosines of angles between electrodes (Perrin et al. 1989, equation 3)."""
    n = np.arange(1, _TERMS + 1)
    factors = (2 * n + 1) / (n**_STIFFNESS * (n + 1.0) ** _STIFFNESS * 4 * np.pi)
    return np.asarray(legval(np.clip(cosines, -1, 1), [0, *factors]))
