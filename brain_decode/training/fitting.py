"""Fit one decoder on the training part of a fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.core.progress import track
from brain_decode.core.seeding import seed_everything
from brain_decode.decoder.brain_decoder import BrainDecoder, InputSpec
from brain_decode.encoders.base import BrainEmbedding, ClosedFormEncoder, Encoder
from brain_decode.heads.base import ClosedFormHead, Head
from brain_decode.nn.low_rank import merge_low_rank
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.preprocessing.channels import Pick
from brain_decode.signals.batch import SignalBatch, subject_indices
from brain_decode.signals.space import Space
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.windows import Windows
from brain_decode.training.batches import BatchReader
from brain_decode.training.recipes import Recipe
from brain_decode.training.stored_averages import store_averages
from brain_decode.training.stored_tokens import TokenisedWindows, require_storable
from brain_decode.training.trials import RepetitionGroups, Trials, repetition_groups
from brain_decode.training.unfinished import fit_folder

__all__ = [
    "ClosedFormParts",
    "FitSettings",
    "FittedDecoder",
    "GroupReader",
    "closed_form_parts",
    "fit_decoder",
    "fit_head",
]

_COPIES = 4  # float64 copies of the windows that steps and closed-form parts hold at once while they are fitted
_READ_BYTES = 1 << 26  # windows read at once
_EMBEDDED_AT_ONCE = 64  # windows that a frozen network sees at once
_TARGETS_AT_ONCE = 1024  # stimuli whose levels are read at once


@dataclass(frozen=True)
class FitSettings:
    """What fitting needs besides the recipe.

    Args:
        seed: Seeds initialisation, order and dropout.
        trainer: `conf/trainer` settings for networks.
        optimizer: `conf/optimizer` settings for networks.
        average_repetitions: Train on the mean of the repetitions of each stimulus.
        memory_gib: What fitting in closed form may take; where more windows are there than fit, as many are drawn at
            random.
        state_folder: Where networks keep the state of their training, and take it up again; None keeps none.

    Raises:
        ConfigError: No memory.
    """

    seed: int = 0
    trainer: Mapping[str, Any] = field(default_factory=dict)
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    average_repetitions: bool = False
    memory_gib: float = 4.0
    state_folder: Path | None = None

    def __post_init__(self) -> None:
        if self.memory_gib <= 0:
            raise ConfigError(f"memory_gib is a positive number of gibibytes, got {self.memory_gib:g}.")


@dataclass(frozen=True)
class FittedDecoder:
    """A decoder and how its training went.

    Args:
        decoder: Fitted.
        curves: One row per epoch; empty for closed-form decoders.
        n_left_out: Training windows (or averages) that a closed-form decoder did not see, because they do not fit into
            memory.
    """

    decoder: BrainDecoder
    curves: list[dict[str, Any]] = field(default_factory=list)
    n_left_out: int = 0


@dataclass
class GroupReader:
    """Reads averaged or single windows of one fitted preprocessing, a batch at a time.

    Args:
        trials: Where windows and targets come from.
        preprocessing: Fitted steps.
        groups: What one position stands for; groups of one row where nothing is averaged.
        subjects: Training subjects, in index order.
    """

    trials: Trials
    preprocessing: Preprocessing
    groups: RepetitionGroups
    subjects: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.groups)

    def windows(self, positions: np.ndarray) -> Windows:
        """Return preprocessed windows, one per position."""
        chosen = self.groups.members(np.asarray(positions))
        single = self.preprocessing.apply_windows(self.trials.windows(self.preprocessing, chosen.rows))
        return single if len(chosen) == len(chosen.rows) else chosen.average(single)

    def targets(self, positions: np.ndarray) -> np.ndarray:
        """Return the target of each position."""
        return self.trials.targets(self.groups.first_rows()[np.asarray(positions)])

    def batch(self, positions: np.ndarray) -> tuple[SignalBatch, torch.Tensor]:
        """Return the batch and its targets: class indices (int64) or vectors (float32)."""
        return SignalBatch.from_windows(self.windows(positions), self.subjects), self.target_tensor(positions)

    def subject_indices(self, positions: np.ndarray) -> torch.Tensor:
        """Return the index of each position's subject among the training subjects, -1 for others."""
        return subject_indices(self._subject_labels[self.groups.first_rows()[np.asarray(positions)]], self.subjects)

    @cached_property
    def _subject_labels(self) -> np.ndarray:
        return self.trials.table["subject"].astype(str).to_numpy()

    def target_tensor(self, positions: np.ndarray) -> torch.Tensor:
        """Return class indices (int64) or vectors (float32)."""
        target = torch.from_numpy(self.targets(positions))
        return target if target.dtype == torch.int64 else target.float()


def fit_decoder(
    recipe: Recipe, trials: Trials, rows: np.ndarray, *, validation: np.ndarray, settings: FitSettings
) -> FittedDecoder:
    """Fit preprocessing, encoder and head on `rows`.

    Args:
        recipe: What to build.
        trials: The run's windows.
        rows: Training positions in the window table.
        validation: Positions a network is stopped and calibrated on; training positions too, never test ones.
            Closed-form decoders are fitted on both.
        settings: Seed and training settings.

    Raises:
        DataError: No training window, or a class without one.
        SpecMismatch: Montages that differ where the encoder needs one.
    """
    seed_everything(settings.seed)
    every_row = np.sort(np.concatenate([rows, validation]).astype(int))
    if recipe.is_fixed:
        return FittedDecoder(_fixed_decoder(recipe, trials))
    _require_classes(recipe, trials, rows)
    decoder, at_most = _unfitted(recipe, trials, every_row, settings)
    encoder, head = decoder.encoder, decoder.head
    if not encoder.learns_by_gradient and (isinstance(head, ClosedFormHead) or _is_fitted(encoder)):
        parts = ClosedFormParts.of(decoder, trials, every_row, settings, at_most)
        _fit_closed_form(parts)
        return FittedDecoder(decoder, n_left_out=parts.n_left_out)
    state = _state_folder(recipe, rows, validation, settings)
    return FittedDecoder(decoder, _fit_gradient(decoder, trials, rows, validation, settings, state))


def closed_form_parts(recipe: Recipe, trials: Trials, rows: np.ndarray, settings: FitSettings) -> ClosedFormParts:
    """Return a closed-form decoder with fitted steps, whose encoder and head are still to be fitted on `rows`."""
    seed_everything(settings.seed)
    decoder, at_most = _unfitted(recipe, trials, np.sort(rows), settings)
    return ClosedFormParts.of(decoder, trials, np.sort(rows), settings, at_most)


@dataclass(frozen=True)
class ClosedFormParts:
    """A closed-form decoder and the windows it is fitted on.

    Args:
        decoder: Its steps are fitted, its encoder and head are not.
        reader: Reads training windows.
        positions: Of the reader, that are fitted on.
        at_most: Windows that fit into the memory that fitting may take.
    """

    decoder: BrainDecoder
    reader: GroupReader
    positions: np.ndarray
    at_most: int

    @classmethod
    def of(
        cls, decoder: BrainDecoder, trials: Trials, rows: np.ndarray, settings: FitSettings, at_most: int
    ) -> ClosedFormParts:
        """Return the parts for training rows, at most so many of which fit into memory."""
        groups = _groups(trials, rows, settings.average_repetitions)
        reader = GroupReader(trials, decoder.preprocessing, groups, decoder.signal_spec.subjects)
        return cls(decoder, reader, _drawn(np.arange(len(groups)), at_most, settings.seed), at_most)

    @property
    def n_left_out(self) -> int:
        """Training windows (or averages) that do not fit into memory."""
        return len(self.reader) - len(self.positions)

    @property
    def rows(self) -> np.ndarray:
        """A row of the window table for each window (or average) that is fitted on."""
        return self.reader.groups.first_rows()[self.positions]

    @property
    def head(self) -> ClosedFormHead:
        """The head of the decoder.

        Raises:
            SpecMismatch: It learns by gradient descent.
        """
        encoder, head = self.decoder.encoder, self.decoder.head
        if not isinstance(head, ClosedFormHead):
            raise SpecMismatch(
                f"Encoder '{encoder.architecture}' is fitted in closed form and head '{head.architecture}' by gradient "
                "descent; choose a closed-form head (logistic_regression, shrinkage_lda, ridge)."
            )
        return head

    def training_batch(self) -> SignalBatch:
        """Return the windows that are fitted on."""
        return _read(self.reader, self.positions, self.decoder.signal_spec)

    def training_embedding(self) -> BrainEmbedding:
        """Return what a frozen encoder makes of them."""
        return _embedded(self.decoder.encoder, self.reader, self.positions)

    def batch_of(self, rows: np.ndarray) -> SignalBatch:
        """Return other windows, each its own."""
        other = self._reader_of(rows)
        return _read(other, np.arange(len(rows)), self.decoder.signal_spec)

    def embedding_of(self, rows: np.ndarray) -> BrainEmbedding:
        """Return what the encoder makes of other windows."""
        return _embedded(self.decoder.encoder, self._reader_of(rows), np.arange(len(rows)))

    def _reader_of(self, rows: np.ndarray) -> GroupReader:
        return replace(self.reader, groups=RepetitionGroups(rows, np.arange(len(rows))))


def _unfitted(recipe: Recipe, trials: Trials, rows: np.ndarray, settings: FitSettings) -> tuple[BrainDecoder, int]:
    """Return a decoder with steps fitted on `rows`, and how many windows fit into the memory that fitting may take."""
    preprocessing = recipe.build_preprocessing()
    at_most = _at_most(trials, preprocessing, settings)
    spec = _fit_preprocessing(preprocessing, trials, _drawn(rows, at_most, settings.seed))
    encoder = recipe.build_encoder(spec)
    head = recipe.build_head(encoder, trials.target_spec)
    made = BrainDecoder(preprocessing, encoder, head, spec, trials.target_spec, input_spec_of(trials, preprocessing))
    return made, at_most


def _is_fitted(encoder: Encoder) -> bool:
    return isinstance(encoder, ClosedFormEncoder) and bool(encoder.fitted_names)


def _fixed_decoder(recipe: Recipe, trials: Trials) -> BrainDecoder:
    """Return a decoder with nothing to fit; its sizes come from a blank window, its values from none."""
    preprocessing = recipe.build_preprocessing()
    probe = preprocessing.apply_windows(trials.blank_window(preprocessing))
    spec = SignalSpec(probe.space, probe.data.shape[2], probe.rate_hz, probe.start_s)
    encoder = recipe.build_encoder(spec)
    head = recipe.build_head(encoder, trials.target_spec)
    return BrainDecoder(preprocessing, encoder, head, spec, trials.target_spec, input_spec_of(trials, preprocessing))


def input_spec_of(trials: Trials, preprocessing: Preprocessing) -> InputSpec:
    """Return what a new recording must offer, from the first recording, the window table and a leading pick."""
    recording, first = trials.recordings[0], trials.table.iloc[0]
    offset = 0.0 if not recording.continuous else float(np.nan_to_num(first["onset_s"]))
    sensors: Space = recording.space.pick(recording.space.decoded_indices())
    if preprocessing.signal_steps and isinstance(preprocessing.signal_steps[0], Pick):
        nothing = np.zeros((len(recording.space), 0))
        sensors = preprocessing.signal_steps[0].apply(Continuous(nothing, recording.rate_hz, recording.space)).sensors
    return InputSpec(
        sensors=sensors,
        rate_hz=recording.rate_hz,
        start_s=round(float(first["start_s"]) - offset, 9),
        stop_s=round(float(first["stop_s"]) - offset, 9),
        target_column=trials.target_column,
        classes=trials.class_values,
        reference=recording.reference,
        line_frequency_hz=recording.line_frequency_hz,
        amplitudes=trials.first_amplitudes(sensors),
    )


def _require_classes(recipe: Recipe, trials: Trials, rows: np.ndarray) -> None:
    if len(rows) == 0:
        raise DataError(f"'{recipe.name}' has no training window; every one was excluded or held out.")
    if trials.task != "classification":
        return
    present = set(trials.table.iloc[rows]["label"].astype(str))
    absent = [label for label in trials.classes if label not in present]
    if absent:
        raise DataError(
            f"The training part of this fold has no window of class {absent}. Choose another split=, or drop the class."
        )


def _at_most(trials: Trials, preprocessing: Preprocessing, settings: FitSettings) -> int:
    """Return how many windows fit into the memory that fitting may take."""
    window = trials.blank_window(preprocessing).data
    return max(int(settings.memory_gib * 2**30 / (window.size * 8 * _COPIES)), 1)


def _drawn(positions: np.ndarray, at_most: int, seed: int) -> np.ndarray:
    """Return at most so many positions, drawn without replacement and kept in order."""
    if len(positions) <= at_most:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, size=at_most, replace=False))


def _fit_preprocessing(preprocessing: Preprocessing, trials: Trials, rows: np.ndarray) -> SignalSpec:
    processed = preprocessing.fit_windows(trials.windows(preprocessing, rows))
    subjects = tuple(sorted(trials.table.iloc[rows]["subject"].astype(str).unique()))
    return SignalSpec(processed.space, processed.data.shape[2], processed.rate_hz, processed.start_s, subjects)


def _groups(trials: Trials, rows: np.ndarray, average: bool) -> RepetitionGroups:
    return repetition_groups(trials.table, rows) if average else RepetitionGroups(rows, np.arange(len(rows)))


def _fit_closed_form(parts: ClosedFormParts) -> None:
    """Fit encoder and head."""
    encoder, head = parts.decoder.encoder, parts.head
    target = _closed_form_targets(head, parts.reader, parts.positions)
    labels = target if parts.decoder.target_spec.task == "classification" else None
    try:
        if isinstance(encoder, ClosedFormEncoder):
            embedding = encoder.fit(parts.training_batch(), labels)
        else:
            embedding = parts.training_embedding()
        head.fit(embedding, target)
    except (ValueError, np.linalg.LinAlgError) as error:  # of scikit-learn and numpy, where windows are too few
        raise DataError(
            f"'{encoder.architecture}' with '{head.architecture}' cannot be fitted on {len(target)} windows: {error} "
            "Add recordings, merge classes, or choose another split=."
        ) from error


def _closed_form_targets(head: Head, reader: GroupReader, positions: np.ndarray) -> np.ndarray:
    """Return what a closed-form head is fitted to; of several levels of features, what the head makes of them."""
    if reader.trials.target_spec.n_levels == 1:
        return reader.targets(positions)
    parts = np.array_split(positions, -(-len(positions) // _TARGETS_AT_ONCE))
    return np.concatenate([head.gallery_vectors(reader.targets(part)) for part in parts])


@torch.no_grad()
def _embedded(encoder: Encoder, reader: GroupReader, positions: np.ndarray) -> BrainEmbedding:
    """Return the pooled embeddings of a frozen network, which sees a few windows at a time."""
    encoder.eval()
    parts = np.array_split(positions, -(-len(positions) // _EMBEDDED_AT_ONCE))
    return BrainEmbedding(torch.cat([encoder(reader.batch(part)[0]).pooled for part in track(parts, "Embedding")]))


def fit_head(
    head: Head,
    embedding: BrainEmbedding,
    target: torch.Tensor,
    n_train: int,
    *,
    signal_spec: SignalSpec,
    settings: FitSettings,
    state_folder: Path | None = None,
    groups: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Train a head by gradient descent on what frozen encoders made of windows; returns one row per epoch.

    Args:
        head: Trained in place.
        embedding: Pooled vectors (n, dim), training windows first.
        target: (n,) class indices or (n, dim) vectors.
        n_train: How many are trained on; the others choose the epoch.
        signal_spec: Of the windows, or of some of them.
        settings: Seed and training settings.
        state_folder: Where the state of training is kept; None keeps none.
        groups: (n,) the windows of a batch share their group; None mixes all.
    """
    from brain_decode.training.lightning_module import fit_network

    result = fit_network(
        _AlreadyEmbedded(signal_spec),
        head,
        _EmbeddedWindows(embedding, target.__getitem__),
        np.arange(n_train),
        np.arange(n_train, len(embedding)),
        trainer=settings.trainer,
        optimizer=settings.optimizer,
        seed=settings.seed,
        checkpoint_folder=state_folder,
        groups=groups,
    )
    return list(result.curves)


@dataclass(frozen=True)
class _EmbeddedWindows:
    """Reads what a frozen encoder made of windows, once, for a head that sees them in every epoch.

    Targets are read a batch at a time: of several levels of features, all of them would not fit into memory.
    """

    embedding: BrainEmbedding
    targets: Callable[[np.ndarray], torch.Tensor]  # of positions

    def batch(self, positions: np.ndarray) -> tuple[BrainEmbedding, torch.Tensor]:
        """Return embeddings and targets."""
        rows = np.asarray(positions)
        return BrainEmbedding(self.embedding.pooled[torch.from_numpy(rows)]), self.targets(rows)


def _tokenised(encoder: Any, reader: GroupReader, n_windows: int) -> TokenisedWindows:
    """Return the codes that a frozen tokenizer gives to windows, which it sees a few at a time."""
    require_storable(encoder.tokenizer.codebook_size)
    parts = np.array_split(np.arange(n_windows), -(-n_windows // _EMBEDDED_AT_ONCE))
    codes = [encoder.tokenize(reader.batch(part)[0]).codes for part in track(parts, "Tokenising")]
    stored = torch.cat(codes).to(torch.int16).numpy()
    return TokenisedWindows(stored, encoder.tokenizer, reader.target_tensor(np.arange(n_windows)))


class _AlreadyEmbedded(Encoder):
    """Stands in for the frozen encoder while its head is trained."""

    def forward(self, batch: BrainEmbedding) -> BrainEmbedding:  # type: ignore[override]
        return batch


def _read(reader: GroupReader, positions: np.ndarray, spec: SignalSpec) -> SignalBatch:
    """Return the windows of these positions; repetitions are averaged a few at a time."""
    rows_each = len(reader.groups.rows) / len(reader.groups)
    at_once = max(int(_READ_BYTES / (4 * spec.n_channels * spec.n_times * rows_each)), 1)
    parts = np.array_split(positions, -(-len(positions) // at_once))
    batches = [SignalBatch.from_windows(reader.windows(part), reader.subjects) for part in parts]
    return batches[0] if len(batches) == 1 else SignalBatch.concatenate(batches)


def _state_folder(recipe: Recipe, rows: np.ndarray, validation: np.ndarray, settings: FitSettings) -> Path | None:
    """Return where this fit keeps its state: fits of one run differ by recipe, rows and settings."""
    if settings.state_folder is None:
        return None
    kept = {name: value for name, value in settings.trainer.items() if name != "logger_folder"}
    return fit_folder(
        settings.state_folder,
        recipe=asdict(recipe),
        rows=rows,
        validation=validation,
        settings=[settings.seed, kept, settings.optimizer, settings.average_repetitions],
    )


def _fit_gradient(
    decoder: BrainDecoder,
    trials: Trials,
    rows: np.ndarray,
    validation: np.ndarray,
    settings: FitSettings,
    state_folder: Path | None,
) -> list[dict[str, Any]]:
    from brain_decode.training.lightning_module import fit_network

    encoder, head = decoder.encoder, decoder.head
    _require_gradient(encoder, head)
    training = _groups(trials, rows, settings.average_repetitions)
    held_out = _groups(trials, validation, settings.average_repetitions)
    joined = RepetitionGroups(
        np.concatenate([training.rows, held_out.rows]),
        np.concatenate([training.starts, held_out.starts + len(training.rows)]).astype(int),
    )
    reader = GroupReader(trials, decoder.preprocessing, joined, decoder.signal_spec.subjects)
    frozen = not encoder.learns_by_gradient
    source: BatchReader = reader
    if frozen:
        everything = np.arange(len(joined))
        source = _EmbeddedWindows(_embedded(encoder, reader, everything), reader.target_tensor)
    elif encoder.embeds_tokens:
        source = _tokenised(encoder, reader, len(joined))
    elif state_folder is not None and len(joined) < len(joined.rows):
        source = store_averages(reader, decoder.signal_spec, state_folder / "averages.npy")
    result = fit_network(
        _AlreadyEmbedded(decoder.signal_spec) if frozen else encoder,
        head,
        source,
        np.arange(len(training)),
        np.arange(len(training), len(joined)),
        trainer=settings.trainer,
        optimizer=settings.optimizer,
        seed=settings.seed,
        checkpoint_folder=state_folder,
    )
    merge_low_rank(encoder)
    return list(result.curves)


def _require_gradient(encoder: Encoder, head: Head) -> None:
    if isinstance(head, ClosedFormHead):
        raise SpecMismatch(
            f"Encoder '{encoder.architecture}' is trained by gradient descent and head '{head.architecture}' in closed "
            "form; choose head=classification, regression or retrieval."
        )
