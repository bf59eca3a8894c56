"""Train the picture models that ship with the package, from nothing: `python scripts/train_drawn_pictures.py`.

Takes about 20 minutes of one core. `--rounds 1 --effort 0.01 --out FOLDER` tries the way in a minute; a larger
effort gives clearer textures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from brain_decode.core.allocator import keep_heap
from brain_decode.generation.drawn_pictures import SHIPPED_GENERATOR
from brain_decode.stimuli.drawn_picture_encoder import SHIPPED_ENCODER
from brain_decode.training.drawings import draw_for_training, held_out_concepts
from brain_decode.training.picture_models import (
    DENOISER_EFFORTS,
    ENCODER_EFFORT,
    FINISH_EFFORT,
    Effort,
    features_of,
    finish_autoencoder,
    fit_autoencoder,
    latents_of,
    train_denoiser,
    train_encoder,
    visibility_of,
)
from brain_decode.training.shipped_pictures import provenance, write_encoder, write_generator


def scaled(effort: Effort, share: float) -> Effort:
    """Return a share of the steps."""
    return replace(effort, steps=max(1, round(share * effort.steps)))


def main(words: Sequence[str]) -> int:
    """Draw, train the three models one after another, and write the two folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=16, help="about 1,400 pictures each")
    parser.add_argument("--effort", type=float, default=1.0, help="share of the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder; inside the package where not given")
    told = parser.parse_args(words)
    keep_heap()
    without = held_out_concepts()
    drawings = draw_for_training(told.rounds, seed=told.seed, without=without)
    encoder = train_encoder(drawings, scaled(ENCODER_EFFORT, told.effort), seed=told.seed)
    autoencoder = fit_autoencoder(drawings, seed=told.seed)
    latents, features = latents_of(autoencoder, drawings), features_of(encoder, drawings)
    visibility = visibility_of(features, drawings.components)
    denoiser = None
    for turn, effort in enumerate(DENOISER_EFFORTS):
        share, seed = scaled(effort, told.effort), told.seed + turn
        denoiser = train_denoiser(latents, features, visibility, share, seed=seed, start=denoiser)
    autoencoder = finish_autoencoder(
        autoencoder, denoiser, drawings, features, scaled(FINISH_EFFORT, told.effort), seed=told.seed
    )
    told_by = provenance(len(drawings.pixels), without, told.seed, made_by="scripts/train_drawn_pictures.py")
    write_encoder(encoder, told.out / "drawn_picture_encoder" if told.out else SHIPPED_ENCODER, told_by)
    write_generator(autoencoder, denoiser, told.out / "drawn_pictures" if told.out else SHIPPED_GENERATOR, told_by)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
