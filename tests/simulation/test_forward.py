"""What sensors see of a dipole: exact facts of a spherical head."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.simulation.forward import HEAD_CENTRE_M, eeg_info, gain_matrix, meg_info
from brain_decode.simulation.ventral_stream import AREAS, build_stream, time_courses

PLACES = np.array(HEAD_CENTRE_M) + np.array([[0.0, -0.06, 0.01], [0.04, -0.03, 0.02]])
RADIAL = (PLACES - HEAD_CENTRE_M) / np.linalg.norm(PLACES - HEAD_CENTRE_M, axis=1, keepdims=True)
TANGENTIAL = np.cross(RADIAL, [0.0, 0.0, 1.0])
TANGENTIAL /= np.linalg.norm(TANGENTIAL, axis=1, keepdims=True)


@pytest.mark.parametrize("system", ["opm", "ctf"])
def test_meg_is_silent_to_radial_dipoles_and_eeg_is_not(system: str) -> None:
    meg, eeg = meg_info(24, 100.0, system), eeg_info(32, 100.0)
    silent, heard = gain_matrix(meg, PLACES, RADIAL), gain_matrix(meg, PLACES, TANGENTIAL)
    assert np.abs(silent).max() < 1e-10 * np.abs(heard).max()
    assert np.abs(gain_matrix(eeg, PLACES, RADIAL)).max() > 0.1 * np.abs(gain_matrix(eeg, PLACES, TANGENTIAL)).max()


def test_turning_a_dipole_round_changes_the_sign_everywhere() -> None:
    info = eeg_info(16, 100.0)
    np.testing.assert_allclose(gain_matrix(info, PLACES, -TANGENTIAL), -gain_matrix(info, PLACES, TANGENTIAL))


def test_eeg_is_against_the_average_reference() -> None:
    gain = gain_matrix(eeg_info(16, 100.0), PLACES, TANGENTIAL)
    np.testing.assert_allclose(gain.sum(axis=0), 0, atol=1e-10 * np.abs(gain).max())


def test_a_dipole_outside_the_brain_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Dipoles lie within 0.0855 m of the head centre, one is at 0.09 m"):
        gain_matrix(eeg_info(16, 100.0), np.add([HEAD_CENTRE_M], [0.0, 0.09, 0.0]), np.array([[1.0, 0.0, 0.0]]))


def test_areas_answer_in_the_order_of_the_ventral_stream() -> None:
    times = np.arange(600) / 1000
    peaks = times[time_courses(times).argmax(axis=1)]
    assert [area.name for area in AREAS] == ["V1", "V2", "V4", "LO", "IT"]
    np.testing.assert_allclose(peaks, [0.100, 0.115, 0.145, 0.170, 0.225], atol=0.006)
    assert (np.diff(peaks) > 0).all()
    later = times[time_courses(times, 0.03).argmax(axis=1)]
    np.testing.assert_allclose(later - peaks, 0.03, atol=1e-9)


def test_participants_share_the_study_but_not_the_head() -> None:
    first, second = build_stream(0), build_stream(1)
    correlation = np.corrcoef(first.tuning.ravel(), second.tuning.ravel())[0, 1]
    assert 0.7 < correlation < 0.99
    assert first.latency_s != second.latency_s
    equal = build_stream(0, individuality=0.0), build_stream(1, individuality=0.0)
    np.testing.assert_array_equal(equal[0].tuning, equal[1].tuning)
    np.testing.assert_array_equal(equal[0].positions_m, equal[1].positions_m)


def test_the_cap_of_things_eeg2_has_its_63_electrodes_in_their_order() -> None:
    info = eeg_info(63, 250.0)
    assert [info.ch_names[0], *info.ch_names[-3:]] == ["Fp1", "O1", "Oz", "O2"]
    assert "Fz" not in info.ch_names
    positions = np.array([channel["loc"][:3] for channel in info["chs"]])
    assert np.isfinite(positions).all()
    assert len(np.unique(positions.round(4), axis=0)) == 63
