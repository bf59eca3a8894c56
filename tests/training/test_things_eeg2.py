"""THINGS-EEG2 from the command line, on a miniature in the published layouts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from brain_decode.cli.app import main
from brain_decode.datasets.things_eeg2_files import CHANNELS

N_TRAIN, N_TEST, DIM = 40, 8, 6
CONCEPTS = {
    "train": [f"animal{number:02d}" for number in range(N_TRAIN // 2)],
    "test": [f"thing{number}" for number in range(N_TEST)],
}


def write_pictures(root: Path) -> dict[str, np.ndarray]:
    """Metadata of the pictures and released features of them, which are returned."""
    train = [
        (f"{n:05d}_{concept}", f"{concept}_{k}.jpg") for n, concept in enumerate(CONCEPTS["train"], 1) for k in "ab"
    ]
    test = [(f"{n:05d}_{concept}", f"{concept}_a.jpg") for n, concept in enumerate(CONCEPTS["test"], 1)]
    metadata = {}
    features = {}
    for partition, pictures in (("train", train), ("test", test)):
        metadata[f"{partition}_img_concepts"] = [folder for folder, _ in pictures]
        metadata[f"{partition}_img_files"] = [file for _, file in pictures]
        vectors = torch.randn(len(pictures), DIM, generator=torch.Generator().manual_seed(len(pictures)))
        features[partition] = vectors.numpy()
        torch.save({"img_features": vectors, "text_features": vectors[:2]}, root / f"ViT-H-14_features_{partition}.pt")
    np.save(root / "image_metadata.npy", metadata)
    return features


def write_whitened(root: Path, features: dict[str, np.ndarray]) -> None:
    """Files at 250 Hz in which 0.2 s of the response follow the features of the picture."""
    rng = np.random.default_rng(0)
    gains = rng.standard_normal((DIM, 63))
    (root / "sub-01").mkdir()
    for partition, file, n_repetitions in (("train", "training", 2), ("test", "test", 4)):
        responses = rng.standard_normal((len(features[partition]), n_repetitions, 63, 250))
        responses[..., 50:100] += (features[partition] @ gains)[:, None, :, None]
        content = {
            "preprocessed_eeg_data": responses,
            "ch_names": list(CHANNELS),
            "times": np.arange(-50, 250) / 250,
        }
        (root / "sub-01" / f"preprocessed_eeg_{file}.npy").write_bytes(pickle.dumps(content, protocol=4))


def write_raw(root: Path) -> None:
    rng = np.random.default_rng(0)
    (root / "sub-01" / "ses-01").mkdir(parents=True)
    for file, triggers in (("training", [*range(1, N_TRAIN + 1), 99999] * 2), ("test", [*range(1, N_TEST + 1)] * 2)):
        signal = rng.standard_normal((64, 2000 + 200 * len(triggers))) * 1e-5
        signal[-1] = 0
        signal[-1, 1000 + 200 * np.arange(len(triggers))] = rng.permutation(triggers)
        content = {
            "raw_eeg_data": signal,
            "ch_names": [*CHANNELS[::-1], "stim"],
            "ch_types": ["eeg"] * 63 + ["stim"],
            "sfreq": 1000,
        }
        np.save(root / "sub-01" / "ses-01" / f"raw_eeg_{file}.npy", content)


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    return [
        f"paths.data={tmp_path}",
        f"paths.store={tmp_path / 'stores'}",
        f"out={tmp_path / 'out'}",
        "datasets.loader.expected=null",
        "trainer.max_epochs=1",
        "trainer.batch_size=20",
    ]


def scores(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]


def test_a_linear_response_to_features_finds_the_new_picture(tmp_path: Path, words: list[str]) -> None:
    root = tmp_path / "things_eeg2_250hz"
    root.mkdir()
    write_whitened(root, write_pictures(root))
    linear = ["encoder=time_means", "head=ridge"]
    assert main(["train", "experiment=things_eeg2_250hz_nice", *words, *linear]) == 0
    assert scores(tmp_path)["top1"]["chance"] == pytest.approx(1 / N_TEST)
    assert scores(tmp_path)["top1"]["value"] > 0.8
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert len(receipt["test_openings"]) == 1


def test_nice_trains_on_the_files_at_250_hz(tmp_path: Path, words: list[str]) -> None:
    root = tmp_path / "things_eeg2_250hz"
    root.mkdir()
    write_whitened(root, write_pictures(root))
    assert main(["train", "experiment=things_eeg2_250hz_nice", *words]) == 0
    assert 0 <= scores(tmp_path)["top1"]["value"] <= 1
    config = json.loads((tmp_path / "out" / "checkpoint" / "config.json").read_text())
    assert config["encoder"]["architecture"] == "nice"


def test_nice_trains_on_raw_recordings(tmp_path: Path, words: list[str]) -> None:
    root = tmp_path / "things_eeg2"
    root.mkdir()
    write_pictures(root)
    write_raw(root)
    assert main(["train", "experiment=things_eeg2_nice", *words]) == 0
    assert scores(tmp_path)["top1"]["n"] == N_TEST


def test_features_of_other_pictures_are_one_error(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "things_eeg2_250hz"
    root.mkdir()
    write_whitened(root, write_pictures(root))
    torch.save({"img_features": torch.zeros(3, DIM)}, root / "ViT-H-14_features_test.pt")
    assert main(["train", "experiment=things_eeg2_250hz_nice", *words]) == 1
    error = capsys.readouterr().err
    assert "has 3 vectors" in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()
