"""Two systems that recorded together become one recording."""

from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.signals.joining import join_recordings
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors


def recording(names: tuple[str, ...], kind: str, *, frame: str = "head", n_times: int = 100, **more) -> Recording:
    locations = np.zeros((len(names), 12))
    locations[:, 0] = np.arange(len(names)) + 1.0
    data = np.random.default_rng(len(names)).standard_normal((len(names), n_times))
    events = pd.DataFrame({"onset_s": [0.1], "duration_s": 0.0, "trial_type": kind})
    space = Sensors(names, (kind,) * len(names), locations, coordinate_frame=frame)
    return Recording(Entities("01"), space, 100.0, events, ArraySource(data), **more)


def test_the_channels_of_both_follow_each_other() -> None:
    eeg, meg = recording(("Fz", "Cz"), "eeg"), recording(("M1",), "mag")
    joined = join_recordings(eeg, meg)
    assert joined.space.names == ("Fz", "Cz", "M1") and joined.space.types == ("eeg", "eeg", "mag")
    assert np.array_equal(joined.read(10, 20), np.concatenate([eeg.read(10, 20), meg.read(10, 20)]))
    assert joined.events["trial_type"].tolist() == ["eeg"]


def test_coils_of_the_device_frame_are_moved_to_the_head() -> None:
    info = mne.create_info(["M1"], 100.0, "mag")
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", mne.transforms.translation(0.0, 0.0, 0.5))
    joined = join_recordings(recording(("Fz",), "eeg"), recording(("M1",), "mag", frame="meg", header=info))
    assert joined.space.coordinate_frame == "head"
    np.testing.assert_allclose(joined.space.positions_m[1], [1.0, 0.0, 0.5])


def test_frames_without_a_transform_are_refused() -> None:
    with pytest.raises(DataError, match="no transform from device to head"):
        join_recordings(recording(("Fz",), "eeg"), recording(("M1",), "mag", frame="meg"))


def test_other_lengths_are_refused_with_both_sizes() -> None:
    with pytest.raises(SpecMismatch, match="one has 100 samples at 100 Hz, the other 90 at 100 Hz"):
        join_recordings(recording(("Fz",), "eeg"), recording(("M1",), "mag", n_times=90))


def test_a_name_that_both_have_is_refused() -> None:
    with pytest.raises(DataError, match=r"repeated: \['Fz'\]"):
        join_recordings(recording(("Fz",), "eeg"), recording(("Fz",), "mag"))
