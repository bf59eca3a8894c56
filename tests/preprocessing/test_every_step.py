"""What holds for every preprocessing step: JSON, untouched inputs, kept precision, honest causality."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

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
    apply_signal_step,
    step_from_json,
)
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

RATE_HZ = 100.0
SENSORS = Sensors(("Fz", "Cz", "Pz", "Oz"), ("eeg",) * 4)
# Every step of the package, in each of its modes; a new step without an entry fails `test_no_step_is_forgotten`.
EXAMPLES: list[dict[str, Any]] = [
    {"step": "pick", "settings": {"names": ["Cz", "Fz"]}},
    {"step": "drop_channels", "settings": {"names": ["Cz"]}},
    {"step": "rereference", "settings": {"to": "average"}},
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
    return Continuous((np.random.default_rng(seed).standard_normal((4, 1000)) + 1) * 1e-5, RATE_HZ, SENSORS)


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
    given = recording(seed) if isinstance(step, SignalStep) else windows(seed=seed)
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
    in_blocks = apply_signal_step(step, signal)
    assert np.array_equal(in_blocks.data, whole.data)
    assert (in_blocks.rate_hz, in_blocks.sensors) == (whole.rate_hz, whole.sensors)


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
    altered = replace(given, data=changed) if isinstance(step, SignalStep) else given.with_data(changed)
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
