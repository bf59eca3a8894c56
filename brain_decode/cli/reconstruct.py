"""Draw the pictures that a saved decoder reads from a recording file, as PNG files and a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    import numpy as np

    from brain_decode.decoder.brain_decoder import BrainDecoder
    from brain_decode.stimuli.pictures import PictureFiles

__all__ = ["CONFIG", "run"]

CONFIG = "reconstruct"
SHEET = "contact_sheet.png"


def run(config: DictConfig, folder: Path) -> None:
    """Write `pictures/<name>.png` for each window or average of `input`, and `contact_sheet.png`."""
    from rich.console import Console

    from brain_decode.decoder.brain_decoder import BrainDecoder
    from brain_decode.evaluation.contact_sheet import write_pictures
    from brain_decode.inference.reconstruction import answers_of_recording

    decoder = BrainDecoder.from_pretrained(str(config.checkpoint))
    generator = decoder.picture_generator  # refuses decoders without one before anything is read
    seen_by_name = _pictures(config)
    names, vectors = answers_of_recording(
        decoder,
        Path(config.input),
        config.events and Path(config.events),
        average=config.average,
        input_unit=config.get("input_unit"),
    )
    seen = None if seen_by_name is None else seen_by_name.load(names, size=max(generator.height, generator.width))
    drawn = decoder.draw(vectors, seed=int(config.seed))
    write_pictures(drawn, names, folder / "pictures")
    rows = _write_sheet(decoder, drawn, seen, names, folder, int(config.seed))
    console = Console()
    console.print(f"{len(names)} pictures: {folder / 'pictures'}", highlight=False, soft_wrap=True)
    console.print(f"Contact sheet ({', '.join(rows)}): {folder / SHEET}", highlight=False, soft_wrap=True)


def _pictures(config: DictConfig) -> PictureFiles | None:
    """Return the pictures that were seen, by the values of the column that is averaged; None where none are given."""
    from brain_decode.core.errors import ConfigError
    from brain_decode.stimuli.pictures import PictureFiles

    if config.pictures is None:
        return None
    if config.average is None:
        raise ConfigError(
            "pictures= shows what was seen beside what was drawn, and needs the event column that names it: "
            "average=stimulus."
        )
    place = Path(config.pictures)
    block = {"file": place.name} if place.suffix == ".npz" else {"folder": place.name}
    return PictureFiles.from_config(block, place.parent)


def _write_sheet(
    decoder: BrainDecoder, drawn: np.ndarray, seen: np.ndarray | None, names: list[str], folder: Path, seed: int
) -> tuple[str, ...]:
    from brain_decode.evaluation.contact_sheet import shown_positions, write_contact_sheet
    from brain_decode.evaluation.picture_scores import shuffled_orders

    chosen = shown_positions(len(names))
    features = None if seen is None else decoder.picture_generator.features_of(seen)
    ceiling = None if features is None else decoder.draw(features[chosen], seed=seed)
    shuffled = None
    if seen is not None and len(names) > 1:
        shuffled = drawn[shuffled_orders(len(names), 1, seed=seed)[0]][chosen]
    return write_contact_sheet(
        None if seen is None else seen[chosen],
        ceiling,
        drawn[chosen],
        shuffled,
        folder / SHEET,
        [names[position] for position in chosen],
    )
