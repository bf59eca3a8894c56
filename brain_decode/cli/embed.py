"""Write the embeddings of a saved decoder or pretrained encoder for a recording file as NPZ."""

from __future__ import annotations

import io
from pathlib import Path

from omegaconf import DictConfig

CONFIG = "embed"


def run(config: DictConfig, folder: Path) -> None:
    """Embed each window of `input` into `embeddings.npz` (keys `embedding`, `onset_s`)."""
    import numpy as np
    from rich.console import Console

    from brain_decode.core.files import write_atomically
    from brain_decode.inference.recordings import embeddings_of

    embedding, onset_s = embeddings_of(
        str(config.checkpoint),
        Path(config.input),
        config.events and Path(config.events),
        input_unit=config.get("input_unit"),
        window_s=float(config.window_s),
        channels=dict(config.channels),
    )
    buffer = io.BytesIO()
    np.savez(buffer, embedding=embedding, onset_s=onset_s)
    target = folder / "embeddings.npz"
    write_atomically(target, buffer.getvalue())
    Console().print(
        f"{len(embedding)} windows of {embedding.shape[1]} values: {target}", highlight=False, soft_wrap=True
    )
