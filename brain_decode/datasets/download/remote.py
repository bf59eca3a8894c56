"""A file on a host, and the connection it comes through."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from brain_decode.core.errors import ConfigError, DownloadError, unknown_option

__all__ = [
    "CHECKSUMS",
    "CONNECTION_ERRORS",
    "Connection",
    "Interrupted",
    "RemoteFile",
    "reason_of",
    "require_answer",
    "safe_path",
]

CHECKSUMS = ("sha256", "md5", "git-sha1")
CONNECTION_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError)
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 60.0


class Interrupted(Exception):
    """A fault that may go away by itself; `pause_s` is how long the host asks to wait."""

    def __init__(self, reason: str, pause_s: float | None = None) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch.

    Args:
        path: Where it goes, below the dataset's folder; parts are separated by "/".
        url: http or https.
        size: Bytes; None where unknown.
        checksum: Kind ("sha256", "md5", "git-sha1") and hexadecimal digits; None where unknown.

    Raises:
        ConfigError: A path outside the folder, an address of another kind, or an unknown checksum.
    """

    path: str
    url: str
    size: int | None = None
    checksum: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        safe_path(self.path)
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ConfigError(f"'{self.path}' must come from an http or https address, got '{self.url}'.")
        if self.checksum is not None and self.checksum[0] not in CHECKSUMS:
            raise unknown_option("checksum", self.checksum[0], CHECKSUMS)


def safe_path(path: str) -> PurePosixPath:
    """Return a path that stays below the folder it is joined to.

    Raises:
        ConfigError: It is absolute, goes up, or is no path.
    """
    parts = PurePosixPath(path)
    if not parts.parts or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
        raise ConfigError(f"'{path}' must be a path below the dataset's folder, without '..'. It is refused.")
    return parts


@dataclass
class Connection:
    """How files are asked for: patience, identity, and a way to stop.

    Args:
        attempts: Failures in a row, without a byte in between, after which a file is given up.
        pause_s: Before the second attempt; each later pause is twice as long, a minute at most.
        timeout_s: Without any byte.
        tokens: Of a host's users; each is shown to its host only, not to where that host sends us on.
        stopped: Set to end all transfers at the next block.
    """

    attempts: int = 6
    pause_s: float = 1.0
    timeout_s: float = 30.0
    tokens: dict[str, str] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.pause_s < 0 or self.timeout_s <= 0:
            raise ConfigError(
                f"Downloads need attempts of at least 1 and a positive timeout_s; got {self.attempts} and "
                f"{self.timeout_s}."
            )
        self._of_thread = threading.local()

    def ask(self, url: str, *, headers: Mapping[str, str] | None = None, **settings: Any) -> requests.Response:
        """Return the answer to one request; connections are kept open for the next request of this thread."""
        if not hasattr(self._of_thread, "session"):
            self._of_thread.session = requests.Session()
        token = self.tokens.get(urlsplit(url).netloc)
        identity = {} if token is None else {"Authorization": f"Bearer {token}"}
        # No compression on the way: lengths and ranges are those of the file.
        sent = {"Accept-Encoding": "identity", **identity, **(headers or {})}
        return self._of_thread.session.get(url, headers=sent, timeout=self.timeout_s, **settings)

    def wait(self, failures: int, asked_s: float | None = None) -> None:
        """Pause after a number of failures in a row, or as long as the host asked; ends early when stopped."""
        pause_s = self.pause_s * 2 ** (failures - 1) if asked_s is None else asked_s
        self.stopped.wait(min(pause_s, _LONGEST_PAUSE_S))

    def listing(self, url: str, parameters: Mapping[str, Any] | None = None) -> requests.Response:
        """Return the whole answer to a small question.

        Raises:
            DownloadError: The host refuses, or does not answer.
        """
        reason = ""
        for failures in range(1, self.attempts + 1):
            try:
                answer = self.ask(url, params=parameters)
                require_answer(answer, url)
                return answer
            except (Interrupted, *CONNECTION_ERRORS) as error:
                reason = reason_of(error)
                if failures < self.attempts:
                    self.wait(failures, getattr(error, "pause_s", None))
        raise DownloadError(f"{url} could not be listed in {self.attempts} attempts: {reason}. Try again later.")


def require_answer(answer: requests.Response, what: str) -> None:
    """Refuse an answer that holds no content.

    Raises:
        Interrupted: The host is busy or broken.
        DownloadError: The host does not have it, or does not give it.
    """
    if answer.status_code in _MAY_PASS:
        raise Interrupted(f"the host answered {answer.status_code} ({answer.reason})", _asked_pause(answer))
    if answer.status_code in (401, 403):
        raise DownloadError(
            f"{what}: the host refuses it ({answer.status_code}, {answer.reason}). Accept its terms there, log in with "
            "`hf auth login` where it is on the Hugging Face hub, and repeat the command."
        )
    if answer.status_code in (404, 410):
        raise DownloadError(
            f"{what}: the host does not have it ({answer.status_code}, {answer.reason}). Was it moved? Correct the "
            "`download:` block of the dataset's entry."
        )
    if answer.status_code >= 400 and answer.status_code != 416:
        raise DownloadError(f"{what}: the host answered {answer.status_code} ({answer.reason}).")


def reason_of(error: BaseException) -> str:
    """Return what went wrong on a connection, in a few words."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the host did not answer in time"
    if isinstance(error, Interrupted):
        return str(error)
    if isinstance(error, urllib3.exceptions.IncompleteRead | urllib3.exceptions.ProtocolError):
        return "the connection was cut"
    return f"no connection ({type(error).__name__})"


def _asked_pause(answer: requests.Response) -> float | None:
    """Return the seconds of a Retry-After header, which may be a date."""
    asked = answer.headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    try:
        return max(email.utils.parsedate_to_datetime(asked).timestamp() - time.time(), 0.0) if asked else None
    except ValueError:
        return None
