"""Noise normalisation of a tenth of a THINGS-EEG2 session, against one scikit-learn covariance after the other.

The peer is the order of operations of the published code: one scikit-learn covariance after the other. In `time` mode
it runs on a slice, because the whole takes minutes; `peer_s` is then that time multiplied by what was left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from brain_decode.preprocessing.noise_normalisation import noise_covariance
from brain_decode.preprocessing.whitening import inverse_square_root
from brain_decode.training.pilots import timed

CONDITIONS, REPETITIONS, CHANNELS, TIMES = 827, 2, 63, 250
PEER_CONDITIONS = {"epochs": 827, "time": 8}


def shrunk(samples: np.ndarray) -> np.ndarray:
    """Return one shrinkage covariance of (sample, channel), as scikit-learn's discriminant analysis forms it."""
    scaler = StandardScaler().fit(samples)
    covariance = ledoit_wolf(scaler.transform(samples))[0]
    return scaler.scale_[:, None] * covariance * scaler.scale_[None, :]


def peer_covariance(trials: np.ndarray, mode: str) -> np.ndarray:
    """Return the covariance of (condition, repetition, channel, time) responses, one matrix after the other."""
    if mode == "epochs":
        each = [np.mean([shrunk(trial.T) for trial in condition], axis=0) for condition in trials]
    else:
        each = [np.mean([shrunk(condition[:, :, t]) for t in range(TIMES)], axis=0) for condition in trials]
    return np.mean(each, axis=0)


def whitened(windows: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the windows whitened by a covariance."""
    return inverse_square_root(covariance) @ windows


def measure() -> Iterator[dict[str, Any]]:
    """Yield seconds of both modes."""
    trials = np.random.default_rng(0).standard_normal((CONDITIONS, REPETITIONS, CHANNELS, TIMES))
    flat, shown = trials.reshape(-1, CHANNELS, TIMES), np.repeat(np.arange(CONDITIONS), REPETITIONS)
    for mode, count in PEER_CONDITIONS.items():
        ours_s, covariance = timed(partial(noise_covariance, flat, shown, mode=mode))
        whitening_s, _ = timed(partial(whitened, flat, covariance))
        slice_s, peer = timed(partial(peer_covariance, trials[:count], mode))
        same = noise_covariance(flat[: count * REPETITIONS], shown[: count * REPETITIONS], mode=mode)
        yield {
            "name": f"covariance, {mode}",
            "value": round(ours_s, 3),
            "unit": "s",
            "with_whitening_s": round(ours_s + whitening_s, 3),
            "peer_s": round(slice_s * CONDITIONS / count, 2),
            "peer_measured_on": f"{count} of {CONDITIONS} conditions",
            "largest_difference": float(np.abs(same - peer).max()),
        }
