"""Vectors of stimuli in one file or several, named by the files or by the pictures they were made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.features import FeatureFile

PARTS = {
    "parts": [
        {"file": "ViT-H-14_features_train.pt", "key": "img_features", "pictures": "train"},
        {"file": "ViT-H-14_features_test.pt", "key": "img_features", "pictures": "test"},
    ]
}


def write_released(root: Path, n_train: int = 6, dim: int = 4) -> None:
    """Features as they are passed on: one dictionary of tensors per partition, rows in the order of conditions."""
    train = {"text_features": torch.zeros(3, 4), "img_features": torch.arange(n_train * 4.0).reshape(n_train, 4)}
    test = {"text_features": torch.zeros(2, 4), "img_features": -torch.arange(2.0 * dim).reshape(2, dim)}
    torch.save(train, root / "ViT-H-14_features_train.pt")
    torch.save(test, root / "ViT-H-14_features_test.pt")


def test_released_features_are_joined_and_named_by_picture(things: Any) -> None:
    things.write_metadata()
    write_released(things.root)
    features = FeatureFile.from_config(PARTS).load(things.root)
    assert features.ids[:2] + features.ids[-1:] == ("aardvark_01b", "aardvark_02b", "zebra_06s")
    assert features.concepts[-2:] == ("acorn", "zebra")
    assert features.vectors[features.rows(["bat1_01b", "zebra_06s"])].tolist() == [[8, 9, 10, 11], [-4, -5, -6, -7]]


def test_features_of_another_number_of_pictures_are_refused(things: Any) -> None:
    things.write_metadata()
    write_released(things.root, n_train=7)
    with pytest.raises(DataError, match=r"has 7 vectors, .*image_metadata\.npy names 6 pictures of partition 'train'"):
        FeatureFile.from_config(PARTS).load(things.root)


def test_features_of_different_dimensions_are_refused(things: Any) -> None:
    things.write_metadata()
    write_released(things.root, dim=5)
    with pytest.raises(DataError, match=r"features_test\.pt has vectors of 5 values, .*features_train\.pt of 4"):
        FeatureFile.from_config(PARTS).load(things.root)


def test_features_without_names_of_pictures_are_refused(things: Any) -> None:
    write_released(things.root)
    with pytest.raises(DataError, match=r"does not name its pictures\. Put image_metadata\.npy"):
        FeatureFile.from_config(PARTS).load(things.root)


def test_a_missing_file_or_array_is_named(things: Any) -> None:
    things.write_metadata()
    with pytest.raises(DataError, match=r"no file ViT-H-14_features_train\.pt"):
        FeatureFile.from_config(PARTS).load(things.root)
    write_released(things.root)
    with pytest.raises(DataError, match=r"no array 'img_feature'. Did you mean 'img_features'"):
        FeatureFile("ViT-H-14_features_test.pt", "img_feature", pictures="test").load(things.root)


def test_the_same_stimulus_in_two_parts_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", v=np.eye(3), ids=np.array(["a", "b", "c"]))
    part = {"file": "f.npz", "key": "v", "ids": "ids"}
    assert FeatureFile.from_config({"parts": [part]}).load(tmp_path).ids == ("a", "b", "c")
    with pytest.raises(DataError, match="must be unique"):
        FeatureFile.from_config({"parts": [part, part]}).load(tmp_path)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "either a file or parts"),
        ({"file": "a.npz", "parts": [{"file": "b.npz"}]}, "either a file or parts"),
        ({"file": "a.npz", "pictures": "training"}, "Unknown pictures of features 'training'. Did you mean 'train'"),
        ({"file": "a.npz", "pictures": "test", "ids": "ids"}, "leave `ids` and `concepts` out"),
        ({"file": "a.npz", "keys": "v"}, "Unknown key of features 'keys'. Did you mean 'key'"),
    ],
)
def test_a_block_that_cannot_be_meant_is_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureFile.from_config(block)
