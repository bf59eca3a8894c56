"""A whole dataset: what is there stays, what is missing comes, and a kill costs nothing."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from brain_decode.cli import app
from brain_decode.core.errors import ConfigError, DownloadError, StorageError
from brain_decode.datasets.download import downloading
from brain_decode.datasets.download.downloading import plan_download
from brain_decode.datasets.download.remote import Connection
from brain_decode.datasets.download.transfer import partial_size

CONTENTS = {f"raw/sub-{n:02d}/a.edf": bytes([n]) * 50_000 for n in range(1, 9)}


def entry_of(host, folder: Path, **settings: Any) -> dict[str, Any]:
    """Return an entry of files that the host has, all with checksums."""
    for path, content in CONTENTS.items():
        host.put(path, content)
    files = [
        {"path": path, "url": host.url(path), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in CONTENTS.items()
    ]
    return {"name": "small", "loader": {"root": str(folder)}, "download": {"files": files, **settings}}


def content_of(folder: Path) -> dict[str, bytes]:
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_all_files_come_together_and_are_not_fetched_twice(host, connection: Connection, tmp_path: Path) -> None:
    entry = entry_of(host, tmp_path / "small")
    plan = plan_download(entry, connection)
    assert (len(plan.missing), plan.size, plan.left, plan.unchecked) == (8, 400_000, 400_000, 0)
    fetched = plan.fetch_all(connections=4)
    assert content_of(tmp_path / "small") == CONTENTS
    assert [row["path"] for row in fetched] == list(CONTENTS)
    assert fetched[0]["sha256"] == hashlib.sha256(CONTENTS["raw/sub-01/a.edf"]).hexdigest()
    host.requests.clear()
    again = plan_download(entry, connection)
    assert again.missing == () and again.fetch_all() == [] and host.requests == []


def test_one_file_that_fails_leaves_the_others_and_its_own_beginning(
    host, connection: Connection, tmp_path: Path
) -> None:
    entry = entry_of(host, tmp_path)
    host.pages["/raw/sub-03/a.edf"].cuts = [20_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"raw/sub-03/a.edf: .* 20,000 of 50,000 bytes are kept"):
        plan_download(entry, connection).fetch_all(connections=1)
    assert content_of(tmp_path)["raw/sub-03/a.edf.part"] == CONTENTS["raw/sub-03/a.edf"][:20_000]
    plan = plan_download(entry, connection)
    assert (len(plan.missing), plan.left) == (6, 6 * 50_000 - 20_000)
    plan.fetch_all(connections=1)
    assert content_of(tmp_path) == CONTENTS


def test_an_interrupt_keeps_what_arrived_and_says_so(
    host, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host.put("a.edf", b"x" * 3_000_000, stands_still_after=1_000_000)
    download = {"files": [{"path": "a.edf", "url": host.url("a.edf")}]}
    entry = {"name": "small", "loader": {"root": str(tmp_path)}, "download": download}
    connection.timeout_s = 0.2

    def interrupted(*_: object, **__: object) -> None:
        while not partial_size(tmp_path / "a.edf"):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(downloading, "wait", interrupted)
    monkeypatch.setattr(logging.getLogger("brain_decode"), "propagate", True)
    with caplog.at_level("WARNING"), pytest.raises(KeyboardInterrupt):
        plan_download(entry, connection).fetch_all()
    assert "What arrived is kept: repeat the command to go on from there." in caplog.text
    assert partial_size(tmp_path / "a.edf") > 0


def test_a_file_of_another_size_is_kept_and_named(host, connection: Connection, tmp_path: Path) -> None:
    entry = entry_of(host, tmp_path)
    (tmp_path / "raw" / "sub-01").mkdir(parents=True)
    (tmp_path / "raw" / "sub-01" / "a.edf").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="is there with 4 bytes, the host has 50,000. It is kept"):
        plan_download(entry, connection)


def test_verifying_finds_a_damaged_file(host, connection: Connection, tmp_path: Path) -> None:
    entry = entry_of(host, tmp_path)
    plan_download(entry, connection).fetch_all()
    plan_download(entry, connection).verify()
    (tmp_path / "raw" / "sub-02" / "a.edf").write_bytes(b"x" * 50_000)
    with pytest.raises(DownloadError, match="sub-02/a.edf' is damaged or another version: its sha256 should be"):
        plan_download(entry, connection).verify()


def test_a_disk_that_is_too_small_is_noticed_before_anything_is_asked_for(
    host, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_download(entry_of(host, tmp_path), connection)
    monkeypatch.setattr(downloading.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(StorageError, match="'small' needs 400,000 more bytes.*1,000 are free"):
        plan.fetch_all()
    assert host.requests == [] and content_of(tmp_path) == {}


def test_an_archive_is_unpacked_once_and_removed(host, connection: Connection, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("images/00000.jpg", b"picture")
    host.put("stimuli.zip", packed.getvalue())
    files = [{"path": "stimuli.zip", "url": host.url("stimuli.zip")}]
    download = {"files": files, "unpack": {"*.zip": "stimuli"}}
    entry = {"name": "small", "loader": {"root": str(tmp_path)}, "download": download}
    plan_download(entry, connection).fetch_all()
    assert (tmp_path / "stimuli" / "images" / "00000.jpg").read_bytes() == b"picture"
    assert not (tmp_path / "stimuli.zip").exists()
    assert plan_download(entry, connection).missing == ()


def test_two_sources_of_one_file_are_refused(host, connection: Connection, tmp_path: Path) -> None:
    files = [{"path": "a", "url": host.url("a")}]
    entry = {"name": "small", "loader": {"root": str(tmp_path)}, "download": [{"files": files}, {"files": files}]}
    with pytest.raises(ConfigError, match="Two files of dataset 'small' would both be"):
        plan_download(entry, connection)
    entry["download"][1]["into"] = "more"
    assert [item.file.path for item in plan_download(entry, connection).items] == ["a", "more/a"]


@pytest.fixture
def user_catalogue(host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue of one's own with the entry `small`, whose terms must be accepted."""
    entry = entry_of(host, tmp_path) | {
        "subjects": None,
        "licence": "CC-BY-NC-4.0",
        "licence_terms": "No commercial use.",
        "source": "example.org",
    }
    entry["loader"] = {"root": "${paths.data}/small"}
    (tmp_path / "catalogue" / "datasets").mkdir(parents=True)
    (tmp_path / "catalogue" / "datasets" / "small.yaml").write_text(yaml.safe_dump(entry))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "catalogue"


def words(catalogue: Path, *more: str) -> list[str]:
    return ["download", "datasets=small", f"catalogue={catalogue}", "paths.data=data", *more]


def test_the_command_wants_the_licence_accepted_first(
    host, user_catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(words(user_catalogue)) == 2
    said = capsys.readouterr().err
    assert "Dataset 'small' has terms to be accepted first: No commercial use. Licence: CC-BY-NC-4.0" in said
    assert "add accept_licence=small" in said
    assert host.requests == []


def test_the_command_fetches_and_writes_a_receipt(
    host, user_catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(words(user_catalogue, "accept_licence=small", "only_list=true")) == 0
    listed = capsys.readouterr().out
    assert "small: 8 files, 0.381 MiB; 0 are there, 0.381 MiB to fetch" in listed and "raw/sub-08/a.edf" in listed
    assert not Path("data").exists() and not Path("runs").exists()
    assert app.main(words(user_catalogue, "accept_licence=small", "out=run")) == 0
    assert content_of(Path("data/small")) == CONTENTS
    receipt = json.loads(Path("run/receipt.json").read_text())
    assert receipt["licences_accepted"] == [
        {
            "dataset": "small",
            "licence": "CC-BY-NC-4.0",
            "terms": "No commercial use.",
            "accepted_by": "accept_licence=small",
        }
    ]
    assert len(receipt["data"]["files"]["small"]) == 8


def test_other_files_than_the_entry_s_can_be_asked_for(
    host, user_catalogue: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = "datasets.download.include=['raw/sub-0[1]/**', 'raw/sub-02/**']"
    assert app.main(words(user_catalogue, "accept_licence=small", "only_list=true", chosen)) == 2
    assert "Unknown setting of 'datasets.download' 'include'" in capsys.readouterr().err
    assert app.main(words(user_catalogue, "accept_licence=small", "only_list=true", f"+{chosen}")) == 0
    assert "small: 1 files" in capsys.readouterr().out


FETCH = """
import json, sys
from brain_decode.datasets.download.downloading import plan_download
from brain_decode.datasets.download.remote import Connection
plan_download(json.loads(sys.argv[1]), Connection()).fetch_all()
"""


def test_a_killed_process_costs_nothing(host, connection: Connection, tmp_path: Path, repository: Path) -> None:
    page = host.put("a.edf", os.urandom(3_000_000), stands_still_after=1_000_000)
    files = [{"path": "a.edf", "url": host.url("a.edf"), "size": len(page.content)}]
    entry = {"name": "small", "loader": {"root": str(tmp_path)}, "download": {"files": files}}
    command = [sys.executable, "-c", FETCH, json.dumps(entry)]
    killed = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(repository)})
    deadline = time.monotonic() + 100
    while partial_size(tmp_path / "a.edf") < 900_000 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = partial_size(tmp_path / "a.edf")
    assert 900_000 < kept <= 1_000_000
    page.stands_still_after = None
    host.requests.clear()
    plan_download(entry, connection).fetch_all()
    assert host.ranges() == [f"bytes={kept}-"]
    assert content_of(tmp_path) == {"a.edf": page.content}
