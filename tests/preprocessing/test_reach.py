"""A step says how far a sample is carried, and a sample is carried no further."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.preprocessing.base import Continuous, SignalStep, _step_classes, step_from_json
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.preprocessing.reach import reach_of, response_reach_s
from brain_decode.preprocessing.trends import ZScoreRecording
from brain_decode.signals.mne_conversion import info_from_sensors
from brain_decode.signals.reach import Reach
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

RATE_HZ = 100.0
LOCATIONS = np.zeros((4, 12))
LOCATIONS[:, :3] = [[0.0, 0.06, 0.1], [0.0, 0.0, 0.13], [0.0, -0.06, 0.1], [0.0, -0.09, 0.04]]
SENSORS = Sensors(("Fz", "Cz", "Pz", "Oz"), ("eeg",) * 4, LOCATIONS)
VOXELS = Voxels(np.ones((2, 2, 1), dtype=bool), np.eye(4), {"ventral": np.array([True, False, True, False])})
LEFT = 5e-2  # of a change by white noise; a resampling and a causal filter are cut off where little is left
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("pick", {"names": ["Cz", "Fz"]}),
    ("drop_channels", {"names": ["Cz"]}),
    ("rereference", {"to": "average"}),
    ("interpolate_bads", {"max_share": 0.5, "detect": False}),
    ("laplacian", {}),
    ("bipolar", {"pairs": [["Fz", "Cz"], ["Pz", "Oz"]]}),
    ("ssp", {}),
    ("pick_regions", {"names": ["ventral"]}),
    ("bandpass", {"low_hz": 0.1}),
    ("bandpass", {"low_hz": 1.0, "high_hz": 30.0}),
    ("bandpass", {"high_hz": 30.0}),
    ("bandpass", {"low_hz": 0.1, "method": "causal"}),
    ("bandpass", {"low_hz": 1.0, "high_hz": 30.0, "method": "causal"}),
    ("notch", {"line_hz": 20.0}),
    ("notch", {"line_hz": 20.0, "method": "causal"}),
    ("resample", {"rate_hz": 50.0}),
    ("resample", {"rate_hz": 128.0}),
]
UNBOUNDED: list[tuple[str, dict[str, Any]]] = [
    ("detrend", {}),
    ("zscore_recording", {}),
    ("percent_signal_change", {}),
    ("interpolate_bads", {}),
    ("ssp", {"origin": "eog"}),
    ("remove_chpi", {}),
]


def built(name: str, settings: dict[str, Any]) -> SignalStep:
    step = step_from_json({"step": name, "settings": settings})
    assert isinstance(step, SignalStep)
    return step


def recording(voxels: bool, seconds: float = 120.0) -> Continuous:
    data = (np.random.default_rng(0).standard_normal((4, round(seconds * RATE_HZ))) + 1) * 1e-5
    header = info_from_sensors(SENSORS, RATE_HZ)
    along = {"nrow": 1, "ncol": 4, "row_names": None, "col_names": list(SENSORS.names), "data": np.full((1, 4), 0.5)}
    raw = mne.io.RawArray(data, header, verbose="ERROR").add_proj(mne.Projection(data=along), verbose="ERROR")
    return Continuous(data, RATE_HZ, VOXELS if voxels else SENSORS, header=raw.info, bads=() if voxels else ("Pz",))


def changed_outputs(step: SignalStep, signal: Continuous, start_s: float, stop_s: float) -> tuple[np.ndarray, float]:
    """Return how much each output sample changes, relative to what changed, when a block of the input does."""
    first, last = round(start_s * signal.rate_hz), round(stop_s * signal.rate_hz)
    other = signal.data.copy()
    other[:, first:last] += 1e-5 * (1 + np.random.default_rng(1).standard_normal((len(other), last - first)))
    before, after = step.apply(signal), step.apply(replace(signal, data=other))
    return np.abs(after.data - before.data).max(axis=0) / 1e-5, after.rate_hz


@pytest.mark.parametrize(("name", "settings"), STEPS)
def test_a_changed_block_changes_nothing_beyond_the_reach(name: str, settings: dict[str, Any]) -> None:
    step, signal = built(name, settings), recording(name == "pick_regions")
    if name == "laplacian":  # it refuses EEG channels marked as bad
        signal = replace(signal, bads=())
    change, rate_hz = changed_outputs(step, signal, 50.0, 70.0)
    reach_s, time_s = step.reach_s(RATE_HZ), np.arange(len(change)) / rate_hz
    beyond = (time_s < 50.0 - reach_s - 1 / rate_hz) | (time_s > 70.0 + reach_s + 1 / rate_hz)
    assert beyond.any() and change.max() > 0.1
    assert change[beyond].max() < LEFT


@pytest.mark.parametrize("settings", [{"low_hz": 0.1}, {"low_hz": 1.0, "high_hz": 30.0}])
def test_zero_phase_filters_reach_half_their_length_exactly(settings: dict[str, Any]) -> None:
    impulse = np.zeros((1, 12001))
    impulse[0, 6000] = 1.0
    step = BandPass(**settings)
    response = step.apply(Continuous(impulse, RATE_HZ, Sensors(("Fz",), ("eeg",)))).data[0]
    found = np.flatnonzero(np.abs(response) > 1e-12)
    assert (6000 - found[0]) / RATE_HZ == pytest.approx(step.reach_s(RATE_HZ), abs=2 / RATE_HZ)


@pytest.mark.parametrize(("name", "settings"), UNBOUNDED)
def test_steps_on_the_whole_recording_reach_everywhere(name: str, settings: dict[str, Any]) -> None:
    assert math.isinf(built(name, settings).reach_s(RATE_HZ))


@pytest.mark.parametrize(("name", "settings"), UNBOUNDED[:3])
def test_a_change_of_ten_seconds_is_seen_a_minute_away(name: str, settings: dict[str, Any]) -> None:
    change, _ = changed_outputs(built(name, settings), recording(voxels=False), 110.0, 120.0)
    assert change[:5000].max() > 1e-3


def test_no_step_is_forgotten() -> None:
    known = {name for name, step in _step_classes().items() if issubclass(step, SignalStep)}
    assert known == {name for name, _ in STEPS} | {name for name, _ in UNBOUNDED}


def test_a_step_that_does_not_say_reaches_everywhere() -> None:
    class Silent(SignalStep):
        name, is_causal = "silent", True

        def apply(self, signal: Continuous) -> Continuous:
            return signal

    assert reach_of([[Silent()]], [RATE_HZ]).unbounded == ("step 'silent' does not say how far it reaches",)


def test_reaches_of_steps_in_a_row_add_up_at_the_rate_each_of_them_sees() -> None:
    steps = [Notch(20.0), Resample(50.0), BandPass(1.0, 20.0)]
    parts = [steps[0].reach_s(100.0), steps[1].reach_s(100.0), steps[2].reach_s(50.0)]
    assert reach_of([steps, steps[:1]], [100.0]) == Reach(sum(parts))
    assert reach_of([[]], [100.0]) == Reach(0.0)


def test_an_exponential_response_ends_where_a_thousandth_is_left() -> None:
    def decays(signal: np.ndarray) -> np.ndarray:
        return np.convolve(signal, 0.5 ** np.arange(len(signal)))[: len(signal)]

    assert response_reach_s(decays, 10.0) == 1.0  # 2 ** -10 is the first power below a thousandth


def test_a_step_that_reaches_everywhere_is_refused_with_its_reason_and_a_remedy() -> None:
    reach = reach_of([[ZScoreRecording()]], [RATE_HZ])
    with pytest.raises(ConfigError, match=r"contiguous_kfold .* 'zscore_recording' takes mean .*split=leave_run_out"):
        reach.within_recording("contiguous_kfold")
    assert Reach(1.5).within_recording("contiguous_kfold") == 1.5
