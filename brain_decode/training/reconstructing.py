"""Pictures from the answers of a decoder: drawn, scored beside ceiling and shuffled control, and written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.generators import build_generator
from brain_decode.evaluation.contact_sheet import (
    ReconstructionEvidence,
    shown_positions,
    write_contact_sheet,
    write_pictures,
)
from brain_decode.evaluation.picture_scores import Describe, Reconstructions, score_pictures, shuffled_orders
from brain_decode.evaluation.retrieval import Gallery, similarities
from brain_decode.generation.base import PictureGenerator
from brain_decode.simulation.pixel_features import pixel_features
from brain_decode.stimuli.cards import name_cards
from brain_decode.stimuli.perceptual.networks import open_networks
from brain_decode.stimuli.pictures import PictureFiles
from brain_decode.stimuli.resizing import resize
from brain_decode.training.trials import Trials

__all__ = ["STAND_IN", "Drawing", "Reconstructed", "drawing_from_config", "reconstruct"]

_LOG = logging.getLogger(__name__)
STAND_IN = "nearest_picture"  # the word for pictures of the gallery in the place of drawn ones
SHEET = "contact_sheet.png"
_SHOWN_SIDE = 224  # pixels of pictures that stand in
_ORDERS = 5  # shuffled controls
_DESCRIBED_SIDE = 64


@dataclass(frozen=True)
class Drawing:
    """How answers become pictures.

    Args:
        generator: Settings of the generator, with its name as `architecture`.
        seed: Of its noise, and of permutations.
        judges: What compares pictures, by metric; see `score_pictures`.
    """

    generator: Mapping[str, Any]
    seed: int = 0
    judges: Mapping[str, Describe] | None = None


@dataclass(frozen=True)
class Reconstructed:
    """What came out of it.

    Args:
        metrics: Scores of the pictures; empty for cards, which are no pictures.
        evidence: For the report.
    """

    metrics: dict[str, Any]
    evidence: dict[str, Any]


def drawing_from_config(config: DictConfig, trials: Trials, saved: Mapping[str, Any] | None = None) -> Drawing | None:
    """Return how a run turns answers into pictures; None where it does not.

    Args:
        config: Composed; its `generator:` and `judges:`.
        trials: The run's windows, with the features of the stimuli.
        saved: The generator of a saved decoder, taken where the configuration names none.

    Raises:
        ConfigError: Another task than retrieval, a generator that is not there, or one made for features of another
            model than the run's (`stimuli=`).
        SpecMismatch: It draws from vectors of another length.
    """
    settings: Any = OmegaConf.to_container(config.get("generator") or OmegaConf.create({}), resolve=True)
    is_asked = bool(settings.get("architecture"))
    settings = settings if is_asked else dict(saved or {})
    name = settings.get("architecture")
    if not name:
        return None
    if not is_asked and trials.pictures is None:
        _LOG.warning("Nothing is drawn with %s: the dataset does not say where its pictures are (pictures:).", name)
        return None
    if trials.task != "retrieval":
        raise ConfigError(
            f"generator={name} draws from answers of retrieval; the task is {trials.task}. Set target.task=retrieval."
        )
    if name != STAND_IN:
        _require_pictures(trials)
        _require_its_features(build_generator(settings, trials.target_spec), name, trials)
    judges = OmegaConf.to_container(config.get("judges") or OmegaConf.create({}), resolve=True)
    return Drawing(settings, int(config.seed), _judges(judges))  # type: ignore[arg-type]


def _require_its_features(generator: PictureGenerator, name: str, trials: Trials) -> None:
    model = trials.feature_provenance.get("model")
    if generator.feature_model is not None and model != generator.feature_model:
        raise ConfigError(
            f"generator={name} draws from features of '{generator.feature_model}', the run's are of "
            f"{repr(model) if model else 'a feature file'}. Add stimuli={{model: {generator.feature_model}}}."
        )


def _judges(settings: Mapping[str, Any] | None) -> dict[str, Describe]:
    """Return what compares pictures: plain pixel features, and the networks whose weights are there.

    Args:
        settings: `networks`, a folder of published weights; `names`, those of them that are wanted; `compat`. None for
            pixel features alone.

    Raises:
        ConfigError: Weights that are not there, or an unknown name.
    """
    judges: dict[str, Describe] = {"two_way_pixel_features": _described}
    chosen = dict(settings or {})
    if chosen.get("networks"):
        networks = open_networks(chosen["networks"], chosen.get("names"), compat=chosen.get("compat"))
        judges |= {network.metric: network for network in networks}
    return judges


def _described(pixels: np.ndarray) -> np.ndarray:
    """Return standardised colour layout, oriented energy and silhouette of pictures at 64 x 64, side by side."""
    channels_first = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2)
    small = resize(channels_first, _DESCRIBED_SIDE, _DESCRIBED_SIDE, mode="bilinear").permute(0, 2, 3, 1).numpy()
    families = pixel_features(small)
    scaled = [values / max(float(values.std()), 1e-9) / np.sqrt(values.shape[1]) for values in families.values()]
    return np.concatenate(scaled, axis=1)


def reconstruct(
    decoder: BrainDecoder,
    trials: Trials,
    answers: Sequence[tuple[pd.DataFrame, np.ndarray]],
    drawing: Drawing,
    folder: Path,
) -> Reconstructed:
    """Draw a picture from each answer, score all, and write them below `folder`.

    The ceiling is drawn from the true features of each picture; the control hands the answers to other pictures.

    Args:
        decoder: Gave the answers; knows what its head makes of features. It keeps the generator.
        trials: Features and pictures of the stimuli.
        answers: Of each fold, stimuli (and whose brain) and vectors (n, dim).
        drawing: Generator, seed and judges.
        folder: Run folder; the pictures go into `pictures/`.

    Raises:
        ConfigError: A generator without pictures to compare with, or one that is not there.
        SpecMismatch: The generator draws from other features.
        DataError: A picture that is missing or damaged.
    """
    table = pd.concat([frame for frame, _ in answers], ignore_index=True)
    vectors = np.concatenate([part for _, part in answers])
    stimuli = list(dict.fromkeys(table["stimulus"].astype(str)))
    shown = pd.Index(stimuli).get_indexer(pd.Index(table["stimulus"].astype(str)))
    features = decoder.head.gallery_vectors(_features(trials)[trials.feature_rows(stimuli)])
    stands_in = drawing.generator.get("architecture") == STAND_IN
    if not stands_in:
        decoder.generator = dict(drawing.generator)
    maker = _nearest(decoder, trials) if stands_in else _drawn(decoder, trials, drawing)
    drawn = maker.draw(vectors)
    orders = shuffled_orders(len(vectors), _ORDERS, seed=drawing.seed)
    pictures = Reconstructions(
        seen=maker.seen(stimuli),
        reconstructed=drawn,
        shown=shown,
        shuffled=[drawn[order] for order in orders],
        ceiling=None if stands_in else maker.draw(features),
    )
    metrics = {} if maker.is_cards else score_pictures(pictures, drawing.judges, seed=drawing.seed)
    evidence = _written(pictures, table, folder, stands_in, maker.note, drawing, tuple(metrics))
    return Reconstructed(metrics, evidence.as_json())


def _features(trials: Trials) -> np.ndarray:
    if trials.features is None:
        raise ConfigError("Reconstruction draws from stimulus features; the dataset has none (features:, stimuli=).")
    return trials.features


@dataclass(frozen=True)
class _Maker:
    """Shows what was seen and makes pictures of vectors.

    Args:
        seen: Stimuli to pictures.
        draw: Vectors (n, dim) to pictures.
        is_cards: Both are names on cards, not pictures.
        note: What a reader must know.
    """

    seen: Callable[[Sequence[str]], np.ndarray]
    draw: Callable[[np.ndarray], np.ndarray]
    is_cards: bool = False
    note: str = ""


def _drawn(decoder: BrainDecoder, trials: Trials, drawing: Drawing) -> _Maker:
    pictures = _require_pictures(trials)
    generator = decoder.picture_generator
    return _Maker(
        seen=partial(pictures.load, size=max(generator.height, generator.width)),
        draw=partial(decoder.draw, seed=drawing.seed),
    )


def _require_pictures(trials: Trials) -> PictureFiles:
    if trials.pictures is None:
        raise ConfigError(
            "Reconstructions are shown beside the pictures that were seen; the dataset entry does not say where they "
            f"are (pictures:). Add it, or take generator={STAND_IN}."
        )
    return trials.pictures


def _nearest(decoder: BrainDecoder, trials: Trials) -> _Maker:
    """Return a maker whose pictures are those with the nearest features; cards where the dataset has no pictures."""
    gallery = Gallery(trials.feature_ids, decoder.head.gallery_vectors(_features(trials)), "all_images")
    has_pictures = trials.pictures is not None
    look = partial(trials.pictures.load, size=_SHOWN_SIDE) if trials.pictures is not None else _cards
    kind = "pictures" if has_pictures else "names"
    note = (
        f"These are not reconstructions: in their place stand the {kind} of the dataset's stimuli whose features are "
        f"nearest to the decoder's answers, among all {len(gallery)}."
    )
    return _Maker(look, partial(_nearest_pictures, gallery, look), not has_pictures, note)


def _nearest_pictures(gallery: Gallery, look: Callable[[Sequence[str]], np.ndarray], vectors: np.ndarray) -> np.ndarray:
    best = similarities(vectors, gallery).argmax(axis=1)
    return look([gallery.ids[position] for position in best])


def _cards(stimuli: Sequence[str]) -> np.ndarray:
    return name_cards([f"stimulus {name}" if name.isdigit() else name for name in stimuli])


def _written(
    pictures: Reconstructions,
    table: pd.DataFrame,
    folder: Path,
    stands_in: bool,
    note: str,
    drawing: Drawing,
    metrics: tuple[str, ...],
) -> ReconstructionEvidence:
    names = table["stimulus"].astype(str).tolist()
    if table["subject"].nunique() > 1:
        names = [f"sub-{subject} {name}" for subject, name in zip(table["subject"], names, strict=True)]
    if not stands_in:
        write_pictures(pictures.reconstructed, names, folder / "pictures")
    chosen = shown_positions(len(names))
    rows = write_contact_sheet(
        pictures.seen[pictures.rows[chosen]],
        None if pictures.ceiling is None else pictures.ceiling[pictures.rows[chosen]],
        pictures.reconstructed[chosen],
        pictures.shuffled[0][chosen],
        folder / "pictures" / SHEET,
        [names[position] for position in chosen],
        stand_in=stands_in,
    )
    return ReconstructionEvidence(
        sheet=f"pictures/{SHEET}",
        rows=rows,
        shown=tuple(names[position] for position in chosen),
        n_pictures=len(names),
        metrics=metrics,
        generator=str(drawing.generator["architecture"]),
        stand_in=stands_in,
        note=note,
    )
