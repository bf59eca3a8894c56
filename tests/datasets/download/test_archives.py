"""Archives, good and hostile."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from brain_decode.core.errors import DownloadError, StorageError
from brain_decode.datasets.download import archives
from brain_decode.datasets.download.archives import unpack

FILES = {"sub-01/ses-01/raw.npy": b"one", "sub-01/ses-02/raw.npy": b"two"}


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(("pack", "name"), [(zipped, "a.zip"), (tarred, "a.tar.gz")])
def test_archives_are_unpacked_beside_what_is_there(tmp_path: Path, pack, name: str) -> None:
    (tmp_path / "out" / "sub-01").mkdir(parents=True)
    (tmp_path / "out" / "sub-01" / "kept.txt").write_text("kept")
    assert unpack(pack(tmp_path / name, FILES), tmp_path / "out") == 2
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {*FILES, "sub-01/kept.txt"}
    assert (tmp_path / "out" / "sub-01/ses-02/raw.npy").read_bytes() == b"two"


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_members_outside_the_folder_are_refused_before_anything_is_written(tmp_path: Path, pack, name: str) -> None:
    archive = pack(tmp_path / "a", {"good.txt": b"good", name: b"bad"})
    with pytest.raises(DownloadError, match="lies outside the folder.*Nothing was unpacked; do not trust"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert not (tmp_path / "outside.txt").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("data")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    with pytest.raises(DownloadError, match="holds 'data', which is a link"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    info = zipfile.ZipInfo("data")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zip_archive:
        zip_archive.writestr(info, "/etc")
    with pytest.raises(DownloadError, match="holds 'data', which is a link"):
        unpack(tmp_path / "a.zip", tmp_path / "out")


def test_a_damaged_archive_is_one_clear_error(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.npy": b"0123456789" * 100})
    content = bytearray(archive.read_bytes())
    content[60] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match="'a.zip' cannot be unpacked.*it is damaged or no archive"):
        unpack(archive, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "b.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DownloadError, match="'b.zip' cannot be unpacked"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_an_archive_that_would_fill_the_disk_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5})())
    with pytest.raises(StorageError, match="unpacks to 6 bytes, 5 are free"):
        unpack(zipped(tmp_path / "a.zip", FILES), tmp_path / "out")
