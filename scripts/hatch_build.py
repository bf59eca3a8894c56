"""Build hook: put the catalogue into wheels, and leave it where it is for editable installs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_CATALOGUE = ("conf", "datasets", "tokenizers")


class CatalogueHook(BuildHookInterface):
    """Ship the declarative folders as `brain_decode/_catalogue/` in the wheel.

    An editable install must not copy them: a stale `brain_decode/` folder in site-packages, which holds nothing but
    these copies, would be imported as a namespace package in place of the checkout.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to a standard wheel."""
        if version != "standard":
            return
        for name in _CATALOGUE:
            folder = Path(self.root) / name
            if not folder.is_dir():
                raise FileNotFoundError(f"The catalogue folder '{name}' is missing beside pyproject.toml.")
            build_data["force_include"][str(folder)] = f"brain_decode/_catalogue/{name}"
