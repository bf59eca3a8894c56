"""Pictures of a dataset by stimulus id: a folder of files, or one array file."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from brain_decode.core.errors import ConfigError, DataError, did_you_mean, listed, unknown_option
from brain_decode.core.files import sha256_of
from brain_decode.stimuli.resizing import centre_crop, resize_shorter_side

__all__ = ["PictureFiles", "read_picture"]

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_NAMINGS = ("stem", "path")
_KEYS = ("folder", "file", "ids", "pixels")
_BITS_16 = ("I;16", "I;16L", "I;16B", "I;16N")


class PictureFiles(ABC):
    """Pictures by stimulus id, read when they are asked for.

    Example:
        >>> pictures = PictureFiles.from_config({"folder": "stimuli"}, root)  # doctest: +SKIP
        >>> pictures.load(["aardvark_01b"], size=224).shape  # doctest: +SKIP
        (1, 224, 224, 3)
    """

    @staticmethod
    def from_config(config: Mapping[str, Any], root: str | Path) -> PictureFiles:
        """Open the pictures that the `pictures:` block of a dataset entry describes.

        Args:
            config: Either `folder` (below `root`, read recursively: png, jpg, jpeg, webp) with `ids: stem` (file name
                without suffix, the default) or `ids: path` (path below the folder with suffix); or `file` (an `.npz`
                below `root`) with `pixels` and `ids`, the names of its arrays.
            root: Folder of the dataset.

        Raises:
            ConfigError: An unknown key, both or neither of `folder` and `file`.
            DataError: Nothing there, or files that cannot be told apart.
        """
        for key in config:
            if key not in _KEYS:
                raise unknown_option("key of pictures", key, _KEYS)
        folder, file = config.get("folder"), config.get("file")
        if (folder is None) == (file is None):
            raise ConfigError(f"pictures: names either a folder or a file; got folder={folder} and file={file}.")
        if file is not None:
            keys = (str(config.get("pixels") or "pixels"), str(config.get("ids") or "ids"))
            return _PictureArray(Path(root) / str(file), *keys)
        if config.get("pixels") is not None:
            raise ConfigError("pictures: pixels names an array of a file; a folder has none. Leave it out.")
        return _PictureFolder(Path(root) / str(folder), str(config.get("ids") or "stem"))

    @property
    @abstractmethod
    def ids(self) -> tuple[str, ...]:
        """Stimulus ids that have a picture, sorted for a folder, as stored for a file."""

    @abstractmethod
    def read(self, stimulus: str) -> np.ndarray:
        """Return one picture in its own size, (height, width, 3) float32 in [0, 1].

        Raises:
            DataError: It has no picture, or the file is damaged.
        """

    @abstractmethod
    def content_hash(self, stimulus: str) -> str:
        """Return hexadecimal digits that change with the picture's content.

        Raises:
            DataError: It has no picture.
        """

    def load(self, ids: Sequence[str], size: int | None = None) -> np.ndarray:
        """Return pictures (picture, height, width, 3), float32 in [0, 1], in the order of `ids`.

        Args:
            ids: Stimulus ids; may repeat.
            size: Pixels of a square: the shorter side is resized (antialiased, bicubic), the middle is cut out. None
                keeps the size they have, which must be one.

        Raises:
            DataError: Stimuli without a picture, a damaged file, or several sizes where `size` is None.
        """
        self.require(ids)
        pictures = [self._sized(str(stimulus), size) for stimulus in ids]
        shapes = sorted({picture.shape for picture in pictures})
        if len(shapes) > 1:
            first, second = (f"{width}x{height}" for height, width, _ in shapes[:2])
            raise DataError(f"The pictures have several sizes ({first}, {second}, ...). Load them with a size.")
        return np.stack(pictures) if pictures else np.zeros((0, size or 0, size or 0, 3), np.float32)

    def require(self, ids: Sequence[str]) -> None:
        """Raise one error that names the stimuli without a picture and says how many there are.

        Raises:
            DataError: At least one has none.
        """
        known = set(self.ids)
        missing = list(dict.fromkeys(str(stimulus) for stimulus in ids if str(stimulus) not in known))
        if missing:
            raise DataError(
                f"{len(missing)} of {len(set(map(str, ids)))} stimuli have no picture in {self.place}: "
                f"{listed(missing)}.{did_you_mean(missing[0], self.ids)} Complete the pictures, or name them as the "
                "events do."
            )

    @property
    @abstractmethod
    def place(self) -> str:
        """Folder or file, as it appears in errors."""

    def _sized(self, stimulus: str, size: int | None) -> np.ndarray:
        picture = self.read(stimulus)
        if size is None or picture.shape[:2] == (size, size):
            return picture
        channels_first = torch.from_numpy(picture).permute(2, 0, 1)[None]
        square = centre_crop(resize_shorter_side(channels_first, size), size, size)
        return np.ascontiguousarray(square[0].permute(1, 2, 0).numpy())


class _PictureFolder(PictureFiles):
    """Picture files below a folder, named by stem or by path."""

    def __init__(self, folder: Path, naming: str) -> None:
        if naming not in _NAMINGS:
            raise unknown_option("ids of pictures", naming, _NAMINGS)
        if not folder.is_dir():
            raise DataError(
                f"The folder of pictures {folder} does not exist. Put them there or change pictures.folder."
            )
        self._folder = folder
        self._paths = _named_paths(folder, naming)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._paths)

    @property
    def place(self) -> str:
        return str(self._folder)

    def read(self, stimulus: str) -> np.ndarray:
        return read_picture(self._path(stimulus))

    def content_hash(self, stimulus: str) -> str:
        return sha256_of(self._path(stimulus))

    def _path(self, stimulus: str) -> Path:
        if stimulus not in self._paths:
            self.require([stimulus])
        return self._paths[stimulus]


def _named_paths(folder: Path, naming: str) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
            continue
        name = path.stem if naming == "stem" else path.relative_to(folder).as_posix()
        if name in named:
            raise DataError(
                f"Two pictures are named '{name}': {named[name]} and {path}. Set pictures.ids=path to tell them apart."
            )
        named[name] = path
    if not named:
        raise DataError(f"The folder {folder} holds no picture ({', '.join(_SUFFIXES)}).")
    return named


class _PictureArray(PictureFiles):
    """An `.npz` with all pictures as (picture, height, width, 3) uint8, kept in memory as such."""

    def __init__(self, path: Path, pixels: str, ids: str) -> None:
        self._path = path
        self._pixels, self._ids = _read_arrays(path, pixels, ids)
        self._rows = {identity: row for row, identity in enumerate(self._ids)}
        if len(self._rows) < len(self._ids):
            raise DataError(f"{path} names a picture twice in '{ids}'.")

    @property
    def ids(self) -> tuple[str, ...]:
        return self._ids

    @property
    def place(self) -> str:
        return str(self._path)

    def read(self, stimulus: str) -> np.ndarray:
        return self._stored(stimulus).astype(np.float32) / 255

    def content_hash(self, stimulus: str) -> str:
        stored = self._stored(stimulus)
        return hashlib.sha256(repr(stored.shape).encode() + stored.tobytes()).hexdigest()

    def _stored(self, stimulus: str) -> np.ndarray:
        if stimulus not in self._rows:
            self.require([stimulus])
        return np.asarray(self._pixels[self._rows[stimulus]])


def _read_arrays(path: Path, pixels: str, ids: str) -> tuple[np.ndarray, tuple[str, ...]]:
    if not path.is_file():
        raise DataError(f"The file of pictures {path} does not exist. Put it there or change pictures.file.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in (pixels, ids):
                if key not in arrays:
                    raise DataError(f"{path} has no array '{key}'.{did_you_mean(key, arrays)} It has {sorted(arrays)}.")
            stored, identities = arrays[pixels], np.ravel(arrays[ids])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise DataError(f"{path} is damaged or no .npz of plain arrays: {error}. Copy it again.") from error
    if stored.dtype != np.uint8 or stored.ndim != 4 or stored.shape[-1] != 3 or len(stored) != len(identities):
        raise DataError(
            f"'{pixels}' of {path} must be uint8 (picture, height, width, 3) with one id each; got {stored.dtype} "
            f"{stored.shape} and {len(identities)} ids."
        )
    return stored, tuple(str(identity) for identity in identities)


def read_picture(path: Path) -> np.ndarray:
    """Return a picture file as (height, width, 3) float32 in [0, 1].

    It is turned as its EXIF orientation says; grey is repeated over the three colours, what is transparent shows
    white, CMYK is converted without a colour profile, and 16 bits keep their 16 bits.

    Raises:
        DataError: The file cannot be read as a picture.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            return _as_rgb(ImageOps.exif_transpose(opened))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"The picture {path} is damaged or no picture: {error}. Copy it again.") from error


def _as_rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode in _BITS_16:
        grey = np.asarray(picture).astype(np.float32) / 65535
        return np.repeat(grey[..., None], 3, axis=2)
    if picture.has_transparency_data:
        layers = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layers.size, "white"), layers)
    return np.asarray(picture.convert("RGB")).astype(np.float32) / 255
