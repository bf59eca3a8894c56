"""Which files a host has: one function for each kind of host that a `download:` block may name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import yaml
from huggingface_hub import constants, get_token

from brain_decode.core.errors import ConfigError, DownloadError
from brain_decode.datasets.download.remote import Connection, RemoteFile

__all__ = ["LISTINGS", "listed_files"]

_S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_FIGSHARE = "https://api.figshare.com"
_OPENNEURO = "https://s3.amazonaws.com/openneuro.org"
_OSF = "https://api.osf.io"
_PAGE = 1000


def listed_files(kind: str, block: Mapping[str, Any], connection: Connection, *, prefix: str = "") -> list[RemoteFile]:
    """Return the files that one kind of host has.

    Args:
        kind: A key of `LISTINGS`.
        block: The `download:` block; `block[kind]` names the dataset there, `host` another address of the same kind.
        connection: Patience and identity.
        prefix: Beginning that all wanted paths share; hosts that can are asked for no others.

    Raises:
        DownloadError: The host has no such dataset, does not answer, or answers otherwise than it should.
        ConfigError: A list that does not say what it should.
    """
    name = str(block[kind]) if not isinstance(block[kind], Sequence) or isinstance(block[kind], str) else ""
    try:
        return list(LISTINGS[kind](block, connection, prefix))
    except (KeyError, TypeError, ValueError, AttributeError, ElementTree.ParseError) as error:
        raise DownloadError(
            f"The list of files of {kind} {name} cannot be read ({type(error).__name__}: {error}). Has the host "
            "changed?"
        ) from error


def _files(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files that the entry itself lists."""
    yield from map(_described, block["files"])


def _manifest(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files of a JSON or YAML list at an address, or in a file."""
    where = str(block["manifest"])
    if where.startswith(("http://", "https://")):
        text = connection.listing(where).text
    elif Path(where).is_file():
        text = Path(where).read_text(encoding="utf-8")
    else:
        raise ConfigError(f"The manifest '{where}' is neither an http address nor a file that exists.")
    content = json.loads(text) if where.endswith(".json") else yaml.safe_load(text)
    yield from map(_described, content["files"] if isinstance(content, Mapping) else content)


def _described(row: Mapping[str, Any]) -> RemoteFile:
    """Return a file from a row with `path`, `url`, and where known `size`, `sha256` or `md5`."""
    known = {"path", "url", "size", "sha256", "md5", "checksum", "checksum_algorithm"}
    if not isinstance(row, Mapping) or not {"path", "url"} <= set(row):
        raise ConfigError(f"Each file of a download needs path and url, may have size, sha256 or md5; got {row}.")
    if unknown := sorted(set(map(str, row)) - known):
        raise ConfigError(f"A file of a download has unknown keys {unknown}; known are {sorted(known)}.")
    checksum = next(((kind, str(row[kind])) for kind in ("sha256", "md5") if row.get(kind)), None)
    if row.get("checksum"):
        checksum = (str(row["checksum_algorithm"]).replace("_", "-"), str(row["checksum"]))
    size = None if row.get("size") is None else int(row["size"])
    return RemoteFile(str(row["path"]), str(row["url"]), size, checksum)


def _hub(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files of a dataset on the Hugging Face hub, all of one commit."""
    host = str(block.get("host") or constants.ENDPOINT).rstrip("/")
    name, revision = quote(str(block["hub"])), quote(str(block.get("revision") or "main"), safe="")
    if token := get_token():
        connection.tokens[urlsplit(host).netloc] = token
    answer = connection.listing(f"{host}/api/datasets/{name}/revision/{revision}", {"blobs": "true"}).json()
    for found in answer["siblings"]:
        path, large = str(found["rfilename"]), found.get("lfs")
        checksum = ("sha256", str(large["sha256"])) if large else ("git-sha1", str(found["blobId"]))
        url = f"{host}/datasets/{name}/resolve/{answer['sha']}/{quote(path)}"
        yield RemoteFile(path, url, int(found["size"]), checksum)


def _figshare(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files of a figshare article."""
    host = str(block.get("host") or _FIGSHARE).rstrip("/")
    number = 1
    while True:
        question = {"page": number, "page_size": _PAGE}
        found = connection.listing(f"{host}/v2/articles/{block['figshare']}/files", question).json()
        for file in found:
            digits = file.get("computed_md5") or file.get("supplied_md5")
            checksum = ("md5", str(digits)) if digits else None
            yield RemoteFile(str(file["name"]), str(file["download_url"]), int(file["size"]), checksum)
        if len(found) < _PAGE:
            return
        number += 1


def _openneuro(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files of an OpenNeuro dataset; its bucket states no checksum that holds for large files."""
    host = str(block.get("host") or _OPENNEURO).rstrip("/")
    top = f"{block['openneuro']}/"
    question: dict[str, Any] = {"list-type": 2, "prefix": top + prefix, "max-keys": _PAGE}
    while True:
        page = ElementTree.fromstring(connection.listing(f"{host}/", question).content)
        for found in page.iter(f"{_S3}Contents"):
            key = _text(found, "Key")
            if not key.endswith("/"):
                yield RemoteFile(key.removeprefix(top), f"{host}/{quote(key)}", int(_text(found, "Size")))
        following = page.findtext(f"{_S3}NextContinuationToken")
        if not following:
            return
        question["continuation-token"] = following


def _text(element: ElementTree.Element, name: str) -> str:
    text = element.findtext(f"{_S3}{name}")
    if text is None:
        raise ValueError(f"a file without {name}")
    return text


def _osf(block: Mapping[str, Any], connection: Connection, prefix: str) -> Iterator[RemoteFile]:
    """Yield the files of an OSF project, folder by folder."""
    host = str(block.get("host") or _OSF).rstrip("/")
    waiting = [f"{host}/v2/nodes/{block['osf']}/files/osfstorage/?page[size]=100"]
    while waiting:
        page = connection.listing(waiting.pop(0)).json()
        for found in page["data"]:
            about = found["attributes"]
            if about["kind"] == "folder":
                waiting.append(str(found["relationships"]["files"]["links"]["related"]["href"]))
                continue
            digits = (about.get("extra") or {}).get("hashes", {}).get("sha256")
            path = str(about["materialized_path"]).lstrip("/")
            size = None if about.get("size") is None else int(about["size"])
            yield RemoteFile(path, str(found["links"]["download"]), size, ("sha256", digits) if digits else None)
        if following := page["links"].get("next"):
            waiting.append(str(following))


LISTINGS: dict[str, Callable[[Mapping[str, Any], Connection, str], Iterator[RemoteFile]]] = {
    "files": _files,
    "manifest": _manifest,
    "hub": _hub,
    "figshare": _figshare,
    "openneuro": _openneuro,
    "osf": _osf,
}
