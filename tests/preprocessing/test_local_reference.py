"""Laplacian and bipolar references: a field that is the same everywhere vanishes, differences are exact."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.base import Continuous
from brain_decode.preprocessing.local_reference import Bipolar, Laplacian, adjacent_pairs
from brain_decode.signals.mne_conversion import sensors_from_info
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spheres import fitted_sphere

RATE_HZ = 100.0


def shaft(kind: str = "seeg", n: int = 5) -> Sensors:
    locations = np.full((n, 12), np.nan)
    locations[:, :3] = np.arange(1, n + 1)[:, None] * [0.0035, 0.0, 0.0]
    return Sensors(tuple(f"AHL{i + 1}" for i in range(n)), (kind,) * n, locations)


def samples(n_channels: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_channels, 50))


def test_a_contact_loses_the_mean_of_its_neighbours() -> None:
    data = samples(5)
    result = Laplacian().apply(Continuous(data, RATE_HZ, shaft())).data
    np.testing.assert_allclose(result[2], data[2] - (data[1] + data[3]) / 2, atol=1e-15)
    np.testing.assert_allclose(result[0], data[0] - data[1], atol=1e-15)


def test_a_constant_field_vanishes_in_contacts_and_on_the_scalp() -> None:
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, RATE_HZ, "eeg")
    info.set_montage(montage)
    for sensors, scale in ((shaft("ecog"), 1.0), (sensors_from_info(info), 1e4)):
        constant = np.tile(np.sin(np.arange(50.0)), (len(sensors), 1))
        result = Laplacian().apply(Continuous(constant, RATE_HZ, sensors)).data
        np.testing.assert_allclose(result / scale, 0.0, atol=1e-9)


def test_the_scalp_laplacian_is_that_of_mne() -> None:
    montage = mne.channels.make_standard_montage("biosemi32")
    raw = mne.io.RawArray(samples(32), mne.create_info(montage.ch_names, RATE_HZ, "eeg"), verbose="ERROR")
    raw.set_montage(montage)
    sensors = sensors_from_info(raw.info)
    centre, radius_m = fitted_sphere(sensors.positions_m)
    assert 0.09 < radius_m < 0.1
    expected = mne.preprocessing.compute_current_source_density(raw, sphere=(*centre, radius_m), verbose="ERROR")
    result = Laplacian().apply(Continuous(raw.get_data(), RATE_HZ, sensors)).data
    np.testing.assert_array_equal(result, expected.get_data())


def test_neighbours_of_one_shaft_are_subtracted_exactly_and_lie_halfway() -> None:
    data, sensors = samples(5), shaft()
    result = Bipolar().apply(Continuous(data, RATE_HZ, sensors, bads=("AHL5",)))
    assert result.sensors.names == ("AHL1-AHL2", "AHL2-AHL3", "AHL3-AHL4", "AHL4-AHL5")
    np.testing.assert_array_equal(result.data, data[:-1] - data[1:])
    np.testing.assert_allclose(result.sensors.positions_m[:, 0], np.array([1.5, 2.5, 3.5, 4.5]) * 0.0035)
    assert result.bads == ("AHL4-AHL5",)


def test_shafts_and_gaps_are_not_bridged() -> None:
    sensors = Sensors(("A1", "A2", "A4", "B5", "B'6", "A5", "Fz1"), ("seeg",) * 6 + ("eeg",))
    assert adjacent_pairs(sensors) == [("A1", "A2"), ("A4", "A5")]


def test_named_pairs_are_subtracted_in_their_order() -> None:
    data = samples(5)
    result = Bipolar(pairs=[["AHL4", "AHL1"]]).apply(Continuous(data, RATE_HZ, shaft()))
    np.testing.assert_array_equal(result.data, data[[3]] - data[[0]])


def test_a_bad_contact_is_no_neighbour_and_is_noted() -> None:
    data = samples(5)
    data[1] = np.nan
    result = Laplacian().apply(Continuous(data, RATE_HZ, shaft(), bads=("AHL2",)))
    np.testing.assert_allclose(result.data[2], data[2] - data[3], atol=1e-15)
    np.testing.assert_allclose(result.data[0], data[0] - data[2], atol=1e-15)
    assert result.notes == ("local reference without contacts marked as bad: AHL2",)


def test_a_laplacian_without_good_neighbours_is_refused() -> None:
    with pytest.raises(DataError, match="4 of 5 contacts of a type are marked as bad"):
        Laplacian().apply(Continuous(samples(5), RATE_HZ, shaft(), bads=("AHL1", "AHL2", "AHL3", "AHL4")))


def test_the_scalp_laplacian_refuses_bad_channels_with_the_remedy() -> None:
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, RATE_HZ, "eeg")
    info.set_montage(montage)
    signal = Continuous(samples(32), RATE_HZ, sensors_from_info(info), bads=("Cz",))
    with pytest.raises(DataError, match=r"\['Cz'\] are marked as bad. Put interpolate_bads before it"):
        Laplacian().apply(signal)


def test_what_cannot_be_referenced_says_why() -> None:
    data = samples(5)
    with pytest.raises(DataError, match="finds no neighbouring intracranial contacts.*pairs="):
        Bipolar().apply(Continuous(data, RATE_HZ, shaft("eeg")))
    with pytest.raises(DataError, match="needs sensor positions"):
        Laplacian().apply(Continuous(data, RATE_HZ, Sensors(shaft().names, shaft().types)))
    with pytest.raises(DataError, match="needs EEG or intracranial"):
        Laplacian().apply(Continuous(data, RATE_HZ, shaft("mag")))
    with pytest.raises(ConfigError, match="two different channels"):
        Bipolar(pairs=[["A", "A"]])
