"""Time multivariate noise normalisation of a tenth of a THINGS-EEG2 session beside a textbook loop, as JSON lines.

827 training pictures shown twice and 20 test pictures shown 20 times, 63 channels, 250 samples. Both sides form the
covariance of both partitions and whiten both. The loop calls scikit-learn once per covariance on the first pictures of
each partition; its seconds for all of them are the measured ones times the number of covariances, and
`loop_is_extrapolated` says so.

Run: python scripts/benchmark_mvnn.py [--repetitions 5] [--loop-pictures 40]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time

import numpy as np
from sklearn.covariance import ledoit_wolf
from sklearn.preprocessing import StandardScaler

from brain_decode.preprocessing.noise_normalisation import inverse_square_root, noise_covariance

N_CHANNELS, N_TIMES = 63, 250
PARTITIONS = {"train": (827, 2), "test": (20, 20)}  # pictures, repetitions
PUBLISHED_S = {"epochs": 3.43, "time": 177.9}  # the authors' loop on two cores


def shrunk(samples: np.ndarray) -> np.ndarray:
    """Return the shrinkage covariance of (sample, channel), as scikit-learn's discriminant analysis forms it."""
    scaler = StandardScaler()
    covariance = ledoit_wolf(scaler.fit_transform(samples))[0]
    return scaler.scale_[:, None] * covariance * scaler.scale_


def looped_covariance(responses: np.ndarray, mode: str) -> np.ndarray:
    """Return the noise covariance of (picture, repetition, channel, time), one small matrix after the other."""
    axes = (0, 1, 3, 2) if mode == "epochs" else (0, 3, 1, 2)
    ordered = responses.transpose(axes)
    return np.mean([np.mean([shrunk(samples) for samples in picture], axis=0) for picture in ordered], axis=0)


def batched_covariance(responses: np.ndarray, mode: str) -> np.ndarray:
    """Return the same through the package."""
    trials = responses.reshape(-1, *responses.shape[2:])
    return noise_covariance(trials, np.repeat(np.arange(len(responses)), responses.shape[1]), mode=mode)


def measure(data: dict[str, np.ndarray], mode: str, repetitions: int, loop_pictures: int) -> dict[str, object]:
    """Return seconds of both sides and the largest relative difference of their covariances."""
    durations = []
    for _ in range(repetitions + 1):  # the first one warms up
        begin = time.perf_counter()
        covariances = {name: batched_covariance(part, mode) for name, part in data.items()}
        middle = time.perf_counter()
        whitener = inverse_square_root(covariances["train"])
        for part in data.values():
            whitener @ part
        durations.append((middle - begin, time.perf_counter() - begin))
    loop_s, difference = 0.0, 0.0
    for part in data.values():
        piece = part[:loop_pictures]
        begin = time.perf_counter()
        expected = looped_covariance(piece, mode)
        loop_s += (time.perf_counter() - begin) * len(part) / len(piece)
        error = np.abs(batched_covariance(piece, mode) - expected).max() / np.abs(expected).max()
        difference = max(difference, float(error))
    covariance_s, total_s = (statistics.median(column) for column in zip(*durations[1:], strict=True))
    return {
        "mode": mode,
        "covariance_s": round(covariance_s, 3),
        "with_whitening_s": round(total_s, 3),
        "loop_covariance_s": round(loop_s, 2),
        "loop_is_extrapolated": any(len(part) > loop_pictures for part in data.values()),
        "published_loop_s": PUBLISHED_S[mode],
        "speedup_of_covariance": round(loop_s / covariance_s, 1),
        "largest_relative_difference": difference,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure both modes and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--loop-pictures", type=int, default=40)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    data = {name: rng.standard_normal((*shape, N_CHANNELS, N_TIMES)) for name, shape in PARTITIONS.items()}
    for mode in PUBLISHED_S:
        line = measure(data, mode, arguments.repetitions, arguments.loop_pictures)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
