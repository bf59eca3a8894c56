"""Spherical splines give back what is known and equal the reference implementation."""

from __future__ import annotations

import mne
import numpy as np
import pytest
from mne.channels.interpolation import _make_interpolation_matrix

from brain_decode.core.errors import DataError
from brain_decode.signals.spherical_splines import spline_weights


def cap() -> np.ndarray:
    montage = mne.channels.make_standard_montage("biosemi64", head_size=0.095)
    return np.array(list(montage.get_positions()["ch_pos"].values()))


def test_weights_equal_mne_on_a_sphere() -> None:
    positions = cap()
    expected = _make_interpolation_matrix(positions[4:], positions[:4])
    np.testing.assert_allclose(spline_weights(positions[4:], positions[:4]), expected, atol=1e-8)


def test_a_potential_that_is_equal_everywhere_stays_equal() -> None:
    np.testing.assert_allclose(spline_weights(cap()[4:], cap()[:4]).sum(axis=1), 1.0, atol=1e-6)


def test_a_smooth_field_is_estimated_at_the_absent_electrode() -> None:
    positions = cap()
    field = positions @ np.array([1.0, -2.0, 0.5]) + 3.0
    estimated = spline_weights(positions[4:], positions[:4]) @ field[4:]
    np.testing.assert_allclose(estimated, field[:4], atol=0.02 * np.ptp(field))


def test_electrodes_without_a_place_are_refused() -> None:
    with pytest.raises(DataError, match="Set a montage"):
        spline_weights(np.full((9, 3), np.nan), np.zeros((1, 3)))
