"""What retrieval compares with: the feature file of a dataset entry, or vectors of its stimuli from frozen models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.datasets.features import FeatureFile, StimulusFeatures
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.signals.spec import TargetSpec
from brain_decode.stimuli.pictures import PictureFiles
from brain_decode.stimuli.target_features import TargetSettings, target_features

__all__ = ["load_targets", "require_same_space", "with_targets_of"]

_CACHE = "stimulus_features"  # folder beside the signal stores


def load_targets(
    config: DictConfig, entry: Mapping[str, Any], table: pd.DataFrame, root: Path
) -> tuple[StimulusFeatures, dict[str, Any]]:
    """Return the features of the stimuli of a run, and where they come from.

    Args:
        config: Composed; its `stimuli:` names the models, null takes the entry's feature file.
        entry: Of the dataset.
        table: Window table, with stimulus and concept.
        root: Folder of the dataset.

    Raises:
        ConfigError: The entry has no features and no model is named.
        DataError: Stimuli without picture, or damaged files.
    """
    block = config.get("stimuli")
    file = FeatureFile.from_config(entry["features"]) if entry.get("features") else None
    if block is None:
        if file is None:
            raise ConfigError(
                f"Retrieval compares with stimulus features, and '{entry['name']}' has none (features:). Name a model "
                "of its pictures: stimuli={model: FOLDER}."
            )
        provenance = {"file": file.file, "key": file.key}
        return file.load(root), provenance
    settings: dict[str, Any] = OmegaConf.to_container(block, resolve=True)  # type: ignore[assignment]
    pictures = PictureFiles.from_config(entry["pictures"], root) if entry.get("pictures") else None
    concepts = _concepts(table, file, root)
    ids = _needed(config, table, pictures, concepts)
    made = target_features(
        TargetSettings.from_config(settings),
        ids,
        cache_folder=Path(config.paths.store) / _CACHE,
        pictures=pictures,
        concepts=concepts,
    )
    of_each = tuple(concepts.get(stimulus, "") for stimulus in ids) if any(concepts.values()) else ()
    return StimulusFeatures(tuple(ids), made.vectors, of_each), {"settings": settings, **made.provenance}


def _concepts(table: pd.DataFrame, file: FeatureFile | None, root: Path) -> dict[str, str]:
    """Return the concept of each stimulus that was shown, and of those that only the feature file names."""
    known: dict[str, str] = {}
    if file is not None and file.concepts is not None:
        stored = file.load(root)
        known = dict(zip(stored.ids, stored.concepts, strict=True))
    shown = table.drop_duplicates("stimulus")
    return known | dict(zip(shown["stimulus"].astype(str), shown["concept"].astype(str), strict=True))


def _needed(
    config: DictConfig, table: pd.DataFrame, pictures: PictureFiles | None, concepts: Mapping[str, str]
) -> list[str]:
    """Return the stimuli that were shown, and the others that the gallery ranks besides."""
    shown = list(dict.fromkeys(table["stimulus"].astype(str)))
    kind = config.get("gallery") or "exact_image"
    if kind == "exact_image" or pictures is None:
        return shown
    others = pictures.ids if kind == "all_images" else [one for one in pictures.ids if concepts.get(one)]
    return list(dict.fromkeys([*shown, *others]))


def with_targets_of(decoder: BrainDecoder, config: DictConfig) -> DictConfig:
    """Return the configuration with the stimulus models the decoder was trained with, where it names none."""
    settings = (decoder.provenance.get("stimuli") or {}).get("settings")
    if config.get("stimuli") is not None or not settings:
        return config
    filled = config.copy()
    OmegaConf.update(filled, "stimuli", settings, force_add=True)
    return filled


def require_same_space(decoder: BrainDecoder, spec: TargetSpec, provenance: Mapping[str, Any]) -> None:
    """Refuse stimulus features that the decoder's answers cannot be compared with.

    Raises:
        SpecMismatch: Another number of features or levels, or features of another model, layer or blur.
    """
    own = decoder.target_spec
    if (own.dim, own.n_levels) != (spec.dim, spec.n_levels):
        raise SpecMismatch(
            f"The decoder answers with {own.dim} features of {own.n_levels} level(s); the stimulus features here have "
            f"{spec.dim} of {spec.n_levels}. Take those it was trained with."
        )
    trained = decoder.provenance.get("stimuli") or {}
    if trained.get("space") != provenance.get("space"):
        raise SpecMismatch(
            f"The decoder was trained towards {_named(trained)}; the stimulus features here are {_named(provenance)}. "
            "Vectors of different spaces do not compare: leave out stimuli=, or name the same model."
        )


def _named(provenance: Mapping[str, Any]) -> str:
    if "space" in provenance:
        source = provenance.get("model") or provenance.get("text", {}).get("model")
        return f"'{source}' ({'; '.join(provenance['levels'])}; space {provenance['space']})"
    return f"the feature file '{provenance['file']}'" if provenance.get("file") else "a feature file"
