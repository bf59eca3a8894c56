"""Channels are matched by name, then place, then estimated; none is used twice and none is guessed."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from brain_decode.decoder.channel_matching import MatchingLimits, canonical_name, match_channels, mixing_matrix
from brain_decode.signals.mne_conversion import sensors_from_info
from brain_decode.signals.sensors import Sensors

# fmt: off
TEN_TWENTY = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz",
    "C4", "T8", "P7", "P3", "Pz", "P4", "P8", "O1", "O2",
]
# fmt: on


def cap(names: list[str] | None = None) -> Sensors:
    info = mne.create_info(names or TEN_TWENTY, 100.0, "eeg").set_montage("easycap-M1")
    return sensors_from_info(info)


def renamed(sensors: Sensors, names: list[str], shift_m: float = 0.0) -> Sensors:
    locations = sensors.locations.copy()
    locations[:, 0] += shift_m
    return Sensors(tuple(names), sensors.types, locations, sensors.coil_types, sensors.coordinate_frame)


def ways(matches) -> list[str]:
    return [match.way for match in matches]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("EEG Fp1-REF", "Fp1"), ("FP1", "fp1"), ("Fc5.", "FC5"), ("T3", "T7"), ("EEG T5-A1", "P7"), ("EEG 001", "EEG001")],
)
def test_spellings_of_one_electrode_agree(written: str, meant: str) -> None:
    assert canonical_name(written) == canonical_name(meant)


@pytest.mark.parametrize("bipolar", ["Fp1-F3", "C3-Cz", "EEG Fpz-Cz"])
def test_a_bipolar_channel_is_no_spelling_of_its_first_electrode(bipolar: str) -> None:
    first = bipolar.removeprefix("EEG ").split("-")[0]
    assert canonical_name(bipolar) != canonical_name(first)


def test_a_spelling_that_two_channels_share_is_not_matched() -> None:
    wanted, found = Sensors(("Cz",), ("eeg",)), Sensors(("CZ", "EEG Cz-REF"), ("eeg", "eeg"))
    assert ways(match_channels(wanted, found)) == ["missing"]


def test_unknown_names_are_matched_by_place_one_to_one() -> None:
    wanted = cap()
    order = np.random.default_rng(0).permutation(len(wanted))
    found = renamed(wanted.pick(order), [f"E{index}" for index in range(len(wanted))], shift_m=0.004)
    matches = match_channels(wanted, found)
    assert set(ways(matches)) == {"position"}
    assert [order[int(match.source[1:])] for match in matches] == list(range(len(wanted)))
    assert matches[0].distance_m == pytest.approx(0.004)


def test_electrodes_further_than_the_limit_are_not_matched() -> None:
    found = renamed(cap(), [f"E{index}" for index in range(len(cap()))], shift_m=0.012)
    assert set(ways(match_channels(cap(), found))) == {"missing"}
    assert set(ways(match_channels(cap(), found, MatchingLimits(distance_m=0.02)))) == {"position"}


def test_places_in_another_frame_are_not_compared() -> None:
    found = renamed(cap(), [f"E{index}" for index in range(len(cap()))])
    elsewhere = Sensors(found.names, found.types, found.locations, found.coil_types, "mni_tal")
    assert set(ways(match_channels(cap(), elsewhere))) == {"missing"}


def test_a_quarter_of_the_electrodes_may_be_estimated_and_no_more() -> None:
    wanted = cap()
    four_absent = cap([name for name in TEN_TWENTY if name not in ("F3", "C4", "P4", "O1")])
    assert ways(match_channels(wanted, four_absent)).count("interpolated") == 4
    five_absent = cap([name for name in TEN_TWENTY if name not in ("F3", "C4", "P4", "O1", "Fz")])
    assert ways(match_channels(wanted, five_absent)).count("missing") == 5


def test_few_or_far_electrodes_allow_no_estimate() -> None:
    headband = cap(["TP9", "AF7", "AF8", "TP10"])
    assert ways(match_channels(headband, cap(["TP9", "AF7", "AF8"]))) == ["name", "name", "name", "missing"]


def test_an_estimate_needs_no_positions_in_the_recording_when_names_agree() -> None:
    names = [name for name in TEN_TWENTY if name != "Cz"]
    bare = Sensors(tuple(names), ("eeg",) * len(names))
    matches = match_channels(cap(), bare)
    assert ways(matches).count("interpolated") == 1
    matrix, sensors = mixing_matrix(cap(), bare, matches)
    assert matrix[TEN_TWENTY.index("Cz")].sum() == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_allclose(sensors.positions_m, cap().positions_m)


def test_the_matrix_of_renamed_channels_only_reorders() -> None:
    wanted = Sensors(("Cz", "T7"), ("eeg", "eeg"))
    found = Sensors(("T3", "EOG", "CZ"), ("eeg", "eog", "eeg"))
    matrix, sensors = mixing_matrix(wanted, found, match_channels(wanted, found))
    np.testing.assert_array_equal(matrix, [[0, 0, 1], [1, 0, 0]])
    assert sensors.names == ("Cz", "T7")
