"""What single steps do, with exact values where mathematics gives them."""

from __future__ import annotations

from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest
from scipy import signal as scipy_signal

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.preprocessing.alignment import EuclideanAlignment
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.preprocessing.channels import DropChannels, KeepChannels, Pick, Rereference
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.preprocessing.noise_normalisation import (
    NoiseNormalisation,
    inverse_square_root,
    mean_shrinkage_covariance,
    noise_covariance,
)
from brain_decode.preprocessing.rejection import Rejection
from brain_decode.preprocessing.scaling import RobustScale, ZScore
from brain_decode.preprocessing.windowing import Baseline, BinMeans, Clip, Crop, Scale
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows

RATE_HZ = 200.0
SENSORS = Sensors(("A", "B", "C"), ("eeg", "eeg", "eog"))
EEG = Sensors(("A", "B", "C"), ("eeg",) * 3)


def recording(sensors: Sensors = SENSORS) -> Continuous:
    return Continuous(np.random.default_rng(0).standard_normal((3, 2000)), RATE_HZ, sensors)


def windows(data: np.ndarray, start_s: float = 0.0, **columns: object) -> Windows:
    table = pd.DataFrame(columns, index=range(len(data)))
    return Windows(np.asarray(data, dtype=float), 10.0, start_s, EEG, table)


def test_the_bandpass_is_mnes() -> None:
    signal = recording()
    expected = mne.filter.filter_data(signal.data, RATE_HZ, 2.0, 20.0, verbose="ERROR")
    np.testing.assert_array_equal(BandPass(2.0, 20.0).apply(signal).data, expected)


def test_the_bandpass_keeps_what_is_inside_and_removes_what_is_outside() -> None:
    times = np.arange(4000) / RATE_HZ
    signal = Continuous(np.stack([np.sin(2 * np.pi * f * times) for f in (10, 60, 0.1)]), RATE_HZ, EEG)
    power = BandPass(2.0, 30.0).apply(signal).data[:, 1000:3000].std(axis=1)
    np.testing.assert_allclose(power, [np.sqrt(0.5), 0, 0], atol=0.02)


def test_channels_of_windows_are_kept_in_the_order_given() -> None:
    given = windows(np.arange(12).reshape(2, 3, 2))
    kept = KeepChannels(["C", "A"]).apply(given)
    np.testing.assert_array_equal(kept.data, given.data[:, [2, 0]])
    assert kept.space.names == ("C", "A")
    with pytest.raises(DataError, match=r"Channels \['Z'\] are not in the recording"):
        KeepChannels(["Z"]).apply(given)
    with pytest.raises(ConfigError, match="keep_channels needs a list of channel names; got 'A'"):
        KeepChannels("A")  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["zero_phase", "causal"])
def test_a_lower_edge_at_half_the_rate_is_refused(method: str) -> None:
    signal = Continuous(np.ones((1, 100)), 2.0, EEG.pick([0]))
    with pytest.raises(SpecMismatch, match=r"from 1 Hz needs more than 2 samples per second.* Lower low_hz"):
        BandPass(1.0, None, method).apply(signal)


def test_a_band_above_half_the_rate_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="Lower high_hz"):
        BandPass(1.0, 100.0).apply(recording())


@pytest.mark.parametrize(
    "settings", [{}, {"low_hz": 30.0, "high_hz": 1.0}, {"low_hz": -1.0}, {"low_hz": 1.0, "method": "magic"}]
)
def test_a_band_that_makes_no_sense_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError):
        BandPass(**settings)


@pytest.mark.parametrize("method", ["zero_phase", "causal"])
def test_the_notch_removes_the_mains_and_its_harmonic(method: str) -> None:
    times = np.arange(8000) / RATE_HZ
    signal = Continuous(np.stack([np.sin(2 * np.pi * f * times) for f in (40, 80, 15)]), RATE_HZ, EEG)
    power = Notch(40.0, method).apply(signal).data[:, 4000:7000].std(axis=1)
    np.testing.assert_allclose(power, [0, 0, np.sqrt(0.5)], atol=0.03)


def test_resampling_changes_rate_and_length() -> None:
    resampled = Resample(100.0).apply(recording())
    assert resampled.rate_hz == 100.0
    assert resampled.data.shape == (3, 1000)


def test_picking_keeps_the_order_given() -> None:
    picked = Pick(names=["C", "A"]).apply(recording())
    assert picked.sensors.names == ("C", "A")
    np.testing.assert_array_equal(picked.data, recording().data[[2, 0]])


def test_picking_without_words_keeps_what_measures_the_brain() -> None:
    assert Pick().apply(recording()).sensors.names == ("A", "B")


def test_picking_an_absent_channel_names_it() -> None:
    with pytest.raises(DataError, match=r"\['X'\]"):
        Pick(names=["X"]).apply(recording())


def test_dropping_keeps_the_others() -> None:
    assert DropChannels(["A"]).apply(recording()).sensors.names == ("B", "C")


def test_the_average_reference_leaves_a_zero_mean_over_eeg_and_other_channels_alone() -> None:
    signal = recording()
    referenced = Rereference().apply(signal).data
    np.testing.assert_allclose(referenced[:2].mean(axis=0), 0, atol=1e-15)
    np.testing.assert_array_equal(referenced[2], signal.data[2])


def with_a_bad_channel(bads: tuple[str, ...] = ("B",)) -> Continuous:
    signal = recording(EEG)
    signal.data[1] += 1.0
    return replace(signal, bads=bads)


def test_the_average_reference_is_that_of_the_good_channels_and_is_noted() -> None:
    signal = with_a_bad_channel()
    referenced = Rereference().apply(signal)
    np.testing.assert_array_equal(referenced.data, signal.data - signal.data[[0, 2]].mean(axis=0))
    assert referenced.notes == ("average reference without channels marked as bad: B",)
    assert referenced.bads == ("B",)


def test_good_channels_have_the_average_reference_of_mne() -> None:
    signal = with_a_bad_channel()
    raw = mne.io.RawArray(signal.data.copy(), mne.create_info(list(EEG.names), RATE_HZ, "eeg"), verbose="ERROR")
    raw.info["bads"] = ["B"]
    expected = raw.set_eeg_reference("average", verbose="ERROR").get_data(["A", "C"])
    np.testing.assert_allclose(Rereference().apply(signal).data[[0, 2]], expected, atol=1e-15)


def test_without_bad_channels_nothing_is_noted() -> None:
    assert Rereference().apply(recording(EEG)).notes == ()


def test_a_reference_of_bad_channels_is_refused() -> None:
    with pytest.raises(DataError, match="all 3 of the recording are marked as bad.*interpolate_bads"):
        Rereference().apply(with_a_bad_channel(("A", "B", "C")))
    with pytest.raises(DataError, match=r"\['B'\] of \['A', 'B'\] are marked as bad.*to: average"):
        Rereference(["A", "B"]).apply(with_a_bad_channel())


CAUSAL = [
    (BandPass(0.1, None, "causal"), 0.0),
    (BandPass(0.1, 30.0, "causal"), 0.0),
    (BandPass(None, 30.0, "causal"), 1.0),
    (Notch(50.0, "causal"), 1.0),
]


@pytest.mark.parametrize(("step", "gain"), CAUSAL)
def test_a_causal_filter_answers_an_offset_by_its_settled_value_from_the_first_sample(step, gain: float) -> None:
    offset = Continuous(np.full((3, 400), 0.02), RATE_HZ, EEG)
    np.testing.assert_array_equal(step.apply(offset).data, gain * offset.data)


@pytest.mark.parametrize(("step", "gain"), CAUSAL)
def test_a_causal_filter_is_the_same_on_a_signal_that_stood_still_for_long(step, gain: float) -> None:
    signal = recording(EEG)
    still = np.repeat(signal.data[:, :1], 500, axis=1)
    longer = replace(signal, data=np.concatenate([still, signal.data], axis=1))
    np.testing.assert_allclose(step.apply(longer).data[:, 500:], step.apply(signal).data, atol=1e-12)


@pytest.mark.parametrize(("step", "gain"), CAUSAL)
def test_a_causal_filter_never_looks_ahead_of_what_it_has_seen(step, gain: float) -> None:
    signal = recording(EEG)
    beginning = replace(signal, data=signal.data[:, :700])
    np.testing.assert_array_equal(step.apply(beginning).data, step.apply(signal).data[:, :700])


@pytest.mark.parametrize(("step", "gain"), CAUSAL)
def test_a_causal_filter_of_nothing_is_nothing(step, gain: float) -> None:
    assert step.apply(Continuous(np.zeros((3, 0)), RATE_HZ, EEG)).data.shape == (3, 0)


def test_a_causal_filter_started_in_the_settled_state_equals_that_of_scipy() -> None:
    data = recording(EEG).data
    sections = scipy_signal.butter(4, [1.0, 30.0], "bandpass", fs=RATE_HZ, output="sos")
    state = scipy_signal.sosfilt_zi(sections)[:, None, :] * data[None, :, :1]
    expected, _ = scipy_signal.sosfilt(sections, data, axis=1, zi=state)
    result = BandPass(1.0, 30.0, "causal").apply(recording(EEG)).data
    np.testing.assert_allclose(result, expected, atol=1e-10)


def test_a_single_reference_channel_becomes_zero() -> None:
    np.testing.assert_array_equal(Rereference(["A"]).apply(recording()).data[0], 0)


def test_the_baseline_has_mean_zero_afterwards() -> None:
    given = windows(np.random.default_rng(0).standard_normal((2, 3, 10)), start_s=-0.5)
    np.testing.assert_allclose(Baseline().apply(given).data[:, :, :5].mean(axis=2), 0, atol=1e-15)


def test_a_baseline_outside_the_window_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="baseline needs"):
        Baseline().apply(windows(np.zeros((1, 3, 10)), start_s=0.0))


def test_cropping_keeps_the_half_open_interval() -> None:
    cropped = Crop(0.2, 0.5).apply(windows(np.arange(30.0).reshape(1, 3, 10)))
    np.testing.assert_array_equal(cropped.data[0, 0], [2, 3, 4])
    assert cropped.start_s == pytest.approx(0.2)


def test_clipping_limits_both_sides() -> None:
    assert Clip(2.0).apply(windows(np.full((1, 3, 4), -9.0))).data.min() == -2.0


def test_scaling_multiplies() -> None:
    np.testing.assert_array_equal(Scale(1e6).apply(windows(np.full((1, 3, 2), 2e-6))).data, 2.0)


def test_bins_average_neighbours_and_leave_a_rest_out() -> None:
    binned = BinMeans(0.4).apply(windows(np.arange(30.0).reshape(1, 3, 10)))
    np.testing.assert_array_equal(binned.data[0, 0], [1.5, 5.5])
    assert binned.rate_hz == 2.5


def test_a_zscored_training_set_has_mean_zero_and_unit_variance() -> None:
    given = windows(np.random.default_rng(0).standard_normal((50, 3, 10)) * [[1], [5], [9]] + 3)
    step = ZScore()
    step.fit(given)
    scaled = step.apply(given).data
    np.testing.assert_allclose(scaled.mean(axis=(0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=(0, 2)), 1, atol=1e-12)


def test_one_artefact_does_not_change_the_robust_scale() -> None:
    clean = np.random.default_rng(0).standard_normal((50, 3, 10))
    dirty = clean.copy()
    dirty[0, 0, 0] = 1e6
    steps = [RobustScale(), RobustScale()]
    for step, data in zip(steps, (clean, dirty), strict=True):
        step.fit(windows(data))
    np.testing.assert_allclose(steps[0].apply(windows(clean)).data, steps[1].apply(windows(clean)).data, rtol=0.02)


def test_a_flat_channel_is_named() -> None:
    flat = np.random.default_rng(0).standard_normal((5, 3, 10))
    flat[:, 1] = 4.0
    with pytest.raises(DataError, match=r"\['B'\]"):
        RobustScale().fit(windows(flat))


def test_windows_beyond_the_thresholds_are_named_by_the_rule() -> None:
    data = np.zeros((3, 3, 10))
    data[:, :, 0] = 20e-6
    data[1, 2, 0] = 200e-6
    data[2, 0] = 0.0
    reasons = Rejection(peak_to_peak_v=100e-6, flat_v=1e-6).reasons(windows(data))
    assert reasons.tolist() == ["", "peak_to_peak", "flat"]


def test_a_threshold_may_concern_one_type_of_sensor() -> None:
    data = np.zeros((1, 3, 10))
    data[0, 2, 0] = 1.0
    given = Windows(data, 10.0, 0.0, SENSORS)
    assert Rejection(peak_to_peak_v={"eeg": 0.5}).reasons(given).tolist() == [""]
    assert Rejection(peak_to_peak_v={"eog": 0.5}).reasons(given).tolist() == ["peak_to_peak"]


def test_a_rejection_without_thresholds_is_refused() -> None:
    with pytest.raises(ConfigError, match="positive thresholds"):
        Rejection()


def test_long_noise_is_normalised_to_unit_covariance() -> None:
    rng = np.random.default_rng(0)
    mixing = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 3.0]])
    given = windows(mixing @ rng.standard_normal((20, 3, 10_000)), stimulus="x", subject="1", session="1")
    step = NoiseNormalisation()
    step.fit(given)
    whitened = step.apply(given).data.swapaxes(0, 1).reshape(3, -1)
    np.testing.assert_allclose(np.cov(whitened), np.eye(3), atol=0.02)


def test_two_equal_repetitions_have_no_noise_in_time_mode() -> None:
    trials = np.repeat(np.random.default_rng(0).standard_normal((4, 3, 10)), 2, axis=0)
    np.testing.assert_allclose(noise_covariance(trials, np.repeat(np.arange(4), 2), mode="time"), 0, atol=1e-15)


def test_time_mode_without_repetitions_is_refused() -> None:
    with pytest.raises(DataError, match="Use mode: epochs"):
        noise_covariance(np.ones((3, 2, 5)), np.arange(3), mode="time")


def test_unequal_numbers_of_repetitions_weigh_every_condition_alike() -> None:
    rng = np.random.default_rng(0)
    trials, conditions = rng.standard_normal((7, 3, 40)), np.array([0, 0, 1, 1, 1, 1, 1])
    single = [mean_shrinkage_covariance(trials[conditions == c].swapaxes(1, 2)) for c in (0, 1)]
    np.testing.assert_allclose(noise_covariance(trials, conditions), np.mean(single, axis=0), atol=1e-12)


def test_a_singular_noise_covariance_is_refused_with_the_cause() -> None:
    with pytest.raises(DataError, match="average reference"):
        inverse_square_root(np.ones((3, 3)))


def test_volts_beside_tesla_are_whitened_as_if_both_had_unit_size() -> None:
    data = np.random.default_rng(0).standard_normal((40, 3, 30))
    units = np.array([1e-5, 1e-5, 1e-13])[:, None]
    space = Sensors(("A", "B", "M"), ("eeg", "eeg", "mag"))
    table = pd.DataFrame({"stimulus": "x", "subject": "1", "session": "1"}, index=range(40))
    step = NoiseNormalisation()
    given = Windows(data * units, 10.0, 0.0, space, table)
    step.fit(given)
    whitened = step.apply(given).data
    np.testing.assert_allclose(np.cov(np.concatenate(list(whitened), axis=1)), np.eye(3), atol=0.12)
    restored = NoiseNormalisation()
    restored.load_state(step.state() or {})
    assert np.array_equal(restored.apply(given).data, whitened)


def test_an_unseen_session_is_refused_where_told() -> None:
    step = NoiseNormalisation(unseen="refuse")
    step.fit(windows(np.random.default_rng(0).standard_normal((9, 3, 20)), stimulus="x", subject="1", session="1"))
    with pytest.raises(DataError, match="unseen: pooled"):
        step.apply(windows(np.zeros((1, 3, 20)), stimulus="x", subject="1", session="2"))


def test_aligned_training_windows_have_identity_covariance_in_each_domain() -> None:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((40, 3, 50)) * np.repeat([1.0, 7.0], 20)[:, None, None]
    given = windows(data, subject=np.repeat(["1", "2"], 20))
    step = EuclideanAlignment()
    step.fit(given)
    aligned = step.apply(given).data
    for part in (aligned[:20], aligned[20:]):
        flat = part.swapaxes(0, 1).reshape(3, -1)
        np.testing.assert_allclose(flat @ flat.T / flat.shape[1], np.eye(3), atol=1e-12)


def test_an_unseen_domain_may_be_aligned_by_its_own_windows() -> None:
    rng = np.random.default_rng(0)
    step = EuclideanAlignment(unseen="own")
    step.fit(windows(rng.standard_normal((20, 3, 50)), subject="1"))
    flat = step.apply(windows(5 * rng.standard_normal((20, 3, 50)), subject="2")).data.swapaxes(0, 1).reshape(3, -1)
    np.testing.assert_allclose(flat @ flat.T / flat.shape[1], np.eye(3), atol=1e-12)
    assert not step.is_causal


def test_steps_that_use_all_that_is_scored_are_transductive() -> None:
    lists = {
        "signal_steps": [
            {"step": "bandpass", "settings": {"low_hz": 1.0}},
            {"step": "zscore_recording"},
            {"step": "interpolate_bads", "settings": {"detect": False}},
        ],
        "window_steps": [{"step": "zscore"}, {"step": "euclidean_alignment", "settings": {"unseen": "own"}}],
    }
    steps = Preprocessing.from_json(lists)
    assert steps.transductive_steps == ("zscore_recording", "euclidean_alignment")
    lists["window_steps"][1]["settings"] = {"unseen": "pooled"}
    assert Preprocessing.from_json(lists).transductive_steps == ("zscore_recording",)
