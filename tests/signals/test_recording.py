"""Recordings, voxels, windows and specs refuse what breaks their rules."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.signals.recording import ArraySource, Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

SENSORS = Sensors(("Cz", "Pz"), ("eeg", "eeg"))


def events(n: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"onset_s": np.arange(n, dtype=float), "duration_s": 0.0, "trial_type": "x"})


def continuous(**changes: object) -> Recording:
    settings = {"rate_hz": 10.0, "events": events(), "source": ArraySource(np.arange(40.0).reshape(2, 20))}
    return Recording(Entities("01", run="2"), SENSORS, **(settings | changes))  # type: ignore[arg-type]


def trials(n_rows: int = 3) -> Recording:
    source = TrialArraySource(np.zeros((3, 2, 5)))
    return continuous(source=source, events=events(n_rows), continuous=False)


def test_a_recording_is_named_by_its_entities() -> None:
    assert continuous().label == "sub-01_run-2"
    assert Entities("01", "02", "look", "3").label == "sub-01_ses-02_task-look_run-3"


def test_a_part_of_the_signal_is_read() -> None:
    np.testing.assert_array_equal(continuous().read(5, 7), [[5, 6], [25, 26]])
    assert continuous().duration_s == 2.0


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan")])
def test_a_rate_that_is_not_positive_is_refused(rate_hz: float) -> None:
    with pytest.raises(DataError, match="sampling rate must be positive"):
        continuous(rate_hz=rate_hz)


def test_a_recording_of_no_samples_is_named() -> None:
    with pytest.raises(DataError, match=r"sub-01_run-2 holds no samples \(0 seconds\)"):
        continuous(source=ArraySource(np.zeros((2, 0))))


def test_events_need_their_columns() -> None:
    with pytest.raises(DataError, match=r"events need the columns \['trial_type'\]"):
        continuous(events=events().drop(columns="trial_type"))


def test_cut_trials_and_their_rows_agree() -> None:
    with pytest.raises(DataError, match="3 cut trials but 2 rows"):
        trials(2)


def test_each_kind_of_recording_is_read_its_own_way() -> None:
    assert trials().read_trials([0, 2]).shape == (2, 2, 5)
    with pytest.raises(DataError, match="Use read_trials"):
        trials().read()
    with pytest.raises(DataError, match="Cut windows around its events"):
        continuous().read_trials([0])


def test_voxels_follow_the_mask_and_know_where_they_are() -> None:
    mask = np.zeros((2, 2, 2), dtype=bool)
    mask[0, 1, 0] = mask[1, 0, 1] = True
    voxels = Voxels(mask, np.diag([2.0, 3.0, 4.0, 1.0]), {"V1": np.array([True, False])})
    assert voxels.names == ("v0-1-0", "v1-0-1")
    np.testing.assert_allclose(voxels.positions_m, [[0, 0.003, 0], [0.002, 0, 0.004]])


def test_a_mask_and_its_regions_agree() -> None:
    with pytest.raises(DataError, match="at least one voxel"):
        Voxels(np.zeros((2, 2, 2), dtype=bool), np.eye(4))
    with pytest.raises(DataError, match="Region 'V1' must mark each of the 8 voxels"):
        Voxels(np.ones((2, 2, 2), dtype=bool), np.eye(4), {"V1": np.array([True])})
    with pytest.raises(DataError, match="An affine is 4 x 4"):
        Voxels(np.ones((2, 2, 2), dtype=bool), np.eye(3))


def test_windows_fit_their_channels_and_rows() -> None:
    with pytest.raises(DataError, match="with 2 channels"):
        Windows(np.zeros((3, 4, 5)), 10.0, 0.0, SENSORS)
    with pytest.raises(DataError, match="3 windows but 2 table rows"):
        Windows(np.zeros((3, 2, 5)), 10.0, 0.0, SENSORS, pd.DataFrame(index=range(2)))


def test_windows_know_their_times() -> None:
    windows = Windows(np.zeros((1, 2, 3)), 10.0, -0.1, SENSORS)
    np.testing.assert_allclose(windows.times_s, [-0.1, 0.0, 0.1])


def test_a_spec_survives_json() -> None:
    spec = SignalSpec(SENSORS, 20, 10.0, -0.1, ("01", "02"))
    assert SignalSpec.from_json(spec.to_json()) == spec
    target = TargetSpec("classification", ("a", "b"))
    assert TargetSpec.from_json(target.to_json()) == target


def test_a_target_has_something_to_answer() -> None:
    with pytest.raises(ConfigError, match="at least two classes"):
        TargetSpec("classification", ("only",))
    with pytest.raises(ConfigError, match="at least one value"):
        TargetSpec("retrieval")
