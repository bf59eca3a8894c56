"""One closed-form decoder on one fold, fitted again and again to other labels: what sees no label is made once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from brain_decode.core.errors import DataError
from brain_decode.encoders.base import BrainEmbedding, ClosedFormEncoder
from brain_decode.heads.base import ClosedFormHead
from brain_decode.training.fitting import ClosedFormParts, FitSettings, closed_form_parts, fit_decoder
from brain_decode.training.predicting import answers_of
from brain_decode.training.recipes import Recipe
from brain_decode.training.trials import Trials

__all__ = ["Refit", "refit_of", "refitting"]

_ANSWERED_AT_ONCE = 1024  # a head makes copies of what it answers

# Labels of all trials, as `Trials.targets` gives them, to the answers to the test windows, (n_test, n_outputs).
Refit = Callable[[np.ndarray], np.ndarray]


@contextmanager
def refitting() -> Iterator[Executor]:
    """Give threads for refits: as many as torch may use, one for each fit."""
    # Asked before the limit, which torch heeds too.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool, threadpool_limits(1):
        yield pool


def refit_of(recipe: Recipe, trials: Trials, train: np.ndarray, test: np.ndarray, settings: FitSettings) -> Refit:
    """Return a function from labels to answers; it may be called by several threads at once.

    Args:
        recipe: Fitted in closed form.
        trials: Of a classification or regression.
        train: Positions to fit on.
        test: Positions to answer.
        settings: As for the decoder itself.
    """
    if any(step.sees_labels for step in recipe.build_preprocessing().window_steps):
        return _WholeRefit(recipe, trials, train, test, settings)
    parts = closed_form_parts(recipe, trials, train, settings)
    encoder = parts.decoder.encoder
    if not isinstance(encoder, ClosedFormEncoder) or not encoder.sees_labels:
        return _HeadRefit(parts, test)
    if len(test) > parts.at_most:  # they would not fit into memory at once
        return _WholeRefit(recipe, trials, train, test, settings)
    return _EncoderRefit(parts, encoder, test)


class _HeadRefit:
    """Fits the head again to embeddings that are made once."""

    def __init__(self, parts: ClosedFormParts, test: np.ndarray) -> None:
        encoder = parts.decoder.encoder
        if isinstance(encoder, ClosedFormEncoder):
            self.embedding = encoder.fit(parts.training_batch(), None)
        else:
            self.embedding = parts.training_embedding()
        self.test = parts.embedding_of(test)
        self.rows, self.head = parts.rows, parts.head

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        return _answers_of_new_head(self.head, self.embedding, labels[self.rows], self.test)


class _EncoderRefit:
    """Fits encoder and head again to windows that are read once."""

    def __init__(self, parts: ClosedFormParts, encoder: ClosedFormEncoder, test: np.ndarray) -> None:
        self.encoder = encoder
        self.prepared = self.encoder.prepare(self.encoder.samples(parts.training_batch()))
        self.test = self.encoder.samples(parts.batch_of(test))
        self.rows, self.head = parts.rows, parts.head
        self.is_classification = parts.decoder.target_spec.task == "classification"

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        encoder, own = copy.deepcopy(self.encoder), labels[self.rows]
        embedding = encoder.fit_prepared(self.prepared, own if self.is_classification else None)
        test = encoder.transform(self.test)
        return _answers_of_new_head(self.head, _pooled(embedding), own, _pooled(test))


class _WholeRefit:
    """Fits everything again, reading windows each time: where a step is fitted on labels, or windows are too many."""

    def __init__(
        self, recipe: Recipe, trials: Trials, train: np.ndarray, test: np.ndarray, settings: FitSettings
    ) -> None:
        self.recipe, self.trials, self.train, self.test, self.settings = recipe, trials, train, test, settings

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        if self.trials.task == "classification":
            labels = np.array(self.trials.classes)[labels]
        relabelled = self.trials.relabelled(labels.reshape(len(labels)))
        nothing = np.zeros(0, dtype=int)
        fitted = fit_decoder(self.recipe, relabelled, self.train, validation=nothing, settings=self.settings)
        return answers_of(fitted.decoder, relabelled, self.test)


def _pooled(vectors: np.ndarray) -> BrainEmbedding:
    return BrainEmbedding(torch.from_numpy(vectors))


def _answers_of_new_head(
    head: ClosedFormHead, embedding: BrainEmbedding, labels: np.ndarray, test: BrainEmbedding
) -> np.ndarray:
    """Return the answers of a head fitted to these labels; not numbers where it cannot be fitted to them."""
    fitted = copy.deepcopy(head)
    with torch.no_grad():
        try:
            fitted.fit(embedding, labels)
        except (ValueError, np.linalg.LinAlgError, DataError):
            return np.full((len(test), head.target_spec.n_outputs), np.nan)
        parts = [BrainEmbedding(part) for part in test.pooled.split(_ANSWERED_AT_ONCE)]
        return torch.cat([fitted.answer(fitted(part)) for part in parts]).double().cpu().numpy()
