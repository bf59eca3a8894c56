"""One file over a real socket, from hosts that behave and hosts that do not."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import DownloadError, StorageError
from brain_decode.datasets.download import transfer
from brain_decode.datasets.download.remote import Connection, RemoteFile
from brain_decode.datasets.download.transfer import checksum_of, fetch

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def described(host, **known: object) -> RemoteFile:
    return RemoteFile("raw/a.edf", host.url("a.edf"), **known)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_and_its_checksum_is_told(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT)
    counted: list[int] = []
    place = tmp_path / "raw" / "a.edf"
    found = fetch(described(host, size=len(CONTENT), checksum=("sha256", SHA256)), place, connection, counted.append)
    assert place.read_bytes() == CONTENT and found == {"sha256": SHA256}
    assert sum(counted) == len(CONTENT)
    assert left_over(tmp_path) == ["a.edf"]


def test_a_cut_connection_is_gone_on_with_from_where_it_was_cut(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT, cuts=[300_000, 200_000])
    counted: list[int] = []
    fetch(described(host), tmp_path / "a.edf", connection, counted.append)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT
    assert host.ranges() == [None, "bytes=300000-", "bytes=500000-"]
    assert sum(counted) == len(CONTENT)


def test_what_an_earlier_run_left_is_gone_on_with(host, connection: Connection, tmp_path: Path) -> None:
    page = host.put("a.edf", CONTENT, cuts=[400_000] + [0] * 10)
    with pytest.raises(DownloadError, match="400,000 of 1,000,000 bytes are kept: repeat the command to go on"):
        fetch(described(host), tmp_path / "a.edf", connection)
    assert left_over(tmp_path) == ["a.edf.part", "a.edf.part.json"]
    assert transfer.partial_size(tmp_path / "a.edf") == 400_000
    page.cuts, host.requests[:] = [], []
    fetch(described(host, checksum=("sha256", SHA256)), tmp_path / "a.edf", connection)
    assert host.ranges() == ["bytes=400000-"]
    assert left_over(tmp_path) == ["a.edf"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_changed_meanwhile_is_never_spliced(
    host, connection: Connection, tmp_path: Path, heeds_if_range: bool
) -> None:
    host.put("a.edf", b"old" * 100_000, cuts=[150_000] + [0] * 10)
    with pytest.raises(DownloadError, match="the connection was cut, 3 times in a row"):
        fetch(described(host), tmp_path / "a.edf", connection)
    host.put("a.edf", CONTENT, heeds_if_range=heeds_if_range)
    counted: list[int] = []
    fetch(described(host), tmp_path / "a.edf", connection, counted.append)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT
    assert sum(counted) == len(CONTENT) - 150_000


def test_a_host_that_knows_no_ranges_starts_again(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT, cuts=[300_000], knows_ranges=False)
    fetch(described(host), tmp_path / "a.edf", connection)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT


def test_a_part_of_an_unnamed_version_is_not_gone_on_with(host, connection: Connection, tmp_path: Path) -> None:
    (tmp_path / "a.edf.part").write_bytes(b"of unknown origin")
    host.put("a.edf", CONTENT, tag="")
    fetch(described(host), tmp_path / "a.edf", connection)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT
    assert host.ranges() == [None]


def test_a_file_that_was_whole_but_not_yet_named_is_not_fetched_again(
    host, connection: Connection, tmp_path: Path
) -> None:
    page = host.put("a.edf", CONTENT)
    (tmp_path / "a.edf.part").write_bytes(CONTENT)
    noted = {"url": host.url("a.edf"), "validator": page.entity_tag, "total": len(CONTENT)}
    (tmp_path / "a.edf.part.json").write_text(json.dumps(noted))
    counted: list[int] = []
    fetch(described(host), tmp_path / "a.edf", connection, counted.append)
    assert counted == [] and left_over(tmp_path) == ["a.edf"]


def test_a_host_that_promises_more_than_it_sends_is_found_out(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", b"short", stated_size=500, tag="")
    with pytest.raises(DownloadError, match="a.edf: the connection was cut, 3 times in a row. 5 of 500 bytes are kept"):
        fetch(described(host), tmp_path / "a.edf", connection)
    assert not (tmp_path / "a.edf").exists()


def test_another_size_than_the_entry_says_is_refused(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT)
    with pytest.raises(DownloadError, match="the host offers 1,000,000 bytes, 999 are expected"):
        fetch(described(host, size=999), tmp_path / "a.edf", connection)
    assert left_over(tmp_path) == []


def test_a_wrong_checksum_leaves_no_file(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT)
    with pytest.raises(DownloadError, match=f"its sha256 should be 00ff, what arrived has {SHA256} and was discarded"):
        fetch(described(host, checksum=("sha256", "00ff")), tmp_path / "a.edf", connection)
    assert left_over(tmp_path) == []
    assert len(host.requests) == 1


def test_a_part_that_turns_out_wrong_is_fetched_anew_once(host, connection: Connection, tmp_path: Path) -> None:
    page = host.put("a.edf", CONTENT)
    (tmp_path / "a.edf.part").write_bytes(b"x" * 1000)
    noted = {"url": host.url("a.edf"), "validator": page.entity_tag, "total": len(CONTENT)}
    (tmp_path / "a.edf.part.json").write_text(json.dumps(noted))
    fetch(described(host, checksum=("sha256", SHA256)), tmp_path / "a.edf", connection)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT
    assert host.ranges() == ["bytes=1000-", None]


@pytest.mark.parametrize("fault", [429, 500, 503])
def test_a_busy_host_is_asked_again(host, connection: Connection, tmp_path: Path, fault: int) -> None:
    host.put("a.edf", CONTENT, faults=[fault, fault], headers={"Retry-After": "0"})
    fetch(described(host), tmp_path / "a.edf", connection)
    assert len(host.requests) == 3


def test_a_host_that_stays_broken_is_given_up(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT, faults=[500] * 9)
    with pytest.raises(DownloadError, match=r"the host answered 500 \(Internal Server Error\), 3 times in a row"):
        fetch(described(host), tmp_path / "a.edf", connection)
    assert left_over(tmp_path) == []


def test_what_is_not_there_or_not_given_is_not_asked_for_twice(host, connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"raw/a.edf: the host does not have it \(404"):
        fetch(described(host), tmp_path / "a.edf", connection)
    host.put("a.edf", CONTENT, faults=[403])
    with pytest.raises(DownloadError, match="the host refuses it.*Accept its terms there"):
        fetch(described(host), tmp_path / "a.edf", connection)
    assert len(host.requests) == 2


def test_a_web_page_is_no_recording(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", b"<html>Please log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(DownloadError, match=r"answered with a web page instead of the file. Open the address"):
        fetch(described(host), tmp_path / "a.edf", connection)
    assert left_over(tmp_path) == []


def test_what_a_host_compresses_by_itself_is_kept_as_it_came(host, connection: Connection, tmp_path: Path) -> None:
    packed = gzip.compress(CONTENT)
    host.put("a.edf", packed, headers={"Content-Encoding": "gzip"}, cuts=[1000])
    fetch(described(host, size=len(packed)), tmp_path / "a.edf.gz", connection)
    assert (tmp_path / "a.edf.gz").read_bytes() == packed


def test_nobody_at_the_address_is_one_clear_error(connection: Connection, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no connection"):
        fetch(RemoteFile("a", "http://127.0.0.1:9/a"), tmp_path / "a", connection)


def test_a_file_without_a_stated_length_ends_with_the_connection(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT, states_size=False)
    fetch(described(host), tmp_path / "a.edf", connection)
    assert (tmp_path / "a.edf").read_bytes() == CONTENT


@pytest.mark.parametrize(("size", "said"), [(2_000_000, "the connection was cut, 3 times"), (10, "10 are expected")])
def test_a_file_of_known_size_without_a_stated_length_must_be_as_long(
    host, connection: Connection, tmp_path: Path, size: int, said: str
) -> None:
    host.put("a.edf", CONTENT, states_size=False)
    with pytest.raises(DownloadError, match=said):
        fetch(described(host, size=size), tmp_path / "a.edf", connection)
    assert not (tmp_path / "a.edf").exists()


def test_two_processes_do_not_fetch_one_file(host, connection: Connection, tmp_path: Path) -> None:
    host.put("a.edf", CONTENT)
    with transfer._owned(tmp_path / "a.edf.part"), pytest.raises(StorageError, match="Another process is fetching"):
        fetch(described(host), tmp_path / "a.edf", connection)


def test_a_full_disk_is_noticed_before_a_byte_is_written(
    host, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.put("a.edf", CONTENT)
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(StorageError, match="needs 1,000,000 more bytes, 10 are free"):
        fetch(described(host), tmp_path / "a.edf", connection)


def test_checksums_are_those_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello\n")
    # As `git hash-object` and `md5sum` print them.
    assert checksum_of(path, ("md5", "git-sha1")) == {
        "md5": "b1946ac92492d2347c6235b4d2611184",
        "git-sha1": "ce013625030ba8dba906f756967f9e9ca394464a",
    }
