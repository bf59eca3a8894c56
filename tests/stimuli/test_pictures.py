"""Pictures by stimulus id."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.stimuli.pictures import PictureFiles, read_picture

RED = (255, 0, 0)


def _save(path, size=(6, 4), colour=RED, mode="RGB", **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **settings)
    return path


def test_a_folder_is_read_recursively_and_names_pictures_by_stem(tmp_path):
    _save(tmp_path / "pictures" / "cats" / "cat_01.png")
    _save(tmp_path / "pictures" / "dog_01.webp", lossless=True)
    pictures = PictureFiles.from_config({"folder": "pictures"}, tmp_path)
    assert pictures.ids == ("cat_01", "dog_01")
    loaded = pictures.load(["dog_01", "cat_01", "dog_01"])
    assert loaded.shape == (3, 4, 6, 3) and loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded[1, 0, 0], [1, 0, 0])


def test_a_path_names_pictures_whose_stems_agree(tmp_path):
    for folder in ("a", "b"):
        _save(tmp_path / folder / "same.png")
    with pytest.raises(DataError, match=r"Two pictures are named 'same'.*Set pictures.ids=path"):
        PictureFiles.from_config({"folder": "."}, tmp_path)
    assert PictureFiles.from_config({"folder": ".", "ids": "path"}, tmp_path).ids == ("a/same.png", "b/same.png")


def test_an_array_file_gives_its_pixels_by_id(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3)).astype(np.uint8)
    np.savez_compressed(tmp_path / "pictures.npz", pixels=pixels, ids=np.array(["x", "y", "z"]))
    pictures = PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)
    np.testing.assert_array_equal(np.round(pictures.load(["z", "x"]) * 255), pixels[[2, 0]])
    assert pictures.content_hash("x") != pictures.content_hash("y")


def test_a_size_gives_squares_from_pictures_of_any_shape(tmp_path):
    _save(tmp_path / "wide.png", size=(40, 20))
    _save(tmp_path / "tall.png", size=(10, 30))
    pictures = PictureFiles.from_config({"folder": "."}, tmp_path)
    squares = pictures.load(["wide", "tall"], size=8)
    assert squares.shape == (2, 8, 8, 3)
    np.testing.assert_allclose(squares, np.broadcast_to(np.float32([1, 0, 0]), squares.shape), atol=1e-6)
    with pytest.raises(DataError, match=r"several sizes \(40x20, 10x30, \.\.\.\)\. Load them with a size"):
        pictures.load(["wide", "tall"])


def test_no_stimuli_give_no_pictures(tmp_path):
    _save(tmp_path / "one.png")
    assert PictureFiles.from_config({"folder": "."}, tmp_path).load([], size=4).shape == (0, 4, 4, 3)


def test_missing_pictures_are_one_error_that_names_and_counts_them(tmp_path):
    _save(tmp_path / "aardvark_01.png")
    pictures = PictureFiles.from_config({"folder": "."}, tmp_path)
    with pytest.raises(DataError, match=r"2 of 3 stimuli have no picture in .*aardvark_02, zebra\. Did you mean"):
        pictures.load(["aardvark_01", "aardvark_02", "zebra"])


def test_a_damaged_picture_is_one_error_with_its_path(tmp_path):
    path = _save(tmp_path / "broken.png", size=(64, 64))
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"The picture .*broken\.png is damaged or no picture.*Copy it again"):
        PictureFiles.from_config({"folder": "."}, tmp_path).load(["broken"])


def test_a_damaged_array_file_is_one_error(tmp_path):
    (tmp_path / "pictures.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(DataError, match="damaged or no .npz of plain arrays"):
        PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)


def test_an_array_file_of_objects_is_refused_unread(tmp_path):
    np.savez(tmp_path / "pictures.npz", pixels=np.array([{}], dtype=object), ids=np.array(["x"]))
    with pytest.raises(DataError, match="no .npz of plain arrays"):
        PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)


def test_arrays_of_another_kind_are_refused(tmp_path):
    np.savez(tmp_path / "pictures.npz", pixels=np.zeros((1, 4, 4, 3)), ids=np.array(["x"]))
    with pytest.raises(DataError, match=r"must be uint8 \(picture, height, width, 3\)"):
        PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)
    with pytest.raises(DataError, match="has no array 'names'"):
        PictureFiles.from_config({"file": "pictures.npz", "ids": "names"}, tmp_path)


def test_a_picture_is_turned_as_its_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by a quarter, clockwise
    picture = Image.new("RGB", (4, 2))
    picture.putpixel((0, 0), RED)
    picture.save(tmp_path / "turned.png", exif=exif)
    values = read_picture(tmp_path / "turned.png")
    assert values.shape == (4, 2, 3)
    np.testing.assert_array_equal(values[0, 1], [1, 0, 0])


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"),
    [
        ("L", 51, (0.2, 0.2, 0.2)),
        ("LA", (0, 0), (1, 1, 1)),
        ("RGBA", (255, 0, 0, 0), (1, 1, 1)),
        ("RGBA", (255, 0, 0, 255), (1, 0, 0)),
        ("I;16", 13107, (0.2, 0.2, 0.2)),
        ("1", 1, (1, 1, 1)),
    ],
)
def test_every_kind_of_pixel_becomes_three_colours(tmp_path, mode, colour, wanted):
    np.testing.assert_allclose(read_picture(_save(tmp_path / "one.png", mode=mode, colour=colour))[0, 0], wanted)


def test_printed_colours_become_three_colours(tmp_path):
    path = _save(tmp_path / "one.jpg", size=(16, 16), mode="CMYK", colour=(0, 255, 255, 0), quality=100)
    np.testing.assert_allclose(read_picture(path)[8, 8], [1, 0, 0], atol=0.02)


def test_a_block_says_either_folder_or_file(tmp_path):
    with pytest.raises(ConfigError, match="either a folder or a file"):
        PictureFiles.from_config({}, tmp_path)
    with pytest.raises(ConfigError, match=r"Unknown key of pictures 'foldr'\. Did you mean 'folder'"):
        PictureFiles.from_config({"foldr": "."}, tmp_path)
    with pytest.raises(ConfigError, match=r"Unknown ids of pictures 'name'"):
        PictureFiles.from_config({"folder": ".", "ids": "name"}, tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        PictureFiles.from_config({"folder": "absent"}, tmp_path)
