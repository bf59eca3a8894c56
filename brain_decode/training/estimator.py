"""A decoder as a scikit-learn classifier, for pipelines, grid searches and cross_val_score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from brain_decode.core.errors import DataError
from brain_decode.core.seeding import seed_everything
from brain_decode.decoder.brain_decoder import BrainDecoder, InputSpec
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.heads.base import ClosedFormHead
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.windows import Windows
from brain_decode.training.recipes import Recipe, group_option

__all__ = ["BrainDecoderClassifier"]

_VALIDATION_SHARE = 0.2  # last part of the training windows a network is stopped on


class BrainDecoderClassifier(ClassifierMixin, BaseEstimator):
    """Classify (window, channel, time) arrays with any encoder of the catalogue.

    Args:
        rate_hz: Samples per second.
        channel_names: Names in the order of the channel axis; `c0, c1, …` where None.
        encoder: Option of `conf/encoder`.
        head: Option of `conf/head`, or "auto".
        encoder_settings: Overrides of the encoder's settings.
        window_steps: Preprocessing steps on windows, as in `conf/preprocessing`.
        seed: Seeds initialisation and order.

    Example:
        >>> from sklearn.model_selection import cross_val_score
        >>> cross_val_score(BrainDecoderClassifier(rate_hz=256), windows, labels)  # doctest: +SKIP
    """

    def __init__(
        self,
        rate_hz: float = 256.0,
        channel_names: list[str] | None = None,
        encoder: str = "tangent_space",
        head: str = "auto",
        encoder_settings: dict[str, Any] | None = None,
        window_steps: list[dict[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self.rate_hz = rate_hz
        self.channel_names = channel_names
        self.encoder = encoder
        self.head = head
        self.encoder_settings = encoder_settings
        self.window_steps = window_steps
        self.seed = seed

    def fit(self, X: np.ndarray, y: np.ndarray) -> BrainDecoderClassifier:
        """Fit on (window, channel, time) windows in SI units and their labels.

        Raises:
            DataError: Another shape, or samples that are not finite.
        """
        windows = self._windows(X)
        labels = np.asarray(y)
        if labels.shape != (len(windows),):
            raise DataError(f"{len(windows)} windows need as many labels; got shape {labels.shape}.")
        self.classes_, target = np.unique(labels, return_inverse=True)
        seed_everything(self.seed)
        preprocessing = Preprocessing.from_json({"window_steps": self.window_steps or []})
        processed = preprocessing.fit_windows(windows)
        self.decoder_ = self._build(preprocessing, processed, windows)
        batch = SignalBatch.from_windows(processed)
        encoder, head = self.decoder_.encoder, self.decoder_.head
        if isinstance(encoder, ClosedFormEncoder) and isinstance(head, ClosedFormHead):
            encoder.fit(batch, target)
            with torch.no_grad():
                head.fit(encoder(batch), target)
        else:
            self._fit_network(batch, torch.from_numpy(target))
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the most probable label of each window."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Return (window, classes) probabilities in the order of `classes_`."""
        check_is_fitted(self, "decoder_")
        return self.decoder_.answer_windows(self._windows(X))

    def _windows(self, X: np.ndarray) -> Windows:
        data = np.asarray(X)
        if data.ndim != 3 or not len(data):
            raise DataError(f"Windows are (window, channel, time); got shape {data.shape}.")
        if not np.isfinite(data).all():
            raise DataError("Windows hold NaN or infinite samples; drop or repair them before fitting.")
        names = self.channel_names or [f"c{index}" for index in range(data.shape[1])]
        return Windows(data, self.rate_hz, 0.0, Sensors(tuple(names), ("eeg",) * data.shape[1]))

    def _build(self, preprocessing: Preprocessing, processed: Windows, given: Windows) -> BrainDecoder:
        head = {"name": "auto"} if self.head == "auto" else group_option("head", self.head)
        settings = group_option("encoder", self.encoder) | dict(self.encoder_settings or {})
        recipe = Recipe(self.encoder, {}, settings, head)
        if not isinstance(processed.space, Sensors) or not isinstance(given.space, Sensors):
            raise DataError("The classifier reads sensors.")
        spec = SignalSpec(processed.space, processed.data.shape[2], processed.rate_hz, processed.start_s)
        target_spec = TargetSpec("classification", tuple(str(label) for label in self.classes_))
        encoder = recipe.build_encoder(spec)
        input_spec = InputSpec(given.space, self.rate_hz, 0.0, given.data.shape[2] / self.rate_hz)
        return BrainDecoder(
            preprocessing, encoder, recipe.build_head(encoder, target_spec), spec, target_spec, input_spec
        )

    def _fit_network(self, batch: SignalBatch, target: torch.Tensor) -> None:
        from brain_decode.training.lightning_module import fit_network

        # Labels may be sorted: the validation part is drawn, not the end of the array.
        order = np.random.default_rng(self.seed).permutation(len(batch))
        cut = max(len(order) - max(round(len(order) * _VALIDATION_SHARE), 1), 1)
        fit_network(
            self.decoder_.encoder,
            self.decoder_.head,
            _ArrayReader(batch, target),
            np.sort(order[:cut]),
            np.sort(order[cut:]),
            trainer=group_option("trainer", "default"),
            optimizer=group_option("optimizer", "adamw"),
            seed=self.seed,
        )


@dataclass(frozen=True)
class _ArrayReader:
    windows: SignalBatch
    target: torch.Tensor

    def batch(self, positions: np.ndarray) -> tuple[SignalBatch, torch.Tensor]:
        return self.windows.rows(positions), self.target[torch.as_tensor(positions)]
