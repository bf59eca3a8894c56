"""Find channels that do not record the brain, and interpolate them from the others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import signal as scipy_signal

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.core.log import get_logger
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.mne_signal import (
    has_position,
    mne_info,
    mne_raw,
    require_positions,
    sensors_of,
)
from brain_decode.signals.sensors import BRAIN_SENSOR_TYPES, Sensors
from brain_decode.signals.spheres import fitted_sphere

__all__ = ["BadChannelSettings", "InterpolateBads", "find_bad_channels"]

_LOG = get_logger(__name__)
_FLAT_RATIO = 1e-3  # of the median channel: no sensor on a head is a thousand times quieter than the others
_SMALLEST_SPREAD = 0.1  # of log amplitudes; channels closer than this are alike, however alike the others are
_QUARTILE_TO_DEVIATION = 0.7413  # standard deviation of a normal distribution over its interquartile range
_FEWEST_CHANNELS = 8  # a channel is compared with others of its type only where there are this many
_CORRELATION_BAND_HZ = (1.0, 40.0)
_CORRELATION_QUANTILE = 0.98  # of the absolute correlations with the other channels, Bigdely-Shamlo et al. 2015
_CHUNK_VALUES = 1 << 22  # float64 values of correlations held at once
_INTERPOLATED = ("eeg", "mag", "grad", "seeg", "ecog")


@dataclass(frozen=True)
class BadChannelSettings:
    """What makes a channel bad.

    Args:
        amplitude_z: Robust z-score of the log amplitude within the channels of one type; either side.
        min_correlation: A second is bad where the channel correlates less than this with every other one.
        bad_seconds_share: A channel is bad where more than this share of its seconds is.
        line_hz: Mains frequency; None does not look for it.
        line_z: Robust z-score of the log ratio of mains to brain amplitude.

    Source: Bigdely-Shamlo et al. 2015 (PREP). Differs: a tenth instead of a hundredth of the seconds may be
    uncorrelated, so that one movement condemns no channel; the ratio is that of the mains, not of all above 50 Hz; no
    RANSAC.
    """

    amplitude_z: float = 5.0
    min_correlation: float = 0.4
    bad_seconds_share: float = 0.1
    line_hz: float | None = None
    line_z: float = 5.0

    def __post_init__(self) -> None:
        if self.amplitude_z <= 0 or self.line_z <= 0:
            raise ConfigError(f"Thresholds in z-scores are positive; got {self.amplitude_z} and {self.line_z}. Use 5.")
        if not 0 <= self.min_correlation < 1 or not 0 <= self.bad_seconds_share <= 1:
            raise ConfigError(
                "min_correlation lies in [0, 1) and bad_seconds_share in [0, 1]; got "
                f"{self.min_correlation} and {self.bad_seconds_share}."
            )
        if self.line_hz is not None and self.line_hz <= 0:
            raise ConfigError(f"line_hz is positive, 50 or 60 in most places; got {self.line_hz}.")


def find_bad_channels(
    samples: np.ndarray, rate_hz: float, sensors: Sensors, settings: BadChannelSettings | None = None
) -> dict[str, str]:
    """Return the name of each bad channel with the reason; only channels that measure the brain are looked at.

    Amplitude, correlation and mains compare channels of one type, where there are at least eight; correlation needs
    two seconds. Look before an average reference, which spreads a noisy channel over all.

    Args:
        samples: (channel, time), SI units.
        rate_hz: Samples per second.
        sensors: The channels.
        settings: Thresholds.

    Raises:
        DataError: Samples that do not fit the sensors.
    """
    if samples.ndim != 2 or len(samples) != len(sensors) or samples.shape[1] < 2:
        raise DataError(
            f"Bad channels are sought in samples (channel, time) of {len(sensors)} channels; got shape {samples.shape}."
        )
    settings = settings or BadChannelSettings()
    kinds = np.array(sensors.types)
    found: dict[int, str] = {}
    for kind in BRAIN_SENSOR_TYPES:
        found |= _of_one_type(samples, np.flatnonzero(kinds == kind), rate_hz, settings)
    return {sensors.names[index]: found[index] for index in sorted(found)}


def _of_one_type(
    samples: np.ndarray, members: np.ndarray, rate_hz: float, settings: BadChannelSettings
) -> dict[int, str]:
    """Return reasons by channel index; the first reason found is the one given."""
    found = {int(index): "not finite" for index in members[~np.isfinite(samples[members]).all(axis=1)]}
    members = _without(members, found)
    if not len(members):
        return found
    deviation = samples[members].std(axis=1)
    flat = deviation <= _FLAT_RATIO * np.median(deviation)
    found |= {int(index): "flat" for index in members[flat]}
    members = _without(members, found)
    if len(members) < _FEWEST_CHANNELS:
        return found
    lower, upper = np.percentile(samples[members], [25, 75], axis=1)
    robust = _QUARTILE_TO_DEVIATION * (upper - lower)
    # A channel that is quiet for most of the time has no interquartile range; its deviation stands in.
    amplitude_z = _robust_z(np.log(np.where(robust > 0, robust, samples[members].std(axis=1))))
    for index, value in _beyond(members, np.abs(amplitude_z) > settings.amplitude_z, amplitude_z):
        found[index] = f"amplitude {'above' if value > 0 else 'below'} the others, z = {value:.1f}"
    share = _uncorrelated_share(samples[members], rate_hz, settings.min_correlation)
    for index, value in _beyond(members, share > settings.bad_seconds_share, share):
        found.setdefault(index, f"uncorrelated with the others in {value:.0%} of the seconds")
    if settings.line_hz is not None and settings.line_hz + 1 < rate_hz / 2:
        line_z = _robust_z(_log_line_ratio(samples[members], rate_hz, settings.line_hz))
        for index, value in _beyond(members, line_z > settings.line_z, line_z):
            found.setdefault(index, f"mains noise at {settings.line_hz:g} Hz, z = {value:.1f}")
    return found


def _without(members: np.ndarray, found: Mapping[int, str]) -> np.ndarray:
    return members[~np.isin(members, list(found))]


def _beyond(members: np.ndarray, is_bad: np.ndarray, values: np.ndarray) -> list[tuple[int, float]]:
    return [(int(members[i]), float(values[i])) for i in np.flatnonzero(is_bad)]


def _robust_z(values: np.ndarray) -> np.ndarray:
    lower, middle, upper = np.percentile(values, [25, 50, 75])
    return (values - middle) / max(_QUARTILE_TO_DEVIATION * (upper - lower), _SMALLEST_SPREAD)


def _uncorrelated_share(samples: np.ndarray, rate_hz: float, threshold: float) -> np.ndarray:
    """Return the share of seconds in which a channel correlates with no other one; zeros below two seconds."""
    n_channels, length = len(samples), round(rate_hz)
    n_seconds = samples.shape[1] // length
    low_hz, high_hz = _CORRELATION_BAND_HZ
    if n_seconds < 2 or low_hz >= 0.4 * rate_hz:
        return np.zeros(n_channels)
    sections = scipy_signal.butter(2, [low_hz, min(high_hz, 0.4 * rate_hz)], "bandpass", fs=rate_hz, output="sos")
    filtered = scipy_signal.sosfiltfilt(sections, samples, axis=1)[:, : n_seconds * length]
    seconds = filtered.reshape(n_channels, n_seconds, length).swapaxes(0, 1)
    chunk = max(1, _CHUNK_VALUES // (n_channels * max(n_channels, length)))
    n_bad = sum((_uncorrelated(seconds[i : i + chunk], threshold) for i in range(0, n_seconds, chunk)), start=0)
    return n_bad / n_seconds


def _uncorrelated(seconds: np.ndarray, threshold: float) -> np.ndarray:
    """Return in how many of (second, channel, time) each channel correlates with no other one."""
    centred = seconds - seconds.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(centred, axis=2, keepdims=True)
    standard = np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
    n_channels = seconds.shape[1]
    correlations = np.abs(standard @ standard.swapaxes(1, 2))
    others = correlations[:, ~np.eye(n_channels, dtype=bool)].reshape(-1, n_channels, n_channels - 1)
    return (np.quantile(others, _CORRELATION_QUANTILE, axis=2) < threshold).sum(axis=0)


def _log_line_ratio(samples: np.ndarray, rate_hz: float, line_hz: float) -> np.ndarray:
    """Return the log ratio of the amplitude within 1 Hz of the mains to that from 1 Hz up to below the mains."""
    length = min(samples.shape[1], round(2 * rate_hz))
    frequencies, power = scipy_signal.welch(samples, rate_hz, nperseg=length, axis=1)
    is_line = np.abs(frequencies - line_hz) <= 1
    is_brain = (frequencies >= 1) & (frequencies < min(line_hz - 2, _CORRELATION_BAND_HZ[1]))
    tiny = np.finfo(np.float64).tiny
    return 0.5 * np.log((power[:, is_line].sum(axis=1) + tiny) / (power[:, is_brain].sum(axis=1) + tiny))


@dataclass
class InterpolateBads(SignalStep):
    """Replace bad channels by what the others say about them: spherical splines (EEG, ECoG), field maps (MEG).

    Bad are the channels that the files mark, and those that `find_bad_channels` finds in this recording. Channels keep
    their order. Depth electrodes are interpolated along their shaft. All of it is MNE's.

    Args:
        detect: Look for bad channels; False takes the marked ones only, and is causal.
        max_share: More bad channels than this share of a sensor type are an error.
        amplitude_z: See `BadChannelSettings`, like those below.
        min_correlation: Least correlation with any other channel.
        bad_seconds_share: Share of seconds that may be uncorrelated.
        line_hz: Mains frequency; None takes it from the recording's header, if it is there.
        line_z: Threshold for mains noise.

    Source: Perrin et al. 1989 (splines); Bigdely-Shamlo et al. 2015 (detection).
    """

    name = "interpolate_bads"
    repairs_samples = True
    uses_everything = "looks for bad channels in the whole recording (detect: false takes the marked ones only)"

    detect: bool = True
    max_share: float = 0.25
    amplitude_z: float = 5.0
    min_correlation: float = 0.4
    bad_seconds_share: float = 0.1
    line_hz: float | None = None
    line_z: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.max_share < 1:
            raise ConfigError(f"max_share of interpolate_bads lies between 0 and 1; got {self.max_share}.")
        self._criteria()

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True where nothing is looked for: the splines mix channels at one time only."""
        return not self.detect

    @property
    def is_transductive(self) -> bool:  # type: ignore[override]
        """True where bad channels are looked for in the recording."""
        return self.detect

    def reach_s(self, rate_hz: float) -> float:
        """Return zero where channels are marked beforehand, infinity where they are found in the recording."""
        return math.inf if self.detect else 0.0

    def find(self, signal: Continuous) -> dict[str, str]:
        """Return the name of each channel that would be interpolated, with the reason; for reports."""
        sensors = sensors_of(self.name, signal)
        found = dict.fromkeys(signal.bads, "marked as bad in the files")
        if self.detect:
            criteria = self._criteria()
            if criteria.line_hz is None and signal.header is not None:
                criteria = replace(criteria, line_hz=signal.header["line_freq"])
            for name, reason in find_bad_channels(signal.data, signal.rate_hz, sensors, criteria).items():
                found.setdefault(name, reason)
        kinds = dict(zip(sensors.names, sensors.types, strict=True))
        return {name: found[name] for name in kinds if name in found and kinds[name] in BRAIN_SENSOR_TYPES}

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal with its bad channels interpolated, and none marked as bad.

        Raises:
            DataError: Too many bad channels of a type, positions that are missing, or a type that cannot be
                interpolated.
        """
        found = self.find(signal)
        if not found:
            return replace(signal, bads=())
        self._require_possible(sensors_of(self.name, signal), found)
        note = "interpolated " + "; ".join(f"{name} ({why})" for name, why in found.items())
        _LOG.info("%s.", note)
        kinds, is_bad = np.array(signal.sensors.types), np.isin(signal.sensors.names, list(found))
        data = signal.data.copy()
        # One modality at a time: MNE 1.13 takes indices of depth electrodes for indices of channels.
        for modality in (("eeg",), ("mag", "grad"), ("seeg",), ("ecog",)):
            members = np.flatnonzero(np.isin(kinds, modality))
            if is_bad[members].any():
                bads = members[is_bad[members]]
                data[bads] = _interpolated(signal, members, is_bad[members])[is_bad[members]]
        return replace(signal, data=data, bads=(), notes=(*signal.notes, note))

    def _criteria(self) -> BadChannelSettings:
        return BadChannelSettings(**{entry.name: getattr(self, entry.name) for entry in fields(BadChannelSettings)})

    def _require_possible(self, sensors: Sensors, found: Mapping[str, str]) -> None:
        kinds = np.array(sensors.types)
        is_bad = np.isin(sensors.names, list(found))
        for kind in sorted(set(kinds[is_bad])):
            members = np.flatnonzero(kinds == kind)
            if kind not in _INTERPOLATED:
                raise DataError(f"interpolate_bads cannot interpolate {kind} channels; drop {list(found)} instead.")
            if is_bad[members].mean() > self.max_share:
                raise DataError(
                    f"{is_bad[members].sum()} of {len(members)} {kind} channels are bad ({dict(found)}), more than the "
                    f"share {self.max_share:g} that interpolate_bads allows. Exclude the recording, or raise max_share."
                )
            require_positions(self.name, sensors, members)


def _interpolated(signal: Continuous, members: np.ndarray, is_bad: np.ndarray) -> np.ndarray:
    """Return the channels of one modality, (member, time), with the bad ones interpolated by MNE.

    Raises:
        DataError: MNE cannot, as where a shaft has too few good contacts.
    """
    # MNE multiplies by zero, which does not remove NaN.
    cleaned = np.where(is_bad[:, None], 0.0, signal.data[members])
    alone = replace(signal, data=cleaned, sensors=signal.sensors.pick(members), bads=())
    info = mne_info(alone)
    info["bads"] = [alone.sensors.names[index] for index in np.flatnonzero(is_bad)]
    method = {kind: "MNE" if kind == "meg" else "spline" for kind in ("eeg", "meg", "seeg", "ecog")}
    try:
        repaired = mne_raw(alone, info).interpolate_bads(origin=_origin(alone), method=method, verbose="ERROR")
    except (RuntimeError, ValueError, IndexError) as error:  # IndexError: MNE found no contacts on one line
        raise DataError(
            f"interpolate_bads cannot interpolate {info['bads']} ({error}). Depth electrodes need good contacts on one "
            "straight shaft, no two at one place. Drop these channels instead."
        ) from error
    return repaired.get_data()


def _origin(signal: Continuous) -> str | np.ndarray:
    """Return the centre of the head: from digitised points where the header has them, else from the sensors."""
    if signal.header is not None and len(signal.header["dig"] or ()) >= _FEWEST_CHANNELS:
        return "auto"
    sensors = sensors_of(InterpolateBads.name, signal)
    on_sphere = np.isin(sensors.types, ("eeg", "ecog")) & has_position(sensors)
    return fitted_sphere(sensors.positions_m[on_sphere])[0]
