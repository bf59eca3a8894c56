"""Where the catalogue (`conf/`, `datasets/`, `tokenizers/`) is, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from brain_decode.core.errors import StorageError

__all__ = ["CATALOGUE_FOLDERS", "catalogue_root", "group_folders"]

CATALOGUE_FOLDERS = ("conf", "datasets", "tokenizers")
_PACKAGE = Path(__file__).resolve().parents[1]


def catalogue_root() -> Path:
    """Return the folder that holds `conf/`, `datasets/` and `tokenizers/`.

    Raises:
        StorageError: The installation lost its catalogue.
    """
    shipped = _PACKAGE / "_catalogue"
    if shipped.is_dir():
        return shipped
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "conf").is_dir():
        return checkout
    raise StorageError(
        f"The catalogue folder is neither in '{shipped}' nor in '{checkout}'. The installation is broken: "
        "install brain_decode again."
    )


def group_folders(group: str, catalogue: Path | None = None) -> list[Path]:
    """Return the existing folders that hold options of a config group, the package's own first.

    Args:
        group: "datasets", "tokenizers", or a group of `conf/` such as "encoder".
        catalogue: A folder of the user's own with further entries.
    """
    root = catalogue_root()
    places = [root / group] if group in CATALOGUE_FOLDERS else [root / "conf" / group]
    if catalogue is not None:
        places += [catalogue / group, catalogue / "conf" / group]
    return [place for place in places if place.is_dir()]
