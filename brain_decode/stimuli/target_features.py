"""What retrieval is trained towards: vectors of the stimuli from frozen models, one per layer, blur and text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError, DataError, listed, unknown_option
from brain_decode.core.progress import track
from brain_decode.stimuli.blur import Blur, blur_levels
from brain_decode.stimuli.drawn_picture_targets import DRAWN_PICTURES, DrawnPictureTargets
from brain_decode.stimuli.feature_cache import FeatureCache, assembled
from brain_decode.stimuli.pictures import PictureFiles
from brain_decode.stimuli.text_models import TextModel
from brain_decode.stimuli.vision_models import Layer, Pooling, Precision, VisionModel

__all__ = ["TargetFeatures", "TargetSettings", "target_features"]

_SHARD = 256  # pictures; what a kill loses at most
_TEXTS_AT_ONCE = 64
_READERS = 4  # threads that decode pictures
_TEXT_KEYS = ("model", "template", "pooling")

PictureModel = VisionModel | DrawnPictureTargets
Cached = tuple[FeatureCache, Sequence[str]]  # a level, and the content hash of each stimulus in it


@dataclass(frozen=True)
class TargetSettings:
    """The `stimuli:` block of a configuration.

    Args:
        model: Folder or Hub id of a vision model, or `drawn_pictures`: the encoder of drawings that ships with the
            package.
        layers: See `VisionModel`; an empty list takes no pictures, only texts.
        pooling: See `VisionModel`.
        blurs: See `blur_levels`; each layer is taken from each blurred picture.
        precision: See `VisionModel`.
        batch_size: Pictures the model sees at once.
        text: None, or `model` (that of the pictures where it is left out), `template` and `pooling` of `TextModel`:
            one more level, the vector of the concept's name.

    Raises:
        ConfigError: Neither layers nor text, or no model.
    """

    model: str | None = None
    layers: Sequence[Layer] = ("projected",)
    pooling: Pooling = "cls"
    blurs: str | Sequence[int | Mapping[str, Any]] | None = None
    precision: Precision = "float32"
    batch_size: int = 32
    text: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.layers and self.text is None:
            raise ConfigError("stimuli: needs layers of pictures, or text.")
        if self.model is None and (self.layers or "model" not in (self.text or {})):
            raise ConfigError("stimuli: needs its model, a folder or a Hub id: stimuli={model: FOLDER}.")
        if self.batch_size < 1:
            raise ConfigError(f"stimuli.batch_size is at least 1, got {self.batch_size}.")
        for key in self.text or ():
            if key not in _TEXT_KEYS:
                raise unknown_option("key of stimuli.text", key, _TEXT_KEYS)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TargetSettings:
        """Build from the `stimuli:` block; an unknown key is a ConfigError."""
        allowed = [entry.name for entry in fields(cls)]
        for key in config:
            if key not in allowed:
                raise unknown_option("key of stimuli", key, allowed)
        return cls(**dict(config))


@dataclass(frozen=True)
class TargetFeatures:
    """Vectors of stimuli, and what made them.

    Args:
        vectors: (stimulus, dim), or (stimulus, level, dim) where there are several levels; read-only, on disk.
        levels: Name of each level.
        provenance: Settings, weights and transform as plain values; `space` is a hash of all that a vector depends on
            besides its stimulus, so that vectors of one space compare and others do not.
    """

    vectors: np.ndarray
    levels: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)


def target_features(
    settings: TargetSettings,
    ids: Sequence[str],
    *,
    cache_folder: Path,
    pictures: PictureFiles | None = None,
    concepts: Mapping[str, str] | None = None,
) -> TargetFeatures:
    """Return the vectors of stimuli, computed where the cache does not have them.

    Args:
        settings: Models, layers, blurs.
        ids: Stimuli, in the order of the rows.
        cache_folder: Where vectors are kept.
        pictures: By stimulus; needed for layers.
        concepts: Concept of each stimulus; needed for text.

    Raises:
        ConfigError: Models, layers or texts that cannot be used, or levels of several widths.
        DataError: Stimuli without picture or concept, damaged files.
        StorageError: The disk is full.
    """
    levels: dict[str, Cached] = {}
    described: dict[str, Any] = {}
    if settings.layers:
        if pictures is None:
            raise ConfigError("stimuli.layers need the pictures of the dataset; its entry has none (pictures:).")
        pictures.require(ids)
        model = _picture_model(settings)
        levels |= _picture_levels(model, settings, pictures, ids, cache_folder)
        described |= {"model": model.source, "architecture": model.architecture, **model.describe()}
    if settings.text is not None:
        chosen = dict(settings.text)
        text = TextModel(str(chosen.pop("model", None) or settings.model), **chosen)
        levels["text"] = _text_level(text, ids, concepts or {}, cache_folder)
        described["text"] = {"model": text.source, **text.describe()}
    widths = {name: cache.dim for name, (cache, _) in levels.items()}
    if len(set(widths.values())) > 1:
        raise ConfigError(f"Levels that are mixed have one width; got {widths}. Choose layers and texts of one width.")
    space = hashlib.sha256(" ".join(cache.key for cache, _ in levels.values()).encode()).hexdigest()[:16]
    provenance = described | {"levels": list(levels), "dim": next(iter(widths.values())), "space": space}
    return TargetFeatures(assembled(list(levels.values()), cache_folder), tuple(levels), provenance)


def _picture_model(settings: TargetSettings) -> PictureModel:
    if settings.model == DRAWN_PICTURES:
        return DrawnPictureTargets(layers=settings.layers, precision=settings.precision)
    return VisionModel(
        str(settings.model), layers=settings.layers, pooling=settings.pooling, precision=settings.precision
    )


def _picture_levels(
    model: PictureModel, settings: TargetSettings, pictures: PictureFiles, ids: Sequence[str], folder: Path
) -> dict[str, Cached]:
    """Return the filled cache of each blur and layer, blur after blur."""
    blurs = blur_levels(settings.blurs)
    caches = {
        blur: [FeatureCache(folder, _description(model, layer, blur)) for layer in model.layers] for blur in blurs
    }
    contents = {stimulus: pictures.content_hash(stimulus) for stimulus in dict.fromkeys(ids)}
    named = {content: stimulus for stimulus, content in contents.items()}
    every = [cache for of_blur in caches.values() for cache in of_blur]
    wanted = list(dict.fromkeys(content for cache in every for content in cache.missing(list(named))))
    _fill(caches, model, pictures, {content: named[content] for content in wanted}, settings.batch_size)
    rows = [contents[stimulus] for stimulus in ids]
    return {
        _level_name(layer, blur, blurs): (cache, rows)
        for blur, of_blur in caches.items()
        for layer, cache in zip(model.layers, of_blur, strict=True)
    }


def _fill(
    caches: Mapping[Blur, Sequence[FeatureCache]],
    model: PictureModel,
    pictures: PictureFiles,
    wanted: Mapping[str, str],
    batch_size: int,
) -> None:
    """Embed the pictures of `wanted` (content to stimulus), each read once, and write a shard at a time."""
    batches = _in_parts(list(wanted), batch_size)
    pending: dict[Blur, list[tuple[list[str], np.ndarray]]] = {blur: [] for blur in caches}
    read = _read_ahead(pictures, [[wanted[content] for content in batch] for batch in batches])
    for number, (batch, sharp) in enumerate(zip(batches, track(read, "Embedding pictures", len(batches))), start=1):
        on_device = [torch.from_numpy(picture).permute(2, 0, 1)[None].to(model.device) for picture in sharp]
        for blur, of_blur in caches.items():
            if any(cache.missing(batch) for cache in of_blur):
                inputs = torch.cat([model.transform(blur(picture)) for picture in on_device])
                pending[blur].append((batch, model.embed(inputs).numpy()))
        if number % max(_SHARD // batch_size, 1) == 0 or number == len(batches):
            for blur, of_blur in caches.items():
                _write_shards(of_blur, pending[blur])
                pending[blur] = []


def _read_ahead(pictures: PictureFiles, batches: Sequence[Sequence[str]]) -> Iterator[list[np.ndarray]]:
    """Yield the pictures of each batch; those of the next are read meanwhile."""
    with ThreadPoolExecutor(_READERS) as pool:
        coming: list[Future[np.ndarray]] = []
        for number in range(len(batches) + 1):
            current = coming
            coming = [pool.submit(pictures.read, name) for name in batches[number]] if number < len(batches) else []
            if number:
                yield [future.result() for future in current]


def _description(model: PictureModel, layer: Layer, blur: Blur) -> dict[str, Any]:
    return {**model.describe(), "layer": layer, "blur": blur.name}


def _level_name(layer: Layer, blur: Blur, blurs: Sequence[Blur]) -> str:
    name = f"layer {layer}" if isinstance(layer, int) else layer
    return name if len(blurs) == 1 and blur == Blur() else f"{name}, {blur.name}"


def _write_shards(caches: Sequence[FeatureCache], pending: Sequence[tuple[list[str], np.ndarray]]) -> None:
    """Write what each layer's cache lacks; `pending` has (picture, layer, dim) of each batch."""
    if not pending:
        return
    contents = [content for batch, _ in pending for content in batch]
    vectors = np.concatenate([part for _, part in pending])
    for layer, cache in enumerate(caches):
        lacking = set(cache.missing(contents))
        rows = [row for row, content in enumerate(contents) if content in lacking]
        if rows:
            cache.add([contents[row] for row in rows], vectors[rows, layer])


def _text_level(model: TextModel, ids: Sequence[str], concepts: Mapping[str, str], folder: Path) -> Cached:
    without = [stimulus for stimulus in dict.fromkeys(ids) if not concepts.get(stimulus)]
    if without:
        raise DataError(
            f"Texts need the concept of each stimulus; {len(without)} have none: {listed(without)}. Name the column "
            "with target.concept_column."
        )
    cache = FeatureCache(folder, {**model.describe(), "layer": "text"})
    names = {_text_content(model, concepts[stimulus]): concepts[stimulus] for stimulus in ids}
    for batch in track(_in_parts(cache.missing(list(names)), _TEXTS_AT_ONCE), "Embedding texts"):
        cache.add(batch, model.embed([names[content] for content in batch]).numpy())
    return cache, [_text_content(model, concepts[stimulus]) for stimulus in ids]


def _text_content(model: TextModel, concept: str) -> str:
    return hashlib.sha256(model.sentence(concept).encode()).hexdigest()


def _in_parts(items: Sequence[str], size: int) -> list[list[str]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
