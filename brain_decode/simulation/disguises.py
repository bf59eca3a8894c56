"""Copies of a recording that no longer have its content hash, to measure what the guard against them sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mne
import numpy as np

__all__ = ["disguises"]

_CUT_S = 2.12  # no whole number of frames of a fingerprint


def disguises(samples: np.ndarray, rate_hz: float, folder: Path) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield the name, (channel, time) samples and rate of eighteen disguised copies.

    Args:
        samples: (channel, time) in volts, ten seconds or longer.
        rate_hz: At least 80.
        folder: Files of other formats are written there and read back.
    """
    cut, n_times = round(_CUT_S * rate_hz), samples.shape[1]
    flipped = samples.astype(np.float32)
    flipped.view(np.uint32)[0, n_times // 2] ^= 1
    yield "one bit flipped", flipped, rate_hz
    yield "2 s off the start", samples[:, cut:], rate_hz
    yield "2 s off the end", samples[:, :-cut], rate_hz
    yield "middle 40 %", samples[:, int(0.3 * n_times) + 3 : int(0.7 * n_times)], rate_hz
    yield "resampled to 100 Hz", mne.filter.resample(samples, up=100.0, down=rate_hz, verbose="ERROR"), 100.0
    for low_hz, high_hz in ((1, 40), (8, 30)):
        filtered = mne.filter.filter_data(samples, rate_hz, low_hz, high_hz, verbose="ERROR")
        yield f"filtered {low_hz} to {high_hz} Hz", filtered, rate_hz
    yield "microvolts", samples * 1e6, rate_hz
    yield "EDF, 16 bit", _exported(samples, rate_hz, folder / "copy.edf"), rate_hz
    yield "BrainVision, 32 bit", _exported(samples, rate_hz, folder / "copy.vhdr"), rate_hz
    yield "channels in another order", samples[::-1], rate_hz
    yield "average reference", samples - samples.mean(axis=0), rate_hz
    yield "played backwards", samples[:, ::-1], rate_hz
    yield "a channel dropped", samples[1:], rate_hz
    noise = 20 * np.random.default_rng(0).permutation(samples[0])
    yield "a noisy channel added", np.vstack([samples, noise]), rate_hz
    yield "1 s after each 19 removed", samples[:, np.arange(n_times) / rate_hz % 20 < 19], rate_hz
    yield "stretched by 1 %", mne.filter.resample(samples, up=1.01, verbose="ERROR"), rate_hz
    yield "a minute in four of others", _among_others(samples, round(60 * rate_hz)), rate_hz


def _among_others(samples: np.ndarray, length: int) -> np.ndarray:
    """Return the middle of samples between pieces of pink noise that are twice as long each."""
    first = max((samples.shape[1] - length) // 2, 0)
    copied = samples[:, first : first + length]
    copied = copied - copied.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal((len(samples), 4 * copied.shape[1])))
    other = np.fft.irfft(spectrum / np.sqrt(np.arange(1, spectrum.shape[1] + 1)), 4 * copied.shape[1])
    other *= copied.std(axis=1, keepdims=True) / other.std(axis=1, keepdims=True)
    return np.hstack([other[:, : 2 * copied.shape[1]], copied, other[:, 2 * copied.shape[1] :]])


def _exported(samples: np.ndarray, rate_hz: float, path: Path) -> np.ndarray:
    """Return what is read back from another format, whose channels have other names."""
    info = mne.create_info([f"N{number}" for number in range(len(samples))], rate_hz, "eeg")
    raw = mne.io.RawArray(samples, info, verbose="ERROR")
    mne.export.export_raw(path, raw, overwrite=True, verbose="ERROR")
    return np.asarray(mne.io.read_raw(path, verbose="ERROR").get_data())
