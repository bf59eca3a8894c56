"""A window has as many samples as its length and the rate say, wherever it lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.decoder.input_windows import windows_of
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sampling import n_samples, nearest_samples
from brain_decode.signals.sensors import Sensors

RATES_HZ = [100.0, 128.0, 250.0, 256.0, 500.0, 512.0, 599.5, 1000.0, 1024.0, 2048.0]
WINDOWS_S = [(0.0, 0.15), (-0.1, 0.45), (0.002, 0.1), (-0.05, 0.0505), (0.0, 0.8), (-0.2, 1.0), (0.0333, 0.3)]
SENSORS = Sensors(("Fz",), ("eeg",))


def test_halves_go_up_wherever_the_window_lies() -> None:
    onsets = np.arange(100_000) / 250.0
    durations = (onsets + 0.15) - onsets
    assert set(nearest_samples(durations, 250.0)) == {38} == {n_samples(0.15, 250.0)}


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(("start_s", "stop_s"), WINDOWS_S)
def test_training_and_prediction_cut_the_same_samples(
    tmp_path: Path, rate_hz: float, start_s: float, stop_s: float
) -> None:
    samples = np.random.default_rng(1).standard_normal((1, round(30 * rate_hz))) * 1e-5
    places = np.arange(round(rate_hz), round(28 * rate_hz))
    onsets = np.sort(np.random.default_rng(0).choice(places, 40, replace=False)) / rate_hz
    events = pd.DataFrame({"onset_s": onsets, "duration_s": 0.0, "trial_type": "go"})
    recording = Recording(Entities("01"), SENSORS, rate_hz, events, ArraySource(samples))
    table = build_window_table([recording], dataset="d", target=EventTarget(), start_s=start_s, stop_s=stop_s).table
    stored = prepare_store([recording], [], tmp_path).read(table)
    given = windows_of(recording, Preprocessing(), InputSpec(SENSORS, rate_hz, start_s, stop_s, classes={}))
    assert stored.data.shape[2] == n_samples(stop_s - start_s, rate_hz)
    np.testing.assert_array_equal(stored.data, given.data)
