"""Filters and resampling of continuous recordings, by MNE; causal variants by scipy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from scipy import signal as scipy_signal

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, unknown_option
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.reach import response_reach_s

__all__ = ["BandPass", "Notch", "Resample"]

_ORDER = 4  # of the causal Butterworth filter
_METHODS = ("zero_phase", "causal")
_SINC_LOBES = 318  # 1 / (pi x) is below a thousandth from here on
_NOTCH_QUALITY = 30.0  # centre frequency over width of the causal notch


@dataclass
class BandPass(SignalStep):
    """Keep a frequency band.

    Args:
        low_hz: Lower edge of the pass band; None keeps slow drifts.
        high_hz: Upper edge; None keeps everything up to half the rate.
        method: "zero_phase" (MNE's FIR filter, looks ahead) or "causal" (Butterworth of order 4, delays). The causal
            filter starts as if the first sample had lasted forever, so that an offset leaves no transient. For a linear
            filter that is the response to the signal less its first sample, plus the settled answer to that sample: 0
            where slow drifts are removed, else the sample. A stream subtracts the first sample of the stream.
    """

    name = "bandpass"
    is_channelwise = True

    low_hz: float | None = None
    high_hz: float | None = None
    method: str = "zero_phase"

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise unknown_option("filter method", self.method, _METHODS)
        if self.low_hz is None and self.high_hz is None:
            raise ConfigError("bandpass needs low_hz, high_hz or both.")
        if any(edge is not None and edge <= 0 for edge in (self.low_hz, self.high_hz)):
            raise ConfigError(f"bandpass edges are positive; got {self.low_hz} and {self.high_hz} Hz.")
        if self.low_hz is not None and self.high_hz is not None and self.low_hz >= self.high_hz:
            raise ConfigError(f"bandpass needs low_hz below high_hz; got {self.low_hz} and {self.high_hz} Hz.")

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True for the causal method."""
        return self.method == "causal"

    def apply(self, signal: Continuous) -> Continuous:
        """Return the filtered signal.

        Raises:
            SpecMismatch: An edge reaches half the sampling rate.
            DataError: Samples that are not finite.
        """
        _require_finite(self.name, signal)
        self._require_below_half(signal.rate_hz)
        if self.is_causal:
            return self._causal(signal)
        from mne.filter import filter_data

        filtered = filter_data(signal.data, signal.rate_hz, self.low_hz, self.high_hz, copy=True, verbose="ERROR")
        return signal.with_data(filtered)

    def _causal(self, signal: Continuous) -> Continuous:
        if not signal.data.size:
            return signal
        first = signal.data[:, :1]
        rest = scipy_signal.sosfilt(self._sections(signal.rate_hz), signal.data - first, axis=1)
        return signal.with_data(rest if self.low_hz is not None else rest + first)

    def reach_s(self, rate_hz: float) -> float:
        """Return half the length of MNE's filter, or the time in which the causal one settles."""
        self._require_below_half(rate_hz)
        if self.is_causal:
            sections = self._sections(rate_hz)
            return response_reach_s(partial(scipy_signal.sosfilt, sections), rate_hz)
        return _half_filter_s(rate_hz, self.low_hz, self.high_hz)

    def _require_below_half(self, rate_hz: float) -> None:
        for setting, edge, which in (("high_hz", self.high_hz, "up to"), ("low_hz", self.low_hz, "from")):
            if edge is not None and edge >= rate_hz / 2:
                raise SpecMismatch(
                    f"bandpass {which} {edge:g} Hz needs more than {2 * edge:g} samples per second; the recording has "
                    f"{rate_hz:g} Hz. Lower {setting}."
                )

    def _sections(self, rate_hz: float) -> np.ndarray:
        if self.low_hz is None or self.high_hz is None:
            edge = self.low_hz if self.high_hz is None else self.high_hz
            kind: Literal["highpass", "lowpass"] = "highpass" if self.high_hz is None else "lowpass"
            return scipy_signal.butter(_ORDER, float(edge or 0.0), kind, fs=rate_hz, output="sos")
        return scipy_signal.butter(_ORDER, [self.low_hz, self.high_hz], "bandpass", fs=rate_hz, output="sos")


@dataclass
class Notch(SignalStep):
    """Remove the mains frequency and its harmonics.

    Args:
        line_hz: 50 or 60 in most places.
        method: "zero_phase" (MNE's FIR filter) or "causal" (second-order notches, started as if the first sample had
            lasted forever; see `BandPass`).
    """

    name = "notch"
    is_channelwise = True

    line_hz: float
    method: str = "zero_phase"

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            raise unknown_option("filter method", self.method, _METHODS)
        if self.line_hz <= 0:
            raise ConfigError(f"notch needs a positive line_hz, got {self.line_hz}.")

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True for the causal method."""
        return self.method == "causal"

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal without the line frequency; harmonics from half the rate on do not exist.

        Raises:
            DataError: Samples that are not finite.
        """
        _require_finite(self.name, signal)
        harmonics = self._harmonics_hz(signal.rate_hz)
        if not len(harmonics):
            return signal
        if not self.is_causal:
            from mne.filter import notch_filter

            return signal.with_data(notch_filter(signal.data, signal.rate_hz, harmonics, copy=True, verbose="ERROR"))
        first = signal.data[:, :1]
        data = signal.data - first
        for harmonic in harmonics:
            numerator, denominator = scipy_signal.iirnotch(harmonic, _NOTCH_QUALITY, fs=signal.rate_hz)
            data = scipy_signal.lfilter(numerator, denominator, data, axis=1)
        return signal.with_data(data + first)

    def reach_s(self, rate_hz: float) -> float:
        """Return half the length of MNE's filter, or the time in which the causal notches settle one after another."""
        harmonics = self._harmonics_hz(rate_hz)
        if not len(harmonics):
            return 0.0
        if not self.is_causal:
            return _half_filter_s(rate_hz, None, None, stop_hz=harmonics)
        notches = [scipy_signal.iirnotch(harmonic, _NOTCH_QUALITY, fs=rate_hz) for harmonic in harmonics]
        return sum(response_reach_s(partial(scipy_signal.lfilter, *notch), rate_hz) for notch in notches)

    def _harmonics_hz(self, rate_hz: float) -> np.ndarray:
        multiples = np.arange(self.line_hz, rate_hz / 2, self.line_hz)
        # MNE's stop band reaches half a 200th of its centre and half a hertz beyond it.
        return multiples[multiples * (1 + 0.5 / 200) + 1 < rate_hz / 2]


@dataclass
class Resample(SignalStep):
    """Change the sampling rate as `mne.io.Raw.resample` does: by FFT, which filters against aliasing.

    Where the padding is not a whole number of new samples, MNE places the result up to half a new sample off.

    Args:
        rate_hz: New rate.
    """

    name = "resample"
    is_channelwise = True
    is_causal = False

    rate_hz: float

    def __post_init__(self) -> None:
        if self.rate_hz <= 0:
            raise ConfigError(f"resample needs a positive rate_hz, got {self.rate_hz}.")

    def apply(self, signal: Continuous) -> Continuous:
        """Return the resampled signal; one that has the rate already is returned as it is.

        Raises:
            DataError: Samples that are not finite.
        """
        _require_finite(self.name, signal)
        if abs(signal.rate_hz - self.rate_hz) < 1e-9:
            return signal
        from mne.filter import resample

        data = resample(signal.data, up=self.rate_hz, down=signal.rate_hz, axis=1, npad="auto", verbose="ERROR")
        return replace(signal, data=data, rate_hz=self.rate_hz)

    def reach_s(self, rate_hz: float) -> float:
        """Return the time after which the sinc of the lower rate stays below a thousandth of its peak."""
        if abs(rate_hz - self.rate_hz) < 1e-9:
            return 0.0
        return _SINC_LOBES / min(rate_hz, self.rate_hz)

    def rate_after_hz(self, rate_hz: float) -> float:
        """Return the new rate."""
        return self.rate_hz


def _half_filter_s(
    rate_hz: float, low_hz: float | None, high_hz: float | None, *, stop_hz: np.ndarray | None = None
) -> float:
    """Return half the length of the filter that MNE designs for these edges, or for notches at `stop_hz`."""
    from mne.filter import create_filter

    edges: dict[str, Any] = {"l_freq": low_hz, "h_freq": high_hz}
    if stop_hz is not None:  # as `mne.filter.notch_filter` asks for
        beyond = stop_hz / 200 / 2 + 0.5
        edges = {"l_freq": stop_hz + beyond, "h_freq": stop_hz - beyond}
        edges |= {"l_trans_bandwidth": 0.5, "h_trans_bandwidth": 0.5}
    return (len(create_filter(None, rate_hz, **edges, verbose="ERROR")) // 2) / rate_hz


def _require_finite(step: str, signal: Continuous) -> None:
    finite = np.isfinite(signal.data).all(axis=1)
    if not finite.all():
        bad = [name for name, good in zip(signal.sensors.names, finite, strict=True) if not good]
        raise DataError(f"{step} would spread NaN or infinite samples; channels {bad} hold some. Drop or repair them.")
