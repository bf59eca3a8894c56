"""Which picture a condition number stands for."""

from __future__ import annotations

from typing import Any

import pytest

from brain_decode.core.errors import DataError
from brain_decode.datasets.things_pictures import pictures_of_paths, read_pictures


def test_metadata_and_folders_name_the_same_pictures(things: Any) -> None:
    things.write_metadata()
    described = read_pictures(things.root)
    (things.root / "image_metadata.npy").unlink()
    things.write_folders()
    assert {key: value.names for key, value in read_pictures(things.root).items()} == {
        key: value.names for key, value in described.items()
    }
    assert described["train"].concepts == ("aardvark", "aardvark", "bat1", "bat1", "cat", "cat")


def test_nothing_is_known_without_either(things: Any) -> None:
    assert read_pictures(things.root) == {}


def test_a_missing_picture_is_named(things: Any) -> None:
    things.write_metadata()
    things.write_folders()
    (things.root / "training_images" / "00002_bat1" / "bat1_02b.jpg").unlink()
    with pytest.raises(DataError, match=r"training_images lacks 1 of the 6 pictures.*\(bat1_02b\)"):
        read_pictures(things.root)


def test_a_foreign_picture_is_named(things: Any) -> None:
    things.write_metadata()
    things.write_folders()
    (things.root / "test_images" / "00001_acorn" / "copy.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"has 1 others \(copy\)"):
        read_pictures(things.root)


def test_permuted_metadata_are_refused(things: Any) -> None:
    files = things.train_files
    things.write_metadata(train_img_files=[files[1], files[0], *files[2:]])
    with pytest.raises(DataError, match=r"not in the order of condition.*: aardvark_01b\.jpg follows aardvark_02b"):
        read_pictures(things.root)


def test_metadata_of_unequal_lengths_are_refused(things: Any) -> None:
    things.write_metadata(test_img_files=["acorn_06s.jpg"])
    with pytest.raises(DataError, match="'test_img_files' has 1 pictures, 'test_img_concepts' 2"):
        read_pictures(things.root)


def test_test_pictures_that_are_training_pictures_are_refused(things: Any) -> None:
    things.write_metadata(test_img_files=["aardvark_01b.jpg", "zebra_06s.jpg"])
    with pytest.raises(DataError, match="test pictures aardvark_01b are training pictures too"):
        read_pictures(things.root)


def test_paths_give_picture_and_concept_whatever_the_separator(things: Any) -> None:
    pictures = pictures_of_paths(
        ["test_images\\00001_acorn\\acorn_06s.jpg", "x/00002_zebra/zebra_06s.jpg"], things.root
    )
    assert pictures.names == ("acorn_06s", "zebra_06s")
    assert pictures.concepts == ("acorn", "zebra")
    with pytest.raises(DataError, match=r"'acorn_06s\.jpg' does not say the folder"):
        pictures_of_paths(["acorn_06s.jpg"], things.root)
    with pytest.raises(DataError, match="acorn_06s occur twice"):
        pictures_of_paths(["a/acorn_06s.jpg"] * 2, things.root)
