"""Which commands there are, found by their files and read without importing them."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Command", "find_commands"]


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: The word on the command line; the name of its module.
        summary: First line of the module's docstring.
        config: Name of its primary configuration in `conf/`.
    """

    name: str
    summary: str
    config: str


def find_commands(folder: Path | None = None) -> dict[str, Command]:
    """Return the commands by name: the modules of this package that define `CONFIG`."""
    place = folder if folder is not None else Path(__file__).parent
    found = (_read_command(path) for path in sorted(place.glob("*.py")))
    return {command.name: command for command in found if command is not None}


def _read_command(path: Path) -> Command | None:
    source = path.read_text(encoding="utf-8")
    if "\nCONFIG = " not in source:
        return None
    module = ast.parse(source)
    docstring = ast.get_docstring(module) or ""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "CONFIG" in names:
                return Command(path.stem, docstring.split("\n", 1)[0], str(node.value.value))
    return None
