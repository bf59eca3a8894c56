"""The report as a browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from brain_decode.reports.html import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--window-size=1280,3000",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


def open_page(page: Path, folder: Path, *words: str) -> str:
    """Open a page and return what the browser logged."""
    command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={folder / 'profile'}", *words, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


@pytest.mark.parametrize("kind", ["classification", "retrieval"])
def test_the_page_is_drawn_without_console_messages(
    kind: str,
    classification_run: Callable[..., dict[str, Any]],
    retrieval_run: Callable[..., dict[str, Any]],
    make_run: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
) -> None:
    run = classification_run(8, 32) if kind == "classification" else retrieval_run(200)
    page = write_report(make_run(run))
    log = open_page(page, tmp_path, f"--screenshot={tmp_path / 'page.png'}")
    assert not re.findall(r".*CONSOLE.*", log)
    pixels = matplotlib.image.imread(tmp_path / "page.png")[..., :3]
    bands = np.array_split(pixels, 6)
    assert all(band.std() > 0.02 for band in bands)


def test_the_console_check_sees_messages(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<script>missing()</script>")
    assert "CONSOLE" in open_page(page, tmp_path, f"--screenshot={tmp_path / 'page.png'}")


def test_the_page_prints_on_several_sheets(
    classification_run: Callable[..., dict[str, Any]], make_run: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    page = write_report(make_run(classification_run(2, 32)))
    open_page(page, tmp_path, f"--print-to-pdf={tmp_path / 'page.pdf'}")
    printed = (tmp_path / "page.pdf").read_bytes()
    assert printed.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12
