"""An HTTP host on a real socket that can misbehave in every way a download must survive."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from brain_decode.datasets.download.remote import Connection


@dataclass
class Page:
    """What the host has at a path, and how it gives it.

    `cuts` holds, for each coming request, after how many bytes of the answer the connection is cut.
    `faults` holds status codes that come before the content does.
    """

    content: bytes
    tag: str | None = None
    cuts: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    knows_ranges: bool = True
    heeds_if_range: bool = True
    stated_size: int | None = None
    stands_still_after: int | None = None
    states_size: bool = True
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def entity_tag(self) -> str:
        return self.tag if self.tag is not None else f'"{hashlib.md5(self.content).hexdigest()}"'


class Host:
    """The pages by path, and what was asked for."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"{self.address}/{path}"

    def put(self, path: str, content: bytes, **behaviour: object) -> Page:
        self.pages[f"/{path}"] = Page(content, **behaviour)
        return self.pages[f"/{path}"]

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]


def _handler(host: Host) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            host.requests.append((self.path, dict(self.headers)))
            address = urlsplit(self.path)
            known = host.pages.get(self.path) or host.pages.get(address.path)
            page = known or _of_query(host, address.path, parse_qs(address.query))
            if page is None:
                self.send_error(404)
            elif page.faults:
                self.fail(page)
            else:
                self.give(page)

        def fail(self, page: Page) -> None:
            self.send_response(page.faults.pop(0))
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def give(self, page: Page) -> None:
            start = self.start_of(page)
            if start is not None and start >= len(page.content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = page.content[start or 0 :]
            self.send_response(200 if start is None else 206)
            if page.entity_tag:
                self.send_header("ETag", page.entity_tag)
            if start is not None:
                total = len(page.content)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if page.states_size:
                self.send_header("Content-Length", str(page.stated_size or len(content)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            cut = page.cuts.pop(0) if page.cuts else page.stands_still_after
            self.wfile.write(content[:cut])
            self.wfile.flush()
            if page.stands_still_after is not None:
                host.closing.wait(60)
            if cut is not None or page.stated_size or not page.states_size:
                self.close_connection = True

        def start_of(self, page: Page) -> int | None:
            asked = self.headers.get("Range")
            if asked is None or not page.knows_ranges:
                return None
            if page.heeds_if_range and self.headers.get("If-Range") not in (None, page.entity_tag):
                return None
            return int(asked.removeprefix("bytes=").rstrip("-"))

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing about clients that went away: tests make them."""


def _of_query(host: Host, path: str, query: dict[str, list[str]]) -> Page | None:
    """Return a page that was put for one number or token of a listing."""
    for key in ("page", "continuation-token"):
        for value in query.get(key, []):
            if (found := host.pages.get(f"{path}#{key}={value}")) is not None:
                return found
    return None


@pytest.fixture
def host() -> Iterator[Host]:
    server = _QuietServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    served = Host(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = _handler(served)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield served
    served.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def connection() -> Connection:
    return Connection(attempts=3, pause_s=0.0, timeout_s=5.0)
