"""The datasets of a joint run: each read, split and embedded as the decoder that was trained on it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError, LeakageError, listed
from brain_decode.core.progress import track
from brain_decode.datasets.inner_folds import inner_folds
from brain_decode.datasets.leakage import check_leakage
from brain_decode.datasets.sealed import SealedFold, seal
from brain_decode.datasets.seen_recordings import recordings_of, vouched_pairs
from brain_decode.datasets.splits import OfficialSplit
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.vouching import VOUCH_WORD, vouched_for
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.passport import Passport
from brain_decode.heads.retrieval import Retrieval
from brain_decode.preprocessing.reach import reach_of
from brain_decode.signals.recording import Recording
from brain_decode.training.fitting import GroupReader
from brain_decode.training.loading import LoadedRun, dataset_entries, load_recordings, load_run
from brain_decode.training.recording_passports import accepted_recordings
from brain_decode.training.run import protocol_of
from brain_decode.training.sealed_trials import SealedTrials
from brain_decode.training.trials import repetition_groups

__all__ = [
    "JoinedPart",
    "embedded",
    "joined_content_hashes",
    "joined_entries",
    "labelled",
    "read_part_of_join",
    "refuse_shared_pictures",
    "require_one_space",
]

_AT_ONCE = 64  # averaged windows that a frozen encoder sees at once


@dataclass(frozen=True)
class JoinedPart:
    """The recordings of one dataset and the decoder that was trained on them.

    Args:
        name: Of the dataset.
        decoder: Trained for retrieval, and frozen from here on.
        loaded: Its windows.
        train: Rows trained on.
        validation: Rows that choose the epoch; of pictures that are not trained on.
        test: Rows that are scored.
        tested: Their pictures.
        learnt: The pictures of the training part, which the decoder has learnt from.
        hashes: Content hash of each recording.
        passports: How each recording meets the decoder.
        vouched: Pairs of its recordings that a person says are no copies.
    """

    name: str
    decoder: BrainDecoder
    loaded: LoadedRun
    train: np.ndarray
    validation: np.ndarray
    test: SealedFold
    tested: frozenset[str]
    learnt: frozenset[str]
    hashes: Sequence[str]
    passports: Sequence[Passport]
    vouched: Sequence[Mapping[str, Any]] = ()

    @property
    def table(self) -> pd.DataFrame:
        """Window table."""
        return self.loaded.trials.table


def joined_entries(config: DictConfig) -> list[dict[str, Any]]:
    """Return the dataset entries; each has a source, and no source is left over."""
    entries, sources = dataset_entries(config), dict(config.join)
    names = [str(entry["name"]) for entry in entries]
    if sorted(names) != sorted(sources):
        raise ConfigError(
            f"join= names the run of each dataset: datasets are {names}, join has {sorted(sources)}. Write "
            f"join={{{', '.join(f'{name}: runs/{name}' for name in names)}}}."
        )
    return entries


def read_part_of_join(config: DictConfig, entry: Mapping[str, Any], folder: Path) -> JoinedPart:
    """Read one dataset as its decoder does, and split it."""
    name = str(entry["name"])
    decoder = _source(str(config.join[name]))
    plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    own = OmegaConf.create({**plain, "datasets": dict(entry), "also": {}})
    spec = decoder.input_spec
    loaded = load_run(own, decoder.preprocessing, window=(spec.start_s, spec.stop_s))
    trials = loaded.trials
    if trials.task != "retrieval":
        raise ConfigError(
            f"join= is about retrieval; the target of '{name}' is {trials.task}. Set target.task=retrieval."
        )
    store = replace(trials).store(decoder.preprocessing)  # of a copy, which keeps the stores of the originals
    hashes, fingerprints = store.content_hashes, store.fingerprints
    passports, trials.recordings = accepted_recordings(decoder, trials.recordings, config.get("input_unit"))
    protocol = protocol_of(own, trials, folder, hashes, fingerprints)
    if not isinstance(protocol.split, OfficialSplit):
        raise ConfigError(
            f"join= needs split=official, got {protocol.split.name}: the decoders have learnt from the training part "
            "of their datasets, which only the official split keeps."
        )
    (fold,) = protocol.split.folds(trials.table)
    labels = [recording.label for recording in trials.recordings]
    own_recordings = recordings_of(trials.table, labels, hashes, fingerprints)
    vouched = vouched_for(_words_about(name, config), [one.name for one in own_recordings])
    check_leakage(
        trials.table,
        fold,
        forbids=protocol.split.forbids,
        zero_shot=True,
        content_hashes=hashes,
        fingerprints=fingerprints,
        vouched=vouched,
    )
    kept = fold.train[trials.table["rejected"].to_numpy()[fold.train] == ""]
    continuous = [recording.rate_hz for recording in trials.recordings if recording.continuous]
    reach = reach_of([decoder.preprocessing.signal_steps], continuous)
    last = inner_folds(trials.table, kept, zero_shot=True, reach=reach)[-1]
    tested, learnt = (frozenset(trials.table["stimulus"].iloc[rows].astype(str)) for rows in (fold.test, fold.train))
    pairs = vouched_pairs(
        vouched,
        *(recordings_of(trials.table.iloc[rows], labels, hashes, fingerprints) for rows in (fold.train, fold.test)),
    )
    return JoinedPart(
        name, decoder, loaded, last.train, last.test, seal(fold), tested, learnt, hashes, passports, pairs
    )


def _words_about(name: str, config: DictConfig) -> Any:
    """Return what `distinct_recordings=` says, without the recordings of the other datasets of a join."""
    words = config.get(VOUCH_WORD)
    if words is None or isinstance(words, str):
        return words
    others = tuple(f"{other} " for other in config.join if other != name)
    return [str(word) for word in words if not str(word).startswith(others)]


def _source(place: str) -> BrainDecoder:
    """Return a decoder that can be joined; a run folder stands for its checkpoint."""
    inside = Path(place) / "checkpoint"
    decoder = BrainDecoder.from_pretrained(inside if (inside / "config.json").is_file() else place)
    if not isinstance(decoder.head, Retrieval):
        raise ConfigError(
            f"The decoder of '{place}' has the head '{decoder.head.architecture}'; joined ones are trained by gradient "
            "descent with head=retrieval."
        )
    if decoder.provenance.get("fitted_partition") != "train":
        raise ConfigError(
            f"The decoder of '{place}' was fitted on all windows of its dataset, so a score on its test part means "
            "nothing. Train it with split=official."
        )
    decoder.encoder.requires_grad_(False).eval()
    decoder.head.requires_grad_(False).eval()
    return decoder


def require_one_space(parts: Sequence[JoinedPart]) -> None:
    """Refuse decoders and pictures that do not have the same features.

    Raises:
        ConfigError: One dataset only, other sizes, or a picture that two datasets give different features.
    """
    if len(parts) < 2:
        raise ConfigError(f"join= takes two datasets or more, got {[part.name for part in parts]}.")
    sizes = {part.name: (part.decoder.target_spec.dim, part.loaded.trials.target_spec.dim) for part in parts}
    if len({size for both in sizes.values() for size in both}) > 1:
        told = ", ".join(
            f"'{name}' decodes {own} values, its pictures have {theirs}" for name, (own, theirs) in sizes.items()
        )
        raise ConfigError(
            f"Joined decoders share the features of the pictures: {told}. Train them on the same features."
        )
    for part in parts[1:]:
        _require_same_features(parts[0], part)


def _require_same_features(first: JoinedPart, second: JoinedPart) -> None:
    one, other = first.loaded.trials, second.loaded.trials
    common = sorted(set(one.feature_ids) & set(other.feature_ids))
    if one.features is None or other.features is None or not common:
        return
    rows = one.features[one.feature_rows(common)], other.features[other.feature_rows(common)]
    if not np.allclose(*rows, atol=1e-5):
        raise ConfigError(
            f"'{first.name}' and '{second.name}' give the picture '{common[0]}' or others different features. Train "
            "both on the features of one model."
        )


def refuse_shared_pictures(parts: Sequence[JoinedPart]) -> None:
    """Refuse pictures that are tested in one dataset and trained on in another: the shared head would know them."""
    for part in parts:
        for other in parts:
            met = sorted(part.tested & other.learnt)
            if met:
                raise LeakageError(
                    f"'{part.name}' is tested on pictures that '{other.name}' is trained on: {listed(met)}. Join "
                    "datasets whose official test pictures are new to all of them."
                )


@torch.no_grad()
def embedded(part: JoinedPart, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the frozen decoder makes of averaged windows, in the space of the pictures, and their features."""
    decoder = part.decoder
    groups = repetition_groups(part.table, getattr(part, side))
    shut = SealedTrials(part.loaded.trials, part.test.test)
    reader = GroupReader(shut, decoder.preprocessing, groups, decoder.signal_spec.subjects)
    positions = np.arange(len(groups))
    pieces = np.array_split(positions, -(-len(positions) // _AT_ONCE))
    vectors = []
    for piece in track(pieces, f"Embedding {part.name}", len(pieces)):
        batch = reader.batch(piece)[0]
        vectors.append(decoder.head.projector(decoder.encoder(batch).pooled).float())  # type: ignore[operator]
    return torch.cat(vectors), reader.target_tensor(positions)


def joined_content_hashes(config: DictConfig) -> dict[str, str]:
    """Return the content hash of each recording of a joint run by its dataset and label, read as its decoder does."""
    found: dict[str, str] = {}
    for entry in joined_entries(config):
        name = str(entry["name"])
        recordings = load_recordings(entry)[1]
        steps = _source(str(config.join[name])).preprocessing.signal_steps
        store = prepare_store(recordings, steps, Path(config.paths.store), workers=int(config.workers or 1))
        pairs = zip(recordings, store.content_hashes, strict=True)
        found |= {labelled(name, recording): content for recording, content in pairs}
    return found


def labelled(dataset: str, recording: Recording) -> str:
    """Return a name that recordings of one person by two systems do not share."""
    return f"{dataset} {recording.label}"
