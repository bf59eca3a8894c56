"""What a self-supervised model does on people it was not trained on."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.files import write_atomically
from brain_decode.core.progress import track
from brain_decode.core.seeding import derived_seed
from brain_decode.evaluation.pretraining_scores import (
    amplitude_correlations,
    band_correlations,
    codebook_use,
    correlations,
    mean_with_interval,
    most_frequent,
)
from brain_decode.tokenizers.base import Tokenizer
from brain_decode.training.pretraining_windows import PretrainingWindows
from brain_decode.training.stored_tokens import StoredTokens

__all__ = ["Evidence", "masked_code_evidence", "reconstruction_evidence"]

_N_EXAMPLES = 3
_EXAMPLE_CHANNELS = 4


@dataclass(frozen=True)
class Evidence:
    """Scores and pictures of a pretrained model.

    Args:
        metrics: By name: value, interval, number of windows and people; `baseline` where there is one.
        codebook_use: Of `codebook_use`, on the people kept out.
        examples: Signals beside their reconstructions, for the report.
    """

    metrics: dict[str, Any]
    codebook_use: Mapping[str, Any]
    examples: Mapping[str, np.ndarray] = field(default_factory=dict)

    def write_examples(self, path: Path) -> None:
        """Write the examples as an npz file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.examples)  # type: ignore[arg-type]
        write_atomically(path, buffer.getvalue())


def reconstruction_evidence(tokenizer: Tokenizer, data: PretrainingWindows, batch_size: int) -> Evidence:
    """Return how well signals of the people kept out are reconstructed, as a whole and band by band.

    A window's value is the mean over its channels of the correlation with the reconstruction.
    """
    values: dict[str, np.ndarray] = {"pearson": np.full(len(data.table), np.nan)}
    codes: list[np.ndarray] = []
    parts = data.one_size_at_a_time(data.validation, batch_size)
    examples: dict[str, np.ndarray] = {}
    for rows in track(parts, "Measuring", len(parts)):
        batch = data.signal(rows)
        found = tokenizer.reconstruct(batch)
        target, estimate = found.target.numpy(), found.estimate.float().numpy()
        values["pearson"][rows] = _channel_mean(correlations(target, estimate))
        if found.frequencies_hz is None:
            bands = band_correlations(target, estimate, batch.rate_hz)
        else:
            bands = amplitude_correlations(target, estimate, found.frequencies_hz.numpy())
        for band, scores in bands.items():
            values.setdefault(f"pearson_{band}", np.full(len(data.table), np.nan))[rows] = _channel_mean(scores)
        codes.append(tokenizer.tokenize(batch).codes.flatten(0, 2).numpy())
        if found.frequencies_hz is None and len(examples) < 2 * _N_EXAMPLES:
            examples |= _example(data, rows, target, estimate, len(examples) // 2)
    metrics: dict[str, Any] = {
        name: mean_with_interval(found[data.validation], data.table.iloc[data.validation])
        for name, found in values.items()
    }
    return Evidence(
        metrics,
        codebook_use(np.concatenate(codes), tokenizer.codebook_size),
        {**examples, "rate_hz": np.array(batch.rate_hz)} if examples else {},
    )


def _channel_mean(scores: np.ndarray) -> np.ndarray:
    """Return the mean over channels; NaN only where no channel has a value."""
    known = np.isfinite(scores)
    sums = np.where(known, scores, 0).sum(1)
    return np.where(known.any(1), sums / np.maximum(known.sum(1), 1), np.nan)


def _example(
    data: PretrainingWindows, rows: np.ndarray, target: np.ndarray, estimate: np.ndarray, number: int
) -> dict[str, np.ndarray]:
    """Return some channels of the first window of a batch, not chosen by how it looks."""
    entry = data.store.entries[int(data.table["recording"].iloc[int(rows[0])])]
    chosen = np.linspace(0, target.shape[1] - 1, min(_EXAMPLE_CHANNELS, target.shape[1])).astype(int)
    names = np.array([f"{entry.label}: {entry.sensors.names[index]}" for index in chosen])
    pair = np.stack([target[0, chosen], estimate[0, chosen]])
    return {f"signals_{number}": pair.astype(np.float32), f"names_{number}": names}


@torch.no_grad()
def masked_code_evidence(
    encoder: Any, tokens: StoredTokens, data: PretrainingWindows, batch_size: int, seed: int
) -> Evidence:
    """Return how many hidden codes of the people kept out are predicted, beside always saying the most frequent one.

    The most frequent code of each level is that of the training windows.
    """
    n_levels, size = encoder.n_levels, encoder.tokenizer.codebook_size
    usual = _usual_codes(tokens, data, batch_size, size)[:n_levels]
    right = np.full((len(data.table), n_levels + 1), np.nan)
    guessed = np.full((len(data.table), n_levels + 1), np.nan)
    codes = []
    encoder.eval()
    for position in track(data.validation, "Measuring", len(data.validation)):
        row = np.array([position])
        torch.manual_seed(derived_seed(seed, "measure", int(position)))
        found = tokens.tokens(row)
        terms = encoder.pretraining_terms(found)
        right[position, 0] = float(terms["accuracy"])
        right[position, 1:] = [float(terms[f"accuracy_{level}"]) for level in range(n_levels)]
        own = found.codes[..., :n_levels].flatten(0, 2).numpy()
        guessed[position, 1:] = (own == usual).mean(0)
        guessed[position, 0] = guessed[position, 1:].mean()
        codes.append(found.codes.flatten(0, 2).numpy())
    table = data.table.iloc[data.validation]
    metrics: dict[str, Any] = {}
    for column, name in enumerate(["accuracy", *(f"accuracy_level_{level}" for level in range(n_levels))]):
        entry = mean_with_interval(right[data.validation, column], table)
        difference = mean_with_interval((right - guessed)[data.validation, column], table)
        baseline = float(guessed[data.validation, column].mean())
        metrics[name] = {**entry, "baseline": baseline, "difference_ci95": difference["ci95"]}
    return Evidence(metrics, codebook_use(np.concatenate(codes), size))


def _usual_codes(tokens: StoredTokens, data: PretrainingWindows, batch_size: int, size: int) -> np.ndarray:
    parts = np.array_split(data.train, -(-len(data.train) // batch_size))
    kept = [tokens.codes(rows).reshape(-1, tokens.tokenizer.n_levels).astype(np.int16) for rows in parts]
    return most_frequent(np.concatenate(kept).astype(np.int64), size)
