"""Raw files to signal stores, without training anything."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from brain_decode.datasets.store import prepare_store
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.training.loading import dataset_entries, load_recordings

__all__ = ["prepare"]

_LOG = logging.getLogger(__name__)


def prepare(config: DictConfig) -> Iterator[str]:
    """Prepare the store of each dataset; yields one line about each.

    Raises:
        BrainDecodeError: Broken files or facts, or a store folder that cannot be written.
    """
    steps = OmegaConf.to_container(config.preprocessing, resolve=True)
    preprocessing = Preprocessing.from_json(steps)  # type: ignore[arg-type]
    for entry in dataset_entries(config):
        dataset, recordings = load_recordings(entry)
        for warning in dataset.check_facts(recordings):
            _LOG.warning("%s", warning)
        folder = Path(config.paths.store)
        workers = int(config.get("workers") or 1)
        store = prepare_store(recordings, preprocessing.signal_steps, folder, workers=workers)
        seconds = sum(recording.duration_s for recording in recordings)
        yield f"{entry['name']}: {len(store.entries)} recordings, {seconds / 60:.1f} minutes, store in {folder}"
