"""Miniature datasets in the published layouts."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_decode.datasets.things_eeg2_files import CHANNELS

TRAINING = [f"{number:05d}_{concept}" for number, concept in enumerate(("aardvark", "bat1", "cat"), start=1)]
TEST = [f"{number:05d}_{concept}" for number, concept in enumerate(("acorn", "zebra"), start=1)]


@dataclass
class MiniatureThings:
    """Pictures of THINGS-EEG2, two per training concept and one per test concept, and files about them."""

    root: Path
    train_concepts: list[str] = field(default_factory=lambda: [name for name in TRAINING for _ in range(2)])
    test_concepts: list[str] = field(default_factory=lambda: list(TEST))

    @property
    def train_files(self) -> list[str]:
        return [f"{name[6:]}_{number:02d}b.jpg" for name in TRAINING for number in (1, 2)]

    @property
    def test_files(self) -> list[str]:
        return [f"{name[6:]}_06s.jpg" for name in TEST]

    def write_metadata(self, **changes: Any) -> None:
        content = {
            "train_img_concepts": self.train_concepts,
            "train_img_files": self.train_files,
            "test_img_concepts": self.test_concepts,
            "test_img_files": self.test_files,
        }
        np.save(self.root / "image_metadata.npy", content | changes)

    def write_folders(self, below: str = "") -> None:
        for part, concepts, files in (
            ("training_images", self.train_concepts, self.train_files),
            ("test_images", self.test_concepts, self.test_files),
        ):
            for concept, file in zip(concepts, files, strict=True):
                path = self.root / below / part / concept / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"")

    def paths(self, partition: str) -> list[str]:
        concepts, files = getattr(self, f"{partition}_concepts"), getattr(self, f"{partition}_files")
        folder = "training_images" if partition == "train" else "test_images"
        return [f"{folder}/{concept}/{file}" for concept, file in zip(concepts, files, strict=True)]

    def responses(self, partition: str, n_channels: int = 63, n_times: int = 25, seed: int = 0) -> np.ndarray:
        """Return (picture, repetition, channel, time): 4 repetitions in training, 6 in the test."""
        n_pictures, n_repetitions = (6, 4) if partition == "train" else (2, 6)
        rng = np.random.default_rng([seed, n_pictures])
        return rng.standard_normal((n_pictures, n_repetitions, n_channels, n_times))

    def write_250hz(self, subject: str = "01", below: str = "", **changes: Any) -> dict[str, np.ndarray]:
        """Plain pickles with an `.npy` suffix whose times still begin 0.2 s before the picture."""
        folder = self.root / below / f"sub-{subject}"
        folder.mkdir(parents=True, exist_ok=True)
        written = {}
        for partition, file in (("train", "training"), ("test", "test")):
            written[partition] = self.responses(partition, seed=int(subject))
            content = {
                "preprocessed_eeg_data": written[partition],
                "ch_names": list(CHANNELS),
                "times": np.arange(-5, 25) / 25.0,
            }
            (folder / f"preprocessed_eeg_{file}.npy").write_bytes(pickle.dumps(content | changes, protocol=4))
        return written


@pytest.fixture
def things(tmp_path: Path) -> MiniatureThings:
    root = tmp_path / "things_eeg2"
    root.mkdir()
    return MiniatureThings(root)


@pytest.fixture
def write_raw(things: MiniatureThings) -> Callable[..., np.ndarray]:
    """Write the raw file of a session, and return its (channel, time) array."""

    def write(session: str, partition: str, triggers: list[int], **changes: Any) -> np.ndarray:
        rng = np.random.default_rng(len(triggers))
        array = rng.standard_normal((64, 200 * (len(triggers) + 4))) * 1e-5
        array[-1] = 0.0
        for position, trigger in enumerate(triggers, start=2):
            array[-1, 200 * position : 200 * position + 3] = trigger
        content = {
            "raw_eeg_data": array,
            "ch_names": [*CHANNELS, "stim"],
            "ch_types": ["eeg"] * 63 + ["stim"],
            "sfreq": 1000,
            "highpass": 0.01,
            "lowpass": 100.0,
        }
        folder = things.root / "sub-01" / f"ses-{session}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"raw_eeg_{partition}.npy", content | changes)
        return array

    return write
