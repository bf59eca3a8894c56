"""What hosts say they have, in the forms in which they say it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brain_decode.core.errors import ConfigError, DownloadError
from brain_decode.datasets.download import listings
from brain_decode.datasets.download.blocks import DownloadBlock, blocks_of, matches
from brain_decode.datasets.download.remote import Connection, RemoteFile


def answered(host, path: str, content: object) -> None:
    host.put(path, content if isinstance(content, bytes) else json.dumps(content).encode())


def test_the_hub_gives_files_of_one_commit_with_checksums(
    host, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "get_token", lambda: "secret")
    siblings = [
        {"rfilename": "README.md", "size": 6, "blobId": "ce01"},
        {"rfilename": "raw eeg/a.edf", "size": 9, "blobId": "ff", "lfs": {"sha256": "ab12", "size": 9}},
    ]
    answered(host, "api/datasets/A/B/revision/main", {"sha": "c0ffee", "siblings": siblings})
    found = listings.listed_files("hub", {"hub": "A/B", "host": host.address}, connection)
    assert found == [
        RemoteFile("README.md", host.url("datasets/A/B/resolve/c0ffee/README.md"), 6, ("git-sha1", "ce01")),
        RemoteFile("raw eeg/a.edf", host.url("datasets/A/B/resolve/c0ffee/raw%20eeg/a.edf"), 9, ("sha256", "ab12")),
    ]
    connection.ask(host.url("datasets/x"))
    connection.ask(host.url("datasets/x").replace("127.0.0.1", "localhost"))
    assert [headers.get("Authorization") for _, headers in host.requests[1:]] == ["Bearer secret", None]


def test_openneuro_is_listed_page_by_page_below_the_wanted_folder(host, connection: Connection) -> None:
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    sizes = {"d/": 0, "d/a b": 3}
    rows = "".join(f"<Contents><Key>ds1/{key}</Key><Size>{size}</Size></Contents>" for key, size in sizes.items())
    more = "<NextContinuationToken>next</NextContinuationToken>"
    answered(host, "bucket/", f"<ListBucketResult {space}>{rows}{more}</ListBucketResult>".encode())
    last = "<Contents><Key>ds1/d/c</Key><Size>4</Size></Contents>"
    answered(host, "bucket/#continuation-token=next", f"<ListBucketResult {space}>{last}</ListBucketResult>".encode())
    first = host.pages.pop("/bucket/")
    host.pages["/bucket/?list-type=2&prefix=ds1%2Fd%2F&max-keys=1000"] = first
    block = {"openneuro": "ds1", "host": host.url("bucket")}
    found = listings.listed_files("openneuro", block, connection, prefix="d/")
    assert found == [
        RemoteFile("d/a b", host.url("bucket/ds1/d/a%20b"), 3),
        RemoteFile("d/c", host.url("bucket/ds1/d/c"), 4),
    ]


def test_figshare_gives_names_sizes_and_md5(host, connection: Connection) -> None:
    row = {"name": "sub-01.zip", "size": 5, "download_url": host.url("files/1"), "computed_md5": "aa"}
    answered(host, "v2/articles/12/files", [row])
    found = listings.listed_files("figshare", {"figshare": 12, "host": host.address}, connection)
    assert found == [RemoteFile("sub-01.zip", host.url("files/1"), 5, ("md5", "aa"))]


def test_osf_is_walked_folder_by_folder(host, connection: Connection) -> None:
    def file(path: str) -> dict:
        about = {"kind": "file", "materialized_path": path, "size": 2, "extra": {"hashes": {"sha256": "cc"}}}
        return {"attributes": about, "links": {"download": host.url(f"download{path}")}}

    deeper = {"files": {"links": {"related": {"href": host.url("folder")}}}}
    folder = {"attributes": {"kind": "folder", "materialized_path": "/in/"}, "relationships": deeper}
    answered(host, "v2/nodes/ab/files/osfstorage/", {"data": [folder, file("/top.zip")], "links": {"next": None}})
    answered(host, "folder", {"data": [file("/in/b.zip")], "links": {"next": None}})
    found = listings.listed_files("osf", {"osf": "ab", "host": host.address}, connection)
    assert [(file.path, file.size, file.checksum) for file in found] == [
        ("top.zip", 2, ("sha256", "cc")),
        ("in/b.zip", 2, ("sha256", "cc")),
    ]


def test_a_manifest_is_json_or_yaml_at_an_address_or_in_a_file(host, connection: Connection, tmp_path: Path) -> None:
    row = {"path": "a.edf", "url": host.url("a.edf"), "size": 3, "checksum": "dd", "checksum_algorithm": "sha256"}
    answered(host, "manifest.json", [row])
    expected = [RemoteFile("a.edf", host.url("a.edf"), 3, ("sha256", "dd"))]
    assert listings.listed_files("manifest", {"manifest": host.url("manifest.json")}, connection) == expected
    (tmp_path / "m.yaml").write_text(f"files:\n- {{path: a.edf, url: '{host.url('a.edf')}', size: 3, sha256: dd}}\n")
    assert listings.listed_files("manifest", {"manifest": str(tmp_path / "m.yaml")}, connection) == expected
    with pytest.raises(ConfigError, match="neither an http address nor a file"):
        listings.listed_files("manifest", {"manifest": "absent.json"}, connection)


def test_lists_that_are_not_what_they_should_be_are_refused(host, connection: Connection) -> None:
    answered(host, "api/datasets/A/B/revision/main", {"error": "x"})
    with pytest.raises(DownloadError, match=r"list of files of hub A/B cannot be read \(KeyError: 'siblings'\)"):
        listings.listed_files("hub", {"hub": "A/B", "host": host.address}, connection)
    with pytest.raises(DownloadError, match="the host does not have it"):
        listings.listed_files("hub", {"hub": "A/C", "host": host.address}, connection)
    with pytest.raises(ConfigError, match="needs path and url"):
        listings.listed_files("files", {"files": [{"path": "a"}]}, connection)
    with pytest.raises(ConfigError, match=r"unknown keys \['sha512'\]"):
        listings.listed_files("files", {"files": [{"path": "a", "url": "http://a", "sha512": "0"}]}, connection)


@pytest.mark.parametrize("path", ["../a", "/etc/a", "a/../../b", "a\\..\\b", ""])
def test_a_host_cannot_place_files_outside_the_folder(path: str) -> None:
    with pytest.raises(ConfigError, match="must be a path below the dataset's folder"):
        RemoteFile(path, "https://example.org/a")


def test_files_come_from_web_addresses_only() -> None:
    with pytest.raises(ConfigError, match="http or https address, got 'file:///etc/passwd'"):
        RemoteFile("a", "file:///etc/passwd")
    with pytest.raises(ConfigError, match="Unknown checksum 'sha255'. Did you mean 'sha256'?"):
        RemoteFile("a", "https://example.org/a", checksum=("sha255", "00"))


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("raw/**", "raw/sub-01/a.edf", True),
        ("raw/*", "raw/sub-01/a.edf", False),
        ("**/*.edf", "a.edf", True),
        ("raw/**/a.edf", "raw/a.edf", True),
        ("sub-0?.zip", "sub-01.zip", True),
        ("sub-0?.zip", "sub-01xzip", False),
    ],
)
def test_patterns_stay_within_a_folder_unless_they_say_otherwise(pattern: str, path: str, fits: bool) -> None:
    assert matches(path, [pattern]) is fits


def test_only_the_files_of_the_participants_asked_for_are_wanted(host, connection: Connection) -> None:
    rows = [{"path": f"raw/sub-{n}/a.edf", "url": host.url(n)} for n in ("01", "02", "03")]
    rows += [{"path": "stimuli.zip", "url": host.url("s")}, {"path": "raw/sub-01/b.pkl", "url": host.url("b")}]
    described = {"files": rows, "include": ["raw/sub-{subject}/**", "stimuli.zip"], "exclude": ["**/*.pkl"]}
    block = DownloadBlock.from_config(described, "x")
    chosen = [file.path for file in block.files(connection, ["01", "sub-03"])]
    assert chosen == ["raw/sub-01/a.edf", "raw/sub-03/a.edf", "stimuli.zip"]
    assert len(block.files(connection, None)) == 4
    with pytest.raises(ConfigError, match=r"None of the 5 files of files fits include: \['raw/sub-09/\*\*'\]"):
        DownloadBlock.from_config({**described, "include": "raw/sub-{subject}/**"}, "x").files(connection, ["09"])


def test_blocks_say_what_is_wrong_with_them() -> None:
    with pytest.raises(ConfigError, match="Dataset 'x' says nothing about downloads. Its source: here"):
        blocks_of({"name": "x", "source": "here"})
    with pytest.raises(ConfigError, match="Unknown key of download of dataset 'x' 'inlcude'. Did you mean 'include'?"):
        blocks_of({"name": "x", "download": {"hub": "a/b", "inlcude": []}})
    with pytest.raises(ConfigError, match="needs one of files, manifest, hub"):
        blocks_of({"name": "x", "download": {"include": ["*"]}})
    with pytest.raises(ConfigError, match="must be a path below the dataset's folder"):
        blocks_of({"name": "x", "download": {"hub": "a/b", "unpack": {"*.zip": "../out"}}})
