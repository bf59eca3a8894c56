"""What holds for every preprocessing step: JSON, untouched inputs, kept precision, honest causality."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.preprocessing.base import (
    Continuous,
    Preprocessing,
    SignalStep,
    WindowStep,
    _step_classes,
    apply_pass,
    signal_passes,
    step_from_json,
)
from brain_decode.preprocessing.channels import Rereference
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.signals.mne_conversion import info_from_sensors
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

RATE_HZ = 100.0
LOCATIONS = np.zeros((4, 12))
LOCATIONS[:, :3] = [[0.0, 0.06, 0.1], [0.0, 0.0, 0.13], [0.0, -0.06, 0.1], [0.0, -0.09, 0.04]]
SENSORS = Sensors(("Fz", "Cz", "Pz", "Oz"), ("eeg",) * 4, LOCATIONS)
# Every step of the package, in each of its modes; a new step without an entry fails `test_no_step_is_forgotten`.
EXAMPLES: list[dict[str, Any]] = [
    {"step": "pick", "settings": {"names": ["Cz", "Fz"]}},
    {"step": "drop_channels", "settings": {"names": ["Cz"]}},
    {"step": "keep_channels", "settings": {"names": ["Oz", "Cz"]}},
    {"step": "rereference", "settings": {"to": "average"}},
    {"step": "interpolate_bads", "settings": {"max_share": 0.5}},
    {"step": "interpolate_bads", "settings": {"max_share": 0.5, "detect": False}},
    {"step": "laplacian", "settings": {}},
    {"step": "bipolar", "settings": {"pairs": [["Fz", "Cz"], ["Pz", "Oz"]]}},
    {"step": "ssp", "settings": {}},
    {"step": "remove_chpi", "settings": {}},
    {"step": "bandpass", "settings": {"low_hz": 1.0, "high_hz": 30.0}},
    {"step": "bandpass", "settings": {"low_hz": 1.0, "high_hz": 30.0, "method": "causal"}},
    {"step": "bandpass", "settings": {"high_hz": 30.0, "method": "causal"}},
    {"step": "notch", "settings": {"line_hz": 20.0}},
    {"step": "notch", "settings": {"line_hz": 20.0, "method": "causal"}},
    {"step": "resample", "settings": {"rate_hz": 50.0}},
    {"step": "pick_regions", "settings": {"names": ["ventral"]}},
    {"step": "detrend", "settings": {"degree": 2}},
    {"step": "detrend", "settings": {"keep_mean": False}},
    {"step": "zscore_recording", "settings": {}},
    {"step": "percent_signal_change", "settings": {}},
    {"step": "crop", "settings": {"start_s": 0.0, "stop_s": 0.3}},
    {"step": "baseline", "settings": {"stop_s": 0.0}},
    {"step": "clip", "settings": {"limit": 1e-5}},
    {"step": "scale", "settings": {"factor": 1e6}},
    {"step": "sensor_type_scale", "settings": {"compat": "official"}},
    {"step": "bin_means", "settings": {"bin_s": 0.05}},
    {"step": "zscore", "settings": {"per": "channel"}},
    {"step": "zscore", "settings": {"per": "window"}},
    {"step": "robust_scale", "settings": {}},
    {"step": "noise_normalisation", "settings": {"variant": "nice", "mode": "epochs"}},
    {"step": "noise_normalisation", "settings": {"variant": "alljoined", "mode": "time"}},
    {"step": "euclidean_alignment", "settings": {"level": "subject"}},
]
OF_VOXELS = ("pick_regions",)
VOXELS = Voxels(np.ones((2, 2, 1), dtype=bool), np.eye(4), {"ventral": np.array([True, False, True, False])})
NAMES = [f"{entry['step']}-{json.dumps(entry['settings'])}" for entry in EXAMPLES]


def recording(seed: int = 0) -> Continuous:
    # The mean is positive, so that a percentage of it is defined.
    data = (np.random.default_rng(seed).standard_normal((4, 1000)) + 1) * 1e-5
    header = info_from_sensors(SENSORS, RATE_HZ)
    projector = mne.Projection(
        data={"nrow": 1, "ncol": 4, "row_names": None, "col_names": list(SENSORS.names), "data": np.full((1, 4), 0.5)}
    )
    raw = mne.io.RawArray(data, header, verbose="ERROR").add_proj(projector, verbose="ERROR")
    return Continuous(data, RATE_HZ, SENSORS, header=raw.info, bads=("Pz",))


def magnetometers(seed: int = 0) -> Continuous:
    """Return twenty magnetometers around a head, with two head position coils in the header."""
    rng = np.random.default_rng(seed)
    locations = np.tile(np.r_[np.zeros(3), np.eye(3).ravel()], (20, 1))
    locations[:, :3] = 0.1 * (directions := rng.standard_normal((20, 3))) / np.linalg.norm(directions, axis=1)[:, None]
    sensors = Sensors(tuple(f"MEG{i}" for i in range(20)), ("mag",) * 20, locations, (3024,) * 20, "meg")
    header = info_from_sensors(sensors, RATE_HZ)
    with header._unlock():
        coils = [{"number": i + 1, "coil_freq": frequency_hz} for i, frequency_hz in enumerate((23.0, 31.0))]
        header["hpi_meas"] = [{"hpi_coils": coils}]
    return Continuous(rng.standard_normal((20, 1000)) * 1e-12, RATE_HZ, sensors, header=header)


def windows(n: int = 24, seed: int = 0, dtype: type = np.float64) -> Windows:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "subject": np.repeat(["01", "02"], n // 2),
            "session": "1",
            "task": "t",
            "run": "1",
            "stimulus": [f"s{i % 4}" for i in range(n)],
        }
    )
    return Windows((rng.standard_normal((n, 4, 60)) * 1e-5).astype(dtype), RATE_HZ, -0.2, SENSORS, table)


def fitted(entry: dict[str, Any]) -> SignalStep | WindowStep:
    step = step_from_json(entry)
    if isinstance(step, WindowStep):
        step.fit(windows())
    return step  # type: ignore[return-value]


def given_to(step: SignalStep | WindowStep, seed: int = 1) -> Any:
    if step.name == "remove_chpi":
        return magnetometers(seed)
    given = recording(seed) if isinstance(step, SignalStep) else windows(seed=seed)
    if step.name == "laplacian":  # it refuses EEG channels marked as bad
        return replace(given, bads=())
    return replace(given, sensors=VOXELS) if step.name in OF_VOXELS else given


def test_no_step_is_forgotten() -> None:
    assert {entry["step"] for entry in EXAMPLES} == set(_step_classes())


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_a_step_read_back_from_json_does_the_same(entry: dict[str, Any]) -> None:
    step = fitted(entry)
    saved = json.loads(json.dumps(step.to_json(), allow_nan=False))
    given = given_to(step)
    np.testing.assert_array_equal(step_from_json(saved).apply(given).data, step.apply(given).data)  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_a_step_leaves_its_input_as_it_was(entry: dict[str, Any]) -> None:
    step = fitted(entry)
    given = given_to(step)
    before = given.data.copy()
    step.apply(given)
    np.testing.assert_array_equal(given.data, before)


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_a_channelwise_step_gives_the_same_bits_a_few_channels_at_a_time(
    entry: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_from_json(entry)
    if not isinstance(step, SignalStep) or not step.is_channelwise:
        return
    signal = recording()
    whole = step.apply(signal)
    monkeypatch.setattr("brain_decode.preprocessing.base._BLOCK_BYTES", 3 * signal.data[0].nbytes)
    in_blocks = apply_pass([step], signal)
    assert np.array_equal(in_blocks.data, whole.data)
    assert (in_blocks.rate_hz, in_blocks.sensors) == (whole.rate_hz, whole.sensors)


def test_neighbouring_channelwise_steps_share_a_pass_and_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[SignalStep] = [BandPass(1.0, 30.0), Resample(50.0), Rereference("average"), Notch(20.0)]
    assert [len(group) for group in signal_passes(steps)] == [2, 1, 1]
    signal = recording()
    one_by_one = signal
    for step in steps:
        one_by_one = step.apply(one_by_one)
    monkeypatch.setattr("brain_decode.preprocessing.base._BLOCK_BYTES", 3 * signal.data[0].nbytes)
    together = Preprocessing(steps).apply_signal(signal)
    assert np.array_equal(together.data, one_by_one.data)
    assert together.rate_hz == 50.0


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_window_steps_keep_single_precision(entry: dict[str, Any]) -> None:
    step = fitted(entry)
    if isinstance(step, WindowStep):
        assert step.apply(windows(dtype=np.float32)).data.dtype == np.float32


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_a_causal_step_never_looks_ahead(entry: dict[str, Any]) -> None:
    step = fitted(entry)
    if not step.is_causal:
        return
    given = given_to(step)
    middle = given.data.shape[-1] // 2
    changed = given.data.copy()
    changed[..., middle:] += 1e-4
    altered = given.with_data(changed)
    kept = middle if entry["step"] != "crop" else middle - 20  # the crop begins 20 samples later
    first, second = step.apply(given).data, step.apply(altered).data
    np.testing.assert_array_equal(first[..., :kept], second[..., :kept])


@pytest.mark.parametrize("entry", EXAMPLES, ids=NAMES)
def test_the_answer_for_one_window_does_not_depend_on_the_others(entry: dict[str, Any]) -> None:
    step = fitted(entry)
    if isinstance(step, WindowStep):
        given = windows(seed=5)
        alone = step.apply(given.rows(np.array([3]))).data[0]
        np.testing.assert_allclose(step.apply(given).data[3], alone, rtol=1e-12)


@pytest.mark.parametrize("entry", [entry for entry in EXAMPLES if entry["step"] in ("zscore", "robust_scale")])
def test_a_step_that_is_not_fitted_says_so(entry: dict[str, Any]) -> None:
    step = step_from_json(entry)
    if entry["settings"].get("per") != "window":
        with pytest.raises(ConfigError, match="not fitted"):
            step.apply(windows())  # type: ignore[attr-defined]


def test_a_pipeline_read_back_from_json_does_the_same() -> None:
    pipeline = Preprocessing.from_json(
        {"window_steps": [{"step": "baseline"}, {"step": "noise_normalisation"}, {"step": "zscore"}]}
    )
    pipeline.fit_windows(windows())
    read_back = Preprocessing.from_json(json.loads(json.dumps(pipeline.to_json())))
    np.testing.assert_array_equal(
        read_back.apply_windows(windows(seed=2)).data, pipeline.apply_windows(windows(seed=2)).data
    )


def test_an_unknown_step_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Unknown preprocessing step 'bandpas'.*Did you mean 'bandpass'"):
        step_from_json({"step": "bandpas"})


def test_an_unknown_setting_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'low_hz'"):
        step_from_json({"step": "bandpass", "settings": {"low_h": 1.0}})


def test_a_step_in_the_wrong_list_is_sent_to_the_other() -> None:
    with pytest.raises(ConfigError, match="move it to signal_steps"):
        Preprocessing.from_json({"window_steps": [{"step": "notch", "settings": {"line_hz": 50.0}}]})


def test_a_step_without_a_name_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match="must define"):
        type("Nameless", (WindowStep,), {"apply": lambda self, windows: windows})
