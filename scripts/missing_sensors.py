"""Hide a quarter of the electrodes of runs kept out and compare two guesses of their signal, as JSON.

`python scripts/missing_sensors.py DATA RUN`: DATA holds `eeg_mi_eegmmidb_s001`, RUN is a finished
`brain-decode pretrain tokenizers=… datasets=eeg_mi_eegmmidb_s001`. Values are correlations of a hidden electrode with
its estimate over a run, both against the average of the visible electrodes; the peer is MNE's spherical splines.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import mne
import numpy as np
import torch
from omegaconf import OmegaConf

from brain_decode.evaluation.pretraining_scores import correlations
from brain_decode.preprocessing.sensor_type_scale import SensorTypeScale
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.windows import Windows
from brain_decode.tokenizers.base import Tokenizer
from brain_decode.training.pretraining_windows import load_pretraining_windows

HIDDEN_SHARE, SEED = 0.25, 0


def splines(signal: np.ndarray, positions_m: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Return (channel, time) with hidden channels filled in by MNE."""
    names = [f"c{index}" for index in range(len(signal))]
    raw = mne.io.RawArray(signal, mne.create_info(names, 256.0, "eeg"), verbose="error")
    places = dict(zip(names, positions_m, strict=True))
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    raw.info["bads"] = [names[index] for index in np.flatnonzero(hidden)]
    return raw.interpolate_bads(reset_bads=True, verbose="error").get_data()


def estimates(tokenizer: Tokenizer, windows: Windows, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokenizer's (channel, time) estimate of all channels, and the samples it covers."""
    visible = Windows(windows.data[:, ~hidden], windows.rate_hz, 0.0, windows.space.pick(np.flatnonzero(~hidden)))
    scaled = np.zeros_like(windows.data)
    scaled[:, ~hidden] = SensorTypeScale().apply(visible).data
    batch = SignalBatch.from_array(scaled, windows.space, windows.rate_hz)
    found = tokenizer.reconstruct(batch, torch.from_numpy(hidden).expand(len(batch), -1))  # type: ignore[call-arg]
    return found.estimate.numpy(), found.mask[:, 0].numpy()


def standardised(pieces: np.ndarray) -> np.ndarray:
    """Return (window, channel, sample) at zero mean and unit deviation: what the tokenizer reconstructs."""
    return (pieces - pieces.mean(-1, keepdims=True)) / pieces.std(-1, keepdims=True)


def main(words: Sequence[str]) -> int:
    """Print the mean correlation of both guesses, and the share of electrodes and runs where ours is better."""
    data_folder, run = words
    config = OmegaConf.load(Path(run) / "config.yaml")
    config.paths.data = data_folder
    data, tokenizer = load_pretraining_windows(config), Tokenizer.from_pretrained(run)
    hidden = np.zeros(len(data.store.entries[0].sensors), dtype=bool)
    hidden[np.random.default_rng(SEED).permutation(len(hidden))[: int(HIDDEN_SHARE * len(hidden))]] = True
    length = tokenizer.window_samples
    ours, theirs = [], []
    for recording in data.table.iloc[data.validation]["recording"].unique():
        rows = data.validation[data.table.iloc[data.validation]["recording"] == recording]
        windows = data.store.read(data.table.iloc[rows])
        estimate, covered = estimates(tokenizer, windows, hidden)
        filled = np.stack([splines(window.astype(float), windows.space.positions_m, hidden) for window in windows.data])
        pieces = [signal - signal[:, ~hidden].mean(1, keepdims=True) for signal in (windows.data, filled)]
        cut = [signal[:, hidden, : covered.shape[1]].reshape(len(rows), hidden.sum(), -1, length) for signal in pieces]
        truth, spline = (standardised(signal).swapaxes(0, 1).reshape(hidden.sum(), -1) for signal in cut)
        guess = estimate[:, hidden].swapaxes(0, 1).reshape(hidden.sum(), -1)
        ours.append(correlations(truth, guess))
        theirs.append(correlations(truth, spline))
    mine, peer = np.array(ours), np.array(theirs)
    told = {"runs": len(mine), "hidden": int(hidden.sum()), "of": len(hidden), "braintokenizer": float(mine.mean())}
    told |= {"mne_spherical_splines": float(peer.mean()), "share_better": float((mine > peer).mean())}
    print(json.dumps({key: round(value, 4) for key, value in told.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
