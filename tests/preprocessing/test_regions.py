"""Voxels are chosen by the region they lie in."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.preprocessing.base import Continuous
from brain_decode.preprocessing.regions import PickRegions
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

REGIONS = {name: np.isin(np.arange(6), members) for name, members in (("a", [4]), ("b", [1, 4]), ("none", []))}
VOXELS = Voxels(np.ones((3, 2, 1), dtype=bool), np.eye(4), REGIONS)
RUN = Continuous(np.arange(60.0).reshape(6, 10), 0.5, VOXELS)


def test_voxels_of_any_named_region_stay() -> None:
    picked = PickRegions(["a", "b"]).apply(RUN)
    np.testing.assert_array_equal(picked.data, RUN.data[[1, 4]])
    assert picked.sensors.names == (VOXELS.names[1], VOXELS.names[4])


def test_an_unknown_region_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Unknown region 'nome'.*Did you mean 'none'"):
        PickRegions(["nome"]).apply(RUN)


def test_a_region_without_voxels_is_refused() -> None:
    with pytest.raises(DataError, match=r"\['none'\] hold none of the 6 voxels"):
        PickRegions(["none"]).apply(RUN)


@pytest.mark.parametrize("names", [[], "a"])
def test_names_are_a_list(names: object) -> None:
    with pytest.raises(ConfigError, match="needs a list of region names"):
        PickRegions(names)  # type: ignore[arg-type]


def test_sensors_have_no_regions() -> None:
    eeg = Continuous(np.zeros((1, 10)), 100.0, Sensors(("Fz",), ("eeg",)))
    with pytest.raises(SpecMismatch, match="needs voxels; the recording has 1 sensors"):
        PickRegions(["a"]).apply(eeg)
