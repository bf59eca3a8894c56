"""How large a signal is, and whether that is possible for what it claims to be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from brain_decode.signals.recording import Recording

__all__ = ["amplitude_sample", "typical_amplitudes", "unit_factor_guess"]

# Lowest and highest believable, and usual, size of one second of signal (robust standard deviation), in SI units.
# Wide on purpose: electrode drift, movement and flat patients are real; a wrong prefix is a factor of a thousand.
_BELIEVABLE: Mapping[str, tuple[float, float, float]] = {
    "eeg": (1e-7, 5e-3, 2e-5),
    "ecog": (5e-7, 2e-2, 1e-4),
    "seeg": (5e-7, 2e-2, 1e-4),
    "dbs": (1e-7, 2e-2, 5e-5),
    "mag": (1e-14, 1e-9, 5e-13),
    "grad": (1e-13, 1e-8, 1e-11),
}
_PREFIX_FACTORS = tuple(10.0**power for power in (0, -3, -6, -9, -12, -15, 3, 6, 9, 12, 15))
_PARTS = 32  # pieces in which the spread is taken, so that slow drift does not count
_TO_STANDARD_DEVIATION = 1.4826  # of a normal distribution, from the median absolute deviation
_TRAINING_RATIO = 100.0  # a recording this much larger or smaller than the training data is in another unit
_SAMPLED_S = 30.0  # of a continuous recording, from its middle, to judge the amplitude
_SAMPLED_TRIALS = 64


def amplitude_sample(recording: Recording, rows: np.ndarray) -> np.ndarray:
    """Return (channel, time) samples from the middle of a recording, enough to judge its amplitude."""
    if not recording.continuous:
        n_trials = recording.source.n_trials
        chosen = np.linspace(0, n_trials - 1, min(n_trials, _SAMPLED_TRIALS)).astype(int)
        return recording.read_trials(chosen)[:, rows].transpose(1, 0, 2).reshape(len(rows), -1)
    length = min(recording.n_times, round(_SAMPLED_S * recording.rate_hz))
    start = (recording.n_times - length) // 2
    return recording.read(start, start + length)[rows]


def typical_amplitudes(samples: np.ndarray, types: Sequence[str]) -> dict[str, float]:
    """Return, per sensor type, the median over its channels of the robust standard deviation of short pieces.

    Args:
        samples: (channel, time) in the unit the recording claims; samples that are not finite are left out.
        types: Sensor type of each channel.

    Returns:
        Types in the order they first occur; those whose channels are flat or empty are left out.
    """
    spread = _spread(np.asarray(samples, dtype=float))
    kinds = np.asarray(types, dtype=object)
    medians = {kind: spread[kinds == kind] for kind in dict.fromkeys(types)}
    usable = {kind: values[np.isfinite(values) & (values > 0)] for kind, values in medians.items()}
    return {str(kind): float(np.median(values)) for kind, values in usable.items() if len(values)}


def unit_factor_guess(
    samples: np.ndarray, types: Sequence[str], trained: Mapping[str, float] | None = None
) -> float | None:
    """Return the power of a thousand that turns the samples into SI units, judged by how large they are.

    Microvolts that are labelled volts give 1e-6; samples of a believable size give 1.

    Args:
        samples: (channel, time) in the unit the recording claims.
        types: Sensor type of each channel; the most frequent type that can be judged decides.
        trained: Amplitude per type of the data a decoder was trained on (`typical_amplitudes`); where it is known, it
            is compared with instead of what is believable at all.

    Returns:
        The factor, or None where the size says nothing: no channel of a known type, or flat channels.
    """
    found = typical_amplitudes(samples, types)
    known = [kind for kind, _ in Counter(types).most_common() if kind in found]
    for kind in known:
        if trained and trained.get(kind):
            return _nearest_to(found[kind], float(trained[kind]))
        if kind in _BELIEVABLE:
            lowest, highest, usual = _BELIEVABLE[kind]
            return 1.0 if lowest <= found[kind] <= highest else _nearest_factor(found[kind], usual)
    return None


def _nearest_to(amplitude: float, trained: float) -> float:
    within = 1 / _TRAINING_RATIO < amplitude / trained < _TRAINING_RATIO
    return 1.0 if within else _nearest_factor(amplitude, trained)


def _nearest_factor(amplitude: float, usual: float) -> float:
    distances = [abs(np.log10(amplitude * factor / usual)) for factor in _PREFIX_FACTORS]
    return _PREFIX_FACTORS[int(np.argmin(distances))]


def _spread(samples: np.ndarray) -> np.ndarray:
    """Return (channel,) medians over pieces of the robust standard deviation within each piece."""
    n_channels, n_times = samples.shape
    length = max(n_times // _PARTS, min(n_times, 16))
    if length == 0:
        return np.full(n_channels, np.nan)
    pieces = samples[:, : n_times // length * length].reshape(n_channels, -1, length)
    if np.isfinite(pieces).all():
        deviation = np.abs(pieces - np.median(pieces, axis=2, keepdims=True))
        return _TO_STANDARD_DEVIATION * np.median(np.median(deviation, axis=2), axis=1)
    masked = np.ma.masked_invalid(pieces)
    deviation = np.ma.abs(masked - np.ma.median(masked, axis=2, keepdims=True))
    spread = np.ma.median(np.ma.median(deviation, axis=2), axis=1)
    return _TO_STANDARD_DEVIATION * np.ma.filled(spread.astype(float), np.nan)
