"""What preprocessing refuses, where it enters and with the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.preprocessing.base import Continuous, WindowStep, step_from_json
from brain_decode.preprocessing.channels import Rereference
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.preprocessing.noise_normalisation import NoiseNormalisation, noise_covariance
from brain_decode.preprocessing.rejection import Rejection
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows

FITTED: list[dict[str, Any]] = [
    {"step": "zscore"},
    {"step": "robust_scale"},
    {"step": "noise_normalisation"},
    {"step": "euclidean_alignment"},
]
NAMES = [entry["step"] for entry in FITTED]


def sensors(*names: str) -> Sensors:
    return Sensors(names, ("eeg",) * len(names))


def windows(*names: str, n: int = 12) -> Windows:
    data = np.random.default_rng(0).standard_normal((n, len(names), 40))
    table = pd.DataFrame({"subject": "01", "session": "1", "stimulus": [f"s{i % 3}" for i in range(n)]})
    return Windows(data, 100.0, 0.0, sensors(*names), table)


def fitted(entry: dict[str, Any], *names: str) -> WindowStep:
    step = step_from_json(entry)
    assert isinstance(step, WindowStep)
    step.fit(windows(*names))
    return step


def gap() -> Continuous:
    data = np.random.default_rng(0).standard_normal((2, 2000))
    data[1, 5] = np.nan
    return Continuous(data, 200.0, sensors("A", "B"))


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_fitted_step_refuses_other_channels(entry: dict[str, Any]) -> None:
    with pytest.raises(SpecMismatch, match="of these B are missing and D are new"):
        fitted(entry, "A", "B").apply(windows("A", "D"))


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_step_fitted_on_one_channel_is_not_spread_over_several(entry: dict[str, Any]) -> None:
    with pytest.raises(SpecMismatch, match="fitted on 1 channels"):
        fitted(entry, "A").apply(windows("A", "B", "C"))


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_fitted_step_refuses_another_order_of_its_channels_also_after_loading(entry: dict[str, Any]) -> None:
    read_back = step_from_json(fitted(entry, "A", "B").to_json())
    with pytest.raises(SpecMismatch, match="A, B in this order; got B, A"):
        read_back.apply(windows("B", "A"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_fitted_step_refuses_to_learn_from_nothing(entry: dict[str, Any]) -> None:
    step = step_from_json(entry)
    with pytest.raises(DataError, match="Add training windows"):
        step.fit(windows("A", "B", n=0))  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_fitted_step_counts_the_windows_that_are_not_finite(entry: dict[str, Any]) -> None:
    given = windows("A", "B")
    given.data[[2, 5], 0, 0] = np.nan
    with pytest.raises(DataError, match="2 of 12 windows"):
        step_from_json(entry).fit(given)  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_fitted_step_says_that_it_is_not_fitted(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="not fitted yet"):
        step_from_json(entry).apply(windows("A", "B"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_fitting_leaves_the_windows_as_they_were(entry: dict[str, Any]) -> None:
    given = windows("A", "B")
    before = given.data.copy()
    step_from_json(entry).fit(given)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(given.data, before)


@pytest.mark.parametrize("entry", FITTED, ids=NAMES)
def test_a_state_that_is_not_complete_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="saved state of step"):
        step_from_json(entry | {"state": {"centre": [1.0], "whiteners": {}}})


@pytest.mark.parametrize("step", [BandPass(1.0, 30.0), Notch(50.0), Resample(100.0), BandPass(1.0, 30.0, "causal")])
def test_a_filter_does_not_spread_nan(step: Any) -> None:
    with pytest.raises(DataError, match=r"channels \['B'\]"):
        step.apply(gap())


def test_a_window_with_nan_is_rejected() -> None:
    given = windows("A", "B", n=2)
    given.data[1, 0, 3] = np.nan
    assert Rejection(peak_to_peak_v=1e3, flat_v=1e-9).reasons(given).tolist() == ["", "not_finite"]


def test_a_threshold_for_an_unknown_type_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'grad'"):
        Rejection(peak_to_peak_v={"grd": 1e-4})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'notch' needs the settings \['line_hz'\]"):
        step_from_json({"step": "notch"})


def test_a_setting_of_the_wrong_type_is_one_error() -> None:
    with pytest.raises(ConfigError, match="cannot use the settings"):
        step_from_json({"step": "bandpass", "settings": {"low_hz": "ten"}})


def test_an_empty_list_of_reference_channels_is_refused() -> None:
    with pytest.raises(ConfigError, match="Use to: average"):
        Rereference([])


def test_centring_single_responses_is_refused_with_the_cause() -> None:
    with pytest.raises(DataError, match="needs repeated stimuli"):
        noise_covariance(windows("A", "B").data, np.arange(12), centre_conditions=True)


def test_the_covariance_does_not_depend_on_how_many_windows_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    trials, conditions = rng.standard_normal((40, 5, 30)), rng.integers(0, 9, 40)
    cases = [("epochs", False), ("epochs", True), ("time", False)]
    whole = [noise_covariance(trials, conditions, mode=mode, centre_conditions=centre) for mode, centre in cases]
    monkeypatch.setattr("brain_decode.preprocessing.noise_normalisation._CHUNK_VALUES", 1)
    for (mode, centre), expected in zip(cases, whole, strict=True):
        piecewise = noise_covariance(trials, conditions, mode=mode, centre_conditions=centre)
        np.testing.assert_allclose(piecewise, expected, atol=1e-13)


def test_two_repetitions_equal_the_general_rule() -> None:
    rng = np.random.default_rng(0)
    trials = rng.standard_normal((6, 4, 7))
    pairs = [trials[[2 * i, 2 * i + 1]][:, :, t] for i in range(3) for t in range(7)]
    expected = np.mean([np.outer(a - b, a - b) / 4 for a, b in pairs], axis=0)
    np.testing.assert_allclose(noise_covariance(trials, np.repeat(np.arange(3), 2), mode="time"), expected, atol=1e-14)


@pytest.mark.parametrize("shape", [(30, 4), (3, 9)], ids=["tall", "wide"])
def test_one_covariance_is_that_of_scikit_learn(shape: tuple[int, int]) -> None:
    from sklearn.covariance import ledoit_wolf

    from brain_decode.preprocessing.noise_normalisation import mean_shrinkage_covariance

    samples = np.random.default_rng(0).standard_normal(shape) * 1e-5
    deviation = samples.std(axis=0)
    expected = ledoit_wolf((samples - samples.mean(axis=0)) / deviation)[0] * np.outer(deviation, deviation)
    np.testing.assert_allclose(mean_shrinkage_covariance(samples[None]), expected, rtol=1e-9, atol=1e-22)


@pytest.mark.parametrize("variant", ["nice", "alljoined"])
def test_whitening_single_precision_keeps_it_and_agrees_with_double(variant: str) -> None:
    given = windows("A", "B", "C")
    step = NoiseNormalisation(variant=variant)
    step.fit(given)
    single = step.apply(given.with_data(given.data.astype(np.float32))).data
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, step.apply(given).data, atol=1e-5)
