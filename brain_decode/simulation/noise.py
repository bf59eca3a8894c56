"""Everything a recording holds besides the response: brain background, alpha, mains, blinks, drifts, sensor noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mne
import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq
from scipy.signal import oaconvolve

from brain_decode.simulation.forward import BRAIN_RADIUS_M, HEAD_CENTRE_M, HELMETS, gain_matrix

__all__ = ["NoiseFields", "background", "coloured_noise", "noise_fields", "sensor_noise"]

_BRAIN_DIPOLES = 80
_ALPHA_DIPOLES = 6
_EYE_M = ((0.032, 0.090, 0.0), (-0.032, 0.090, 0.0))  # positions of the eyes relative to the head centre
_BLINKS_PER_S = 0.15
_MAINS_HZ = 50.0
_EEG_NOISE_V = 1.0e-6
_BLINK_V, _BLINK_T = 1.0e-4, 2.0e-12
_MAINS_V, _MAINS_T = 2.0e-6, 3.0e-13
_DRIFT_V, _DRIFT_T = 1.5e-5, 6.0e-13


@dataclass(frozen=True)
class NoiseFields:
    """What noise looks like at the sensors of one kind.

    Args:
        brain: (channel, dipole) gain of background sources.
        alpha: (channel, dipole) gain of occipital alpha sources.
        blink: (channel,) field of a blink at its peak.
        mains: (channel,) amplitude of the mains.
        drift: Deviation of slow drifts.
        sensor: Deviation of the sensors' own noise.
    """

    brain: np.ndarray
    alpha: np.ndarray
    blink: np.ndarray
    mains: np.ndarray
    drift: float
    sensor: float


def noise_fields(info: mne.Info, random: np.random.Generator, system: str = "opm") -> NoiseFields:
    """Return the noise fields of a laboratory; background sources are spread over the brain by `random`."""
    is_meg = "mag" in info.get_channel_types(unique=True)
    direction = _unit(random.normal(size=(_BRAIN_DIPOLES, 3)))
    occipital = _unit(np.array([0.0, -1.0, 0.15]) + random.normal(0, 0.25, (_ALPHA_DIPOLES, 3)))
    depth = random.uniform(0.35, 0.9, (_BRAIN_DIPOLES, 1))
    places = np.concatenate([depth * direction, 0.75 * occipital]) * BRAIN_RADIUS_M + np.array(HEAD_CENTRE_M)
    gain = gain_matrix(info, places, _unit(random.normal(size=(len(places), 3))))
    sensors_m = np.array([channel["loc"][:3] for channel in info["chs"]]) - np.array(HEAD_CENTRE_M)
    near = np.exp(-(((sensors_m[:, None] - np.array(_EYE_M)) / 0.05) ** 2).sum(axis=2)).sum(axis=1)
    spread = random.uniform(0.3, 1.0, len(info.ch_names))
    return NoiseFields(
        brain=gain[:, :_BRAIN_DIPOLES],
        alpha=gain[:, _BRAIN_DIPOLES:],
        blink=near * (_BLINK_T * np.sign(sensors_m[:, 0]) if is_meg else _BLINK_V),
        mains=spread * (_MAINS_T if is_meg else _MAINS_V),
        drift=_DRIFT_T if is_meg else _DRIFT_V,
        sensor=HELMETS[system].noise_t if is_meg else _EEG_NOISE_V,
    )


def coloured_noise(
    shape: tuple[int, int], rate_hz: float, power: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return (signal, time) noise of unit variance with a given power at each frequency.

    Args:
        shape: Signals and samples.
        rate_hz: Samples per second.
        power: At the frequencies `rfftfreq(next_fast_len(samples), 1 / rate_hz)`.
        random: Source of randomness.
    """
    signals, samples = shape
    length = next_fast_len(samples, real=True)
    amplitude = np.sqrt(power)
    spectrum = random.standard_normal((signals, len(power), 2)).view(complex)[..., 0] * amplitude
    noise = irfft(spectrum, n=length, axis=1)[:, :samples]
    # Expected variance of the inverse transform; both ends of the spectrum are negligible.
    return noise * (length / np.sqrt(4 * power.sum()))


def background(samples: int, rate_hz: float, random: np.random.Generator) -> Mapping[str, np.ndarray]:
    """Return the noise sources of one run, shared by all its sensors.

    Returns:
        "brain" and "alpha" (dipole, time) of unit variance, "blink" (time,) with peaks of about 1, "mains" (time,).
    """
    frequencies = rfftfreq(next_fast_len(samples, real=True), 1 / rate_hz)
    pink = 1 / np.maximum(frequencies, 0.3) ** 1.2
    alpha = np.exp(-0.5 * ((frequencies - 10.0) / 0.7) ** 2)
    times = np.arange(samples) / rate_hz
    return {
        "brain": coloured_noise((_BRAIN_DIPOLES, samples), rate_hz, pink, random),
        "alpha": coloured_noise((_ALPHA_DIPOLES, samples), rate_hz, alpha, random),
        "blink": _blinks(samples, rate_hz, random),
        "mains": np.sin(2 * np.pi * _MAINS_HZ * times + random.uniform(0, 2 * np.pi)),
    }


def sensor_noise(
    sources: Mapping[str, np.ndarray],
    fields: NoiseFields,
    moments: Mapping[str, float],
    rate_hz: float,
    random: np.random.Generator,
) -> np.ndarray:
    """Return (channel, time) noise in V or T.

    Args:
        sources: Of `background`.
        fields: What they look like at these sensors.
        moments: Deviation of the "brain" and "alpha" dipoles in A m.
        rate_hz: Samples per second.
        random: Source of the sensors' own noise.
    """
    channels, samples = len(fields.blink), len(sources["blink"])
    frequencies = rfftfreq(next_fast_len(samples, real=True), 1 / rate_hz)
    slow = np.where((frequencies > 0) & (frequencies < 0.3), 1 / np.maximum(frequencies, 0.02) ** 2, 0.0)
    slow[1] += 1e-12  # a run too short for a slow drift gets its lowest frequency
    noise = fields.brain * moments["brain"] @ sources["brain"]
    noise += fields.alpha * moments["alpha"] @ sources["alpha"]
    noise += np.outer(fields.blink, sources["blink"]) + np.outer(fields.mains, sources["mains"])
    noise += fields.drift * coloured_noise((channels, samples), rate_hz, slow, random)
    noise += fields.sensor * random.standard_normal((channels, samples))
    return noise


def _blinks(samples: int, rate_hz: float, random: np.random.Generator) -> np.ndarray:
    """Return blinks at random times, with a refractory period given by their own length of 0.3 s."""
    times = np.arange(round(0.3 * rate_hz)) / rate_hz
    shape = np.sin(np.pi * times / 0.3) ** 2
    starts = random.random(samples) < _BLINKS_PER_S / rate_hz
    return oaconvolve(starts * random.uniform(0.7, 1.3, samples), shape)[:samples]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
