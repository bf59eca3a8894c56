"""Retrieval towards features that a frozen model makes of a dataset's own pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.datasets.bids import BidsDataset
from brain_decode.datasets.features import FeatureFile
from brain_decode.training.stimulus_targets import load_targets

STUDY = {
    "n_sessions": 1,
    "n_runs": 1,
    "n_train_concepts": 16,
    "n_exemplars": 2,
    "n_test_concepts": 6,
    "test_repetitions": 3,
    "n_electrodes": 16,
    "rate_hz": 100.0,
    "n_features": 8,
    "noise": 0.2,
}
TASK = "target={column: concept, task: retrieval}"
LEVELS = "layers: [1, -1], blurs: [1, 9], pooling: patches_mean"


def _save_model(folder: Path, seed: int = 0) -> Path:
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(seed)
    config = Dinov2Config(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8, mlp_ratio=2
    )
    Dinov2Model(config).save_pretrained(folder)
    processor = {
        "size": {"height": 32, "width": 32},
        "resample": 3,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.25, 0.25, 0.25],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with two tiny models; the simulated study and what is made of it are added by the commands."""
    place = tmp_path_factory.mktemp("targets")
    for name, seed in (("model", 0), ("other_model", 1)):
        _save_model(place / name, seed)
    return place


@pytest.fixture(scope="module")
def run(place: Path) -> Callable[..., int]:
    """Run a command on the simulated study."""

    def run_command(command: str, *words: str, out: str) -> int:
        study = [f"datasets.loader.study.{name}={value}" for name, value in STUDY.items() if name != "n_features"]
        return main(
            [
                command,
                f"paths.data={place / 'data'}",
                f"paths.store={place / 'stores'}",
                f"out={place / out}",
                *study,
                "+datasets.loader.study.n_features=8",
                *words,
            ]
        )

    return run_command


@pytest.fixture(scope="module")
def trained(place: Path, run: Callable[..., int]) -> Path:
    """A run with four levels, its run folder."""
    words = (
        "preprocessing=simulated",
        "split=official",
        "split.zero_shot=true",
        "encoder=eegnet",
        "head=mixture_retrieval",
        "head.adapter_dropout=0.1",
        "trainer.max_epochs=3",
        f"stimuli={{model: {place / 'model'}, {LEVELS}}}",
    )
    assert run("train", TASK, *words, out="train") == 0
    return place / "train"


def _evaluate(run, place: Path, trained: Path, *words: str, out: str) -> int:
    target = ["target={column: concept, task: retrieval}"]
    return run(
        "evaluate", "datasets=simulated_things", f"checkpoint={trained / 'checkpoint'}", *target, *words, out=out
    )


def test_the_run_says_what_its_targets_were_made_with(trained: Path, place: Path):
    receipt = json.loads((trained / "receipt.json").read_text())
    stimuli = receipt["data"]["stimuli"]
    assert stimuli["settings"]["model"] == str(place / "model")
    assert stimuli["levels"] == ["layer 1, blur 1", "layer -1, blur 1", "layer 1, blur 9", "layer -1, blur 9"]
    assert len(stimuli["weights_sha256"]) == 64 and stimuli["transform"]["size"] == [32, 32]
    decoder = BrainDecoder.from_pretrained(trained / "checkpoint")
    assert (decoder.target_spec.dim, decoder.target_spec.n_levels) == (12, 4)
    saved = decoder.provenance["stimuli"]
    assert saved["space"] == stimuli["space"]
    assert sum(saved["level_weights"]) == pytest.approx(1, abs=1e-4)
    card = (trained / "checkpoint" / "README.md").read_text()
    assert "| levels (learned share) | layer 1, blur 1 (0.2" in card


def test_baselines_are_scored_towards_the_same_features(trained: Path):
    metrics = json.loads((trained / "metrics.json").read_text())
    assert set(metrics["baselines"]) == {"ridge"}
    assert metrics["metrics"]["top1"]["chance"] == pytest.approx(1 / 6)


def test_the_saved_decoder_gives_the_ranks_of_the_run(run, trained: Path, place: Path):
    assert _evaluate(run, place, trained, out="again") == 0
    frames = [pd.read_parquet(folder / "predictions.parquet") for folder in (trained, place / "again")]
    own = frames[0][frames[0]["decoder"] == "eegnet"]
    columns = ["window", "n_repetitions", "rank", "predicted"]
    pd.testing.assert_frame_equal(
        *(frame.sort_values(columns[:2])[columns].reset_index(drop=True) for frame in (own, frames[1]))
    )


def test_a_gallery_of_all_images_takes_pictures_that_were_not_shown(run, trained: Path, place: Path):
    assert _evaluate(run, place, trained, "gallery=all_images", out="all_images") == 0
    predictions = pd.read_parquet(place / "all_images" / "predictions.parquet")
    assert set(predictions["gallery_size"]) == {16 * 2 + 6}


@pytest.mark.parametrize(
    ("gallery", "ids"),
    [(None, ("p1",)), ("concept_centre", ("p1", "p0", "p2")), ("all_images", ("p1", "p0", "p2", "p3"))],
)
def test_pictures_are_embedded_as_the_gallery_needs_them(place: Path, tmp_path: Path, gallery, ids):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
    np.savez(tmp_path / "pictures.npz", pixels=pixels, ids=np.array([f"p{row}" for row in range(4)]))
    np.savez(
        tmp_path / "features.npz", x=np.zeros((3, 2)), ids=np.array(["p0", "p1", "p2"]), concept=np.array(list("aab"))
    )
    entry = {
        "name": "seen",
        "features": {"file": "features.npz", "key": "x", "ids": "ids", "concepts": "concept"},
        "pictures": {"file": "pictures.npz"},
    }
    config = OmegaConf.create(
        {"stimuli": {"model": str(place / "model")}, "gallery": gallery, "paths": {"store": str(tmp_path / "stores")}}
    )
    table = pd.DataFrame({"stimulus": ["p1", "p1"], "concept": ["a", "a"]})
    features, provenance = load_targets(config, entry, table, tmp_path)
    assert features.ids == ids and features.vectors.shape == (len(ids), 12)
    assert features.concepts == tuple({"p0": "a", "p1": "a", "p2": "b"}.get(name, "") for name in ids)
    assert provenance["levels"] == ["projected"]


def test_a_feature_file_may_hold_several_levels(tmp_path: Path):
    vectors = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    np.savez(tmp_path / "features.npz", x=vectors, ids=np.array(["a", "b"]))
    features = FeatureFile("features.npz", "x", "ids").load(tmp_path)
    assert features.dim == 5
    np.testing.assert_array_equal(features.vectors, vectors)


def test_a_gallery_of_the_caller_passes_through_mixture_and_adapter(run, trained: Path, place: Path):
    decoder = BrainDecoder.from_pretrained(trained / "checkpoint")
    study = next((place / "data" / "simulated_things").glob("*/dataset_description.json")).parent
    recording = BidsDataset(study, name="study", datatype=("eeg",), montage="biosemi16").recordings()[0]
    gallery = np.random.default_rng(0).standard_normal((6, 4, 12))
    found = decoder.retrieve(recording, gallery, k=6)
    answers = decoder.decide(recording)
    mixed = decoder.head.gallery_vectors(gallery)
    cosine = answers @ mixed.T / np.linalg.norm(answers, axis=1)[:, None] / np.linalg.norm(mixed, axis=1)
    np.testing.assert_array_equal(found, np.argsort(-cosine, axis=1))
    with pytest.raises(ConfigError, match=r"A gallery is \(items, 4, 12\) with .*; got shape \(6, 12\)"):
        decoder.retrieve(recording, gallery[:, 0])
    with pytest.raises(SpecMismatch, match="The gallery is of the space other"):
        decoder.retrieve(recording, gallery, space="other")


def test_another_model_is_another_space_and_refused(run, trained: Path, place: Path, capsys):
    words = [f"stimuli={{model: {place / 'other_model'}, {LEVELS}}}"]
    assert _evaluate(run, place, trained, *words, out="other") == 1
    assert "Vectors of different spaces do not compare" in " ".join(capsys.readouterr().err.split())
    assert not (place / "other").exists() or not list((place / "other").glob("*.json"))


def test_other_levels_are_refused(run, trained: Path, place: Path, capsys):
    words = [f"stimuli={{model: {place / 'model'}, layers: [1]}}"]
    assert _evaluate(run, place, trained, *words, out="fewer") == 1
    assert "12 features of 4 level(s); the stimulus features here have 12 of 1" in " ".join(
        capsys.readouterr().err.split()
    )


def test_retrieval_without_features_names_the_remedy(run, place: Path, capsys):
    words = ["experiment=simulated_things", "datasets.features=null"]
    assert run("train", *words, out="none") == 2
    assert "Name a model of its pictures: stimuli={model: FOLDER}" in " ".join(capsys.readouterr().err.split())


def test_layers_of_pictures_need_pictures(run, place: Path, capsys):
    words = ["experiment=simulated_things", "datasets.pictures=null", f"stimuli={{model: {place / 'model'}}}"]
    assert run("train", *words, out="missing") == 2
    assert "need the pictures of the dataset; its entry has none (pictures:)" in capsys.readouterr().err
