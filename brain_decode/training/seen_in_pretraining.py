"""What the pretrained parts of a run have seen, and the refusal to score decoders on it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from brain_decode.datasets.leakage import refuse_pretraining_overlap
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    read_seen,
    refuse_disguised_copies,
    refuse_known_subjects,
)
from brain_decode.datasets.splits import Split
from brain_decode.datasets.vouching import NOBODY, Vouched
from brain_decode.nn.weights_folder import PretrainedPart, read_part
from brain_decode.training.recipes import Plan

__all__ = ["pretrained_parts", "refuse_what_pretraining_saw", "seen_hashes", "seen_recordings"]

_LOG = logging.getLogger(__name__)


def pretrained_parts(plan: Plan) -> list[PretrainedPart]:
    """Return the pretrained parts that the recipes of a plan start from, each once."""
    sources = sorted({str(recipe.pretrained_source) for recipe in plan.recipes if recipe.pretrained_source is not None})
    return [read_part(source) for source in sources]


def seen_hashes(parts: Sequence[PretrainedPart]) -> list[str]:
    """Return the content hashes of the recordings that pretrained parts were trained on."""
    return sorted({content for part in parts for content in part.provenance.get("fitted_on", ())})


def seen_recordings(parts: Sequence[PretrainedPart]) -> list[SeenRecording]:
    """Return the recordings that pretrained parts remember beyond their hashes."""
    return [recording for part in parts for recording in read_seen(part.provenance)]


def refuse_what_pretraining_saw(
    parts: Sequence[PretrainedPart], recordings: Sequence[SeenRecording], split: Split, vouched: Vouched = NOBODY
) -> None:
    """Pass in silence when pretrained parts have met nothing that a split promises to be new.

    Args:
        parts: Pretrained parts of the run.
        recordings: All that decoders are scored on.
        split: Where it leaves people out, other recordings of them are refused, too.
        vouched: Recordings that a person says are no copies of each other.

    Raises:
        LeakageError: A recording, a disguised copy of one, or a person that was seen.
    """
    refuse_pretraining_overlap(seen_hashes(parts), {one.label: one.content_hash for one in recordings})
    seen = seen_recordings(parts)
    remedy = "Pretrain without it, or choose other recordings."
    refuse_disguised_copies(
        seen, recordings, fitted="The pretrained weights were trained", remedy=remedy, vouched=vouched
    )
    if "subject" in split.forbids:
        refuse_known_subjects(seen, recordings, split=split.name)
    for part in parts:
        _warn_of_unknown(part)


def _warn_of_unknown(part: PretrainedPart) -> None:
    """Say what cannot be refused: weights of others and of older releases do not tell whose recordings they saw."""
    hashes = set(part.provenance.get("fitted_on", ()))
    if not hashes or hashes - {one.content_hash for one in read_seen(part.provenance)}:
        _LOG.warning(
            "The pretrained '%s' does not say whose recordings it was trained on: exact copies of the %d it has hashes "
            "of are refused; disguised copies, and people it has met, cannot be known.",
            part.provenance.get("name", part.architecture),
            len(hashes),
        )
