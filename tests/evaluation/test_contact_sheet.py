"""Contact sheets show every picture where its name says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_decode.core.errors import DataError
from brain_decode.evaluation.contact_sheet import (
    ReconstructionEvidence,
    shown_positions,
    write_contact_sheet,
    write_pictures,
)


def plain(*levels: float, side: int = 8) -> np.ndarray:
    return np.stack([np.full((side, side, 3), level, dtype=np.float32) for level in levels])


def test_rows_are_seen_ceiling_reconstructed_and_control(tmp_path: Path) -> None:
    rows = write_contact_sheet(
        plain(0.2), plain(0.4, side=30), plain(0.6), plain(0.8), tmp_path / "pictures" / "sheet.png", ["a"]
    )
    assert rows == (
        "seen",
        "ceiling: from the true features",
        "reconstructed",
        "control: from shuffled brain responses",
    )
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "sheet.png"))
    column = sheet[:, -20, 0]
    found = [level for level in (51, 102, 153, 204) if (column == level).sum() == 96]
    assert found == [51, 102, 153, 204]
    assert [int(np.flatnonzero(column == level)[0]) for level in found] == sorted(
        int(np.flatnonzero(column == level)[0]) for level in found
    )


def test_absent_rows_are_left_out_and_stand_ins_are_named(tmp_path: Path) -> None:
    rows = write_contact_sheet(plain(0), None, plain(1), None, tmp_path / "sheet.png", ["a"], stand_in=True)
    assert rows == ("seen", "stand-in: picture of the nearest features")


def test_many_pictures_go_into_bands_and_the_same_pictures_give_the_same_file(tmp_path: Path) -> None:
    levels = plain(*np.linspace(0, 1, 17))
    names = [f"a very long name of picture number {number}" for number in range(17)]
    for name in ("a.png", "b.png"):
        write_contact_sheet(levels, None, levels, levels, tmp_path / name, names)
    wide, high = Image.open(tmp_path / "a.png").size
    assert 900 < wide < 1000 and 950 < high < 1050
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_row_with_another_number_of_pictures_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="for each of 2 labels in every row; 'reconstructed' has 1"):
        write_contact_sheet(plain(0, 1), None, plain(1), None, tmp_path / "sheet.png", ["a", "b"])
    with pytest.raises(DataError, match=r"Pixel values \(seen\) are numbers in \[0, 1\], got 0 to 255"):
        write_contact_sheet(plain(0, 255), None, plain(0, 1), None, tmp_path / "sheet.png", ["a", "b"])
    assert not list(tmp_path.iterdir())


def test_shown_pictures_are_spread_evenly() -> None:
    assert shown_positions(5).tolist() == [0, 1, 2, 3, 4]
    assert shown_positions(200, 5).tolist() == [0, 50, 100, 149, 199]
    assert len(shown_positions(1000)) == 24


def test_pictures_are_written_under_their_ids(tmp_path: Path) -> None:
    paths = write_pictures(plain(0, 0.5, 1, 1), ["dogs/01 b.jpg", "../..", "é", "é"], tmp_path / "pictures")
    assert [path.name for path in paths] == ["dogs_01_b.jpg.png", "picture.png", "é.png", "é-2.png"]
    assert {path.parent for path in paths} == {tmp_path / "pictures"}
    assert np.asarray(Image.open(paths[1])).tolist() == np.full((8, 8, 3), 128).tolist()
    with pytest.raises(DataError, match="got 1 pictures and 2 ids"):
        write_pictures(plain(0), ["a", "b"], tmp_path)


def test_evidence_is_plain_json_and_stand_ins_say_what_they_are() -> None:
    evidence = ReconstructionEvidence("pictures/sheet.png", ("seen",), ("a", "b"), 200, ("ssim",))
    assert json.loads(json.dumps(evidence.as_json())) == {
        "sheet": "pictures/sheet.png",
        "rows": ["seen"],
        "shown": ["a", "b"],
        "n_pictures": 200,
        "metrics": ["ssim"],
        "generator": "",
        "stand_in": False,
        "note": "",
    }
    with pytest.raises(DataError, match="need a note that says what they are"):
        ReconstructionEvidence("sheet.png", (), (), 1, stand_in=True)
