"""The decoder: preprocessing, encoder and head, with everything needed to apply them to a new recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.decoder.generators import build_generator
from brain_decode.decoder.input_windows import as_recording, windows_of
from brain_decode.decoder.passport import Passport
from brain_decode.decoder.passport_checks import passport_of
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.generation.base import PictureGenerator
from brain_decode.heads.base import Head
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.space import Space, space_from_json
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.windows import Windows

__all__ = ["BrainDecoder", "InputSpec"]

_BATCH = 256  # windows per forward pass; bounds memory when a long recording is decoded


@dataclass(frozen=True)
class InputSpec:
    """What a recording must offer before preprocessing.

    Args:
        sensors: Sensors or voxels the decoder was trained on; sensors are picked by name, voxels by their grid.
        rate_hz: Sampling rate of the training recordings.
        start_s: Start of the window relative to the event.
        stop_s: End of the window (exclusive) relative to the event.
        target_column: Event column the classes came from.
        classes: Class label to the event values it stands for.
        reference: Reference of the training recordings, where their files state it.
        line_frequency_hz: Mains frequency where they were made, likewise.
        amplitudes: Typical amplitude of each sensor type before any step, in SI units; empty where it is not known.
    """

    sensors: Space
    rate_hz: float
    start_s: float
    stop_s: float
    target_column: str = "trial_type"
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    reference: str | None = None
    line_frequency_hz: float | None = None
    amplitudes: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values."""
        return {
            "sensors": self.sensors.to_json(),
            "rate_hz": self.rate_hz,
            "start_s": self.start_s,
            "stop_s": self.stop_s,
            "target_column": self.target_column,
            "classes": {name: list(values) for name, values in self.classes.items()},
            "reference": self.reference,
            "line_frequency_hz": self.line_frequency_hz,
            "amplitudes": dict(self.amplitudes),
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> InputSpec:
        """Rebuild a spec from `to_json`."""
        return cls(**{**saved, "sensors": space_from_json(saved["sensors"])})


@dataclass
class BrainDecoder:
    """What is saved, served, streamed and scored.

    Args:
        preprocessing: Steps with their fitted state.
        encoder: Windows to vectors.
        head: Vectors to answers.
        signal_spec: Sizes that reach the encoder.
        target_spec: What the head answers.
        input_spec: What a recording must offer.
        provenance: Name, dataset, content hashes of the recordings it was fitted on, licence, metrics: for the card.
        generator: Name (`architecture`) and settings of what draws a picture from an answer of retrieval; None where
            there is none.

    Example:
        >>> decoder = BrainDecoder.from_pretrained("runs/train/2026-01-01_12-00-00/checkpoint")  # doctest: +SKIP
        >>> decoder.predict(raw)  # doctest: +SKIP
    """

    preprocessing: Preprocessing
    encoder: Encoder
    head: Head
    signal_spec: SignalSpec
    target_spec: TargetSpec
    input_spec: InputSpec
    provenance: dict[str, Any] = field(default_factory=dict)
    generator: dict[str, Any] | None = None

    @property
    def classes_(self) -> np.ndarray:
        """(classes,) labels in the order of `predict_proba`'s columns."""
        return np.array(self.target_spec.classes)

    @property
    def fitted_on(self) -> tuple[str, ...]:
        """Content hashes of the recordings the decoder has seen."""
        return tuple(self.provenance.get("fitted_on", ()))

    @property
    def name(self) -> str:
        """What the decoder is called in texts."""
        return str(self.provenance.get("name") or f"a decoder with encoder {self.encoder.architecture}")

    def passport(self, recording: Any, *, input_unit: str | None = None) -> Passport:
        """Return what would be done with a recording and whether it is accepted; nothing is changed or decided.

        Args:
            recording: MNE Raw or Epochs, or a Recording.
            input_unit: What the numbers really are in ("uV", "mV", "fT", …) where the file is labelled wrongly.

        Raises:
            DataError: Not a recording.
            SpecMismatch: It holds voxels and the decoder reads sensors.
            ConfigError: An unknown `input_unit`.
        """
        opened = as_recording(recording, self.input_spec.sensors)
        return passport_of(opened, self.preprocessing, self.input_spec, decoder=self.name, input_unit=input_unit)

    def windows(self, recording: Any, *, input_unit: str | None = None) -> Windows:
        """Return the windows of a recording after the signal steps, treated as its passport says.

        Channels that are spelled otherwise, lie within 10 mm or can be estimated from their neighbours, and another
        sampling rate, are adapted and logged as a warning. A wrong unit is never repaired unasked: say `input_unit`.

        Raises:
            SpecMismatch: What its passport refuses.
        """
        return windows_of(recording, self.preprocessing, self.input_spec, decoder=self.name, input_unit=input_unit)

    def embed(self, recording: Any, *, input_unit: str | None = None) -> np.ndarray:
        """Return (n_windows, dim) embeddings of an MNE Raw or Epochs, or a Recording; the input is not changed.

        Args:
            recording: What `windows` takes; it is treated as `passport` says.
            input_unit: What the numbers really are in, where the file is labelled wrongly.

        Raises:
            SpecMismatch: The recording lacks what the decoder needs.
        """
        return self.embed_windows(self.windows(recording, input_unit=input_unit))

    def decide(self, recording: Any, *, input_unit: str | None = None) -> np.ndarray:
        """Return the head's answers: probabilities, values or retrieval vectors, (n_windows, n_outputs)."""
        return self.answer_windows(self.windows(recording, input_unit=input_unit))

    def predict(self, recording: Any, *, input_unit: str | None = None) -> np.ndarray:
        """Return the most probable class of each window, or the values of a regression."""
        answers = self.decide(recording, input_unit=input_unit)
        return self.classes_[answers.argmax(axis=1)] if self.target_spec.task == "classification" else answers

    def predict_proba(self, recording: Any, *, input_unit: str | None = None) -> np.ndarray:
        """Return (n_windows, classes) probabilities.

        Raises:
            ConfigError: The decoder is not a classifier.
        """
        self._require_task("classification", "predict_proba")
        return self.decide(recording, input_unit=input_unit)

    def retrieve(
        self,
        recording: Any,
        gallery: np.ndarray,
        k: int = 5,
        *,
        input_unit: str | None = None,
        space: str | None = None,
    ) -> np.ndarray:
        """Return the (n_windows, k) gallery rows most similar (cosine) to each window, best first.

        Args:
            recording: MNE Raw or Epochs, or a Recording.
            gallery: (n_items, dim) stimulus features, or (n_items, level, dim) for a decoder of several levels, as the
                decoder was trained with: what its head learned to do with them is done here.
            k: Items per window.
            input_unit: What the recording's numbers really are in, where the file is labelled wrongly.
            space: `provenance["space"]` of the gallery's features, to be sure that they are of the decoder's space.

        Raises:
            ConfigError: The decoder does not retrieve, the gallery has another shape, or fewer than `k` items.
            SpecMismatch: A gallery of another space.
        """
        self._require_task("retrieval", "retrieve")
        spec = self.target_spec
        item = (spec.dim,) if spec.n_levels == 1 else (spec.n_levels, spec.dim)
        if gallery.shape[1:] != item or len(gallery) < k:
            raise ConfigError(
                f"A gallery is (items, {', '.join(map(str, item))}) with at least k={k} items; got shape "
                f"{gallery.shape}."
            )
        own = (self.provenance.get("stimuli") or {}).get("space")
        if space is not None and space != own:
            raise SpecMismatch(
                f"The gallery is of the space {space}, the decoder's answers are of {own or 'a feature file'}; they do "
                "not compare. Extract the gallery with the models in the decoder's provenance."
            )
        answers = self.decide(recording, input_unit=input_unit)
        similarity = _unit(answers) @ _unit(self.head.gallery_vectors(gallery).astype(float)).T
        return np.argsort(-similarity, axis=1, kind="stable")[:, :k]

    def reconstruct(self, recording: Any, *, seed: int = 0, input_unit: str | None = None) -> list[Any]:
        """Return one PIL image per window: what the decoder's generator draws from its answer.

        Args:
            recording: MNE Raw or Epochs, or a Recording.
            seed: Chooses the noise of the generator; the same one gives the same pictures.
            input_unit: What the recording's numbers really are in, where the file is labelled wrongly.

        Raises:
            ConfigError: The decoder has no generator.
        """
        from PIL import Image

        self._require_task("retrieval", "reconstruct")
        pixels = self.draw(self.decide(recording, input_unit=input_unit), seed=seed)
        return [Image.fromarray(picture) for picture in np.round(pixels * 255).astype(np.uint8)]

    def draw(self, vectors: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Return what the generator draws from feature vectors (n, dim): (n, height, width, 3) in [0, 1].

        Raises:
            ConfigError: The decoder has no generator, or an unknown one.
            SpecMismatch: The generator draws from vectors of another length.
        """
        return self.picture_generator.generate(np.asarray(vectors, dtype=np.float32), seed=seed)

    @cached_property
    def picture_generator(self) -> PictureGenerator:
        """What draws pictures from answers; built on first use, because its weights may be large.

        Raises:
            ConfigError: The decoder has no generator, or an unknown one.
            SpecMismatch: The generator draws from vectors of another length than the answers have.
        """
        if not self.generator:
            raise ConfigError(
                f"{self.name} answers with feature vectors and has nothing that draws pictures from them. "
                "Train it with generator=, for example generator=drawn_pictures."
            )
        return build_generator(self.generator, self.target_spec)

    def embed_windows(self, windows: Windows) -> np.ndarray:
        """Return embeddings of windows that went through the signal steps but not yet the window steps."""
        return self._in_batches(windows, embed=True)

    def answer_windows(self, windows: Windows) -> np.ndarray:
        """Return answers for windows that went through the signal steps but not yet the window steps."""
        return self._in_batches(windows, embed=False)

    def answer_preprocessed(self, windows: Windows) -> np.ndarray:
        """Return answers for windows that went through every step (averages of repetitions, for example)."""
        self.encoder.eval()
        self.head.eval()
        with torch.no_grad():
            embedding = self.encoder(SignalBatch.from_windows(windows, self.signal_spec.subjects))
            return self.head.answer(self.head(embedding)).double().cpu().numpy()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the artefact folder (safetensors and JSON only); returns it."""
        from brain_decode.decoder.artifact import save_decoder

        return save_decoder(self, Path(folder))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, encoder_class: type[Encoder] | None = None) -> BrainDecoder:
        """Load a decoder from a folder or a Hub id; nothing is unpickled, no code from the file runs.

        Args:
            source: Folder with `config.json`, or a Hub repository id.
            encoder_class: Class of the wrapped model, for decoders trained through the braindecode adapter.

        Raises:
            ConfigError: No such folder, or an unknown architecture.
            DataError: A file that is missing or damaged.
        """
        from brain_decode.decoder.artifact import load_decoder

        return load_decoder(source, encoder_class=encoder_class)

    def _in_batches(self, windows: Windows, *, embed: bool) -> np.ndarray:
        self.encoder.eval()
        self.head.eval()
        parts = []
        for start in range(0, len(windows), _BATCH):
            part = windows.rows(np.arange(start, min(start + _BATCH, len(windows))))
            with torch.no_grad():
                embedding = self._embedding(part)
                output = embedding.pooled if embed else self.head.answer(self.head(embedding))
            parts.append(output.double().cpu().numpy())
        width = self.encoder.embedding_dim if embed else self.target_spec.n_outputs
        return np.concatenate(parts) if parts else np.zeros((0, width))

    def _embedding(self, windows: Windows) -> BrainEmbedding:
        processed = self.preprocessing.apply_windows(self._in_training_order(windows))
        return self.encoder(SignalBatch.from_windows(processed, self.signal_spec.subjects))

    def _in_training_order(self, windows: Windows) -> Windows:
        """Return the channels by name in the order of training, leaving others out.

        Where a step changes the channels, those of training are known behind it only: it finds them by name, and fitted
        steps before it refuse other channels than theirs.
        """
        if any(step.changes_channels for step in self.preprocessing.window_steps):
            return windows
        wanted = self.signal_spec.sensors.names
        if windows.space.names == wanted:
            return windows
        missing = [name for name in wanted if name not in windows.space.names]
        if missing:
            raise SpecMismatch(f"The decoder needs the channels {missing}; the windows have {windows.space.names}.")
        picked = windows.space.indices(wanted)
        return replace(windows, data=windows.data[:, picked], space=windows.space.pick(picked))

    def _require_task(self, task: str, method: str) -> None:
        if self.target_spec.task != task:
            raise ConfigError(f"{method} needs a {task} decoder; this one answers {self.target_spec.task}.")


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
