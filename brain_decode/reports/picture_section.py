"""The part of a report that shows reconstructed pictures: the contact sheet, and scores beside their controls."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DataError

__all__ = ["picture_context"]

_PNG = b"\x89PNG\r\n\x1a\n"


def picture_context(folder: Path, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the template needs, or None where the run has no reconstructions.

    Args:
        folder: Of the run.
        data: `report_data.json`; its "reconstruction" is a `ReconstructionEvidence` as JSON.
        metrics: `metrics.json`.

    Raises:
        DataError: A contact sheet that is missing, damaged, or outside the run folder.
    """
    evidence = data.get("reconstruction")
    if not evidence:
        return None
    keys = [key for key in evidence["metrics"] if key in metrics["metrics"]]
    return {
        **evidence,
        "picture": _data_address(folder, str(evidence["sheet"])),
        "description": _description(evidence),
        "scores": {key: metrics["metrics"][key] for key in keys},
    }


def _data_address(folder: Path, sheet: str) -> str:
    path = folder / sheet
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"The contact sheet '{sheet}' lies outside '{folder}'. Run the command again.")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"'{folder}' lacks its contact sheet '{sheet}'. Run the command again.") from error
    if not content.startswith(_PNG):
        raise DataError(f"'{path}' is no PNG picture. Run the command again.")
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _description(evidence: Mapping[str, Any]) -> str:
    return (
        f"Contact sheet of {len(evidence['shown'])} pictures, a column each: {', '.join(map(str, evidence['shown']))}. "
        f"Rows from top to bottom: {'; '.join(evidence['rows'])}."
    )
