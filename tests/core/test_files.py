"""Files are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from brain_decode.core import files
from brain_decode.core.errors import DataError, StorageError
from brain_decode.core.files import (
    make_folder,
    place_beside,
    read_json_object,
    remove_abandoned,
    sha256_of,
    storage_error,
    write_atomically,
)


@pytest.mark.parametrize(("content", "expected"), [(b"\x00\x01", b"\x00\x01"), ("größer", "größer".encode())])
def test_bytes_and_text_are_written_as_they_are(tmp_path: Path, content: bytes | str, expected: bytes) -> None:
    assert write_atomically(tmp_path / "a" / "file", content).read_bytes() == expected


def test_values_are_written_as_json(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "x.json", {"auc": 0.5, "name": "größer"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"auc": 0.5, "name": "größer"}


def test_a_value_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "x.json", "old")
    with pytest.raises(DataError, match=r"'x.json' cannot be written as JSON"):
        write_atomically(path, {"auc": float("nan")})
    assert path.read_text() == "old"


def test_a_full_disk_leaves_the_old_file_and_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomically(tmp_path / "x", "old")
    monkeypatch.setattr(files, "_write_through", _disk_is_full)
    with pytest.raises(StorageError, match=r"x': the disk is full\. Free space"):
        write_atomically(path, "new")
    assert os.listdir(tmp_path) == ["x"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("is_folder", [False, True])
def test_what_a_killed_writer_left_is_removed_and_what_is_being_written_stays(tmp_path: Path, is_folder: bool) -> None:
    with place_beside(tmp_path / "going on", is_folder=is_folder) as going_on:
        left = tmp_path / "below" / ".left.part"
        left.parent.mkdir()
        left.mkdir() if is_folder else left.touch()
        remove_abandoned(tmp_path)
        assert going_on.exists()
        assert not left.exists()
    assert not going_on.exists()


def test_what_a_writer_renames_stays(tmp_path: Path) -> None:
    with place_beside(tmp_path / "folder", is_folder=True) as beside:
        (beside / "inside").write_text("whole")
        beside.rename(tmp_path / "folder")
    assert (tmp_path / "folder" / "inside").read_text() == "whole"


def test_a_drive_that_is_gone_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"its folder is gone; was it moved, or the drive removed\?"):
        raise storage_error(tmp_path / "x", FileNotFoundError(2, "No such file or directory"))


def test_a_file_in_the_way_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(StorageError, match="a file has this name"):
        make_folder(tmp_path / "a")
    with pytest.raises(StorageError, match="is a file, not a folder"):
        make_folder(tmp_path / "a" / "b")


def _disk_is_full(path: Path, data: bytes) -> None:
    path.write_bytes(data[:1])
    raise OSError(28, "No space left on device")


def test_an_object_is_read_and_anything_else_in_a_json_file_is_refused(tmp_path: Path) -> None:
    path = write_atomically(tmp_path / "x.json", {"a": 1})
    assert read_json_object(path, remedy="Copy it again.") == {"a": 1}
    for content, message in (("{", "is not valid JSON: .* Copy it again."), ("[1]", "it holds a list. Copy it again.")):
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            read_json_object(path, remedy="Copy it again.")


def test_the_hash_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
