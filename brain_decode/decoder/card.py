"""The model card saved with a decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels

if TYPE_CHECKING:
    from brain_decode.decoder.brain_decoder import BrainDecoder

__all__ = ["model_card"]


def model_card(decoder: BrainDecoder) -> str:
    """Return the README of an artefact: what it answers, from what, how well, and what it must not be used for."""
    provenance = decoder.provenance
    spec = decoder.input_spec
    steps = [*decoder.preprocessing.signal_steps, *decoder.preprocessing.window_steps]
    lines = [
        f"# {provenance.get('name', decoder.encoder.architecture)}",
        "",
        f"Answers: {_answers(decoder)}.",
        "",
        "| what | value |",
        "|---|---|",
        f"| trained on | {provenance.get('dataset', 'not stated')} |",
        f"| people | {', '.join(decoder.signal_spec.subjects) or 'not stated'} |",
        f"| licence of the data | {provenance.get('licence', 'not stated')} |",
        f"| simulated data | {'yes' if provenance.get('simulated') else 'no'} |",
        f"| channels | {_channels(spec.sensors)} |",
        f"| sampling rate | {spec.rate_hz:g} Hz |",
        f"| window | {spec.start_s:g} to {spec.stop_s:g} s around the event |",
        f"| preprocessing | {' → '.join(step.name for step in steps) or 'none'} |",
        f"| encoder | {decoder.encoder.architecture} |",
        f"| head | {decoder.head.architecture} |",
        *_stimulus_lines(provenance.get("stimuli") or {}),
        "| pretrained parts | none: everything was fitted on the data above |",
        "",
        *_score_lines(provenance.get("metrics", {}), provenance.get("protocol")),
        "Fitted on the recordings whose content hashes are in `config.json`; `brain-decode evaluate` refuses them.",
        "",
    ]
    return "\n".join(lines)


def _stimulus_lines(stimuli: Mapping[str, Any]) -> list[str]:
    """Return what the answers of retrieval compare with; vectors of another space are refused."""
    if "levels" not in stimuli:
        return [f"| stimulus features | file {stimuli['file']} |"] if stimuli.get("file") else []
    source = stimuli.get("model") or stimuli["text"]["model"]
    weights = stimuli.get("level_weights") or [None] * len(stimuli["levels"])
    named = [
        level if weight is None else f"{level} ({weight:.2f})"
        for level, weight in zip(stimuli["levels"], weights, strict=True)
    ]
    return [
        f"| stimulus features | {source} |",
        f"| levels (learned share) | {'; '.join(named)} |",
        f"| space | {stimuli['space']} |",
    ]


def _channels(space: Space) -> str:
    if isinstance(space, Voxels):
        return f"{len(space)} voxels of a volume of {' x '.join(str(size) for size in space.mask.shape)}"
    return ", ".join(space.names)


def _answers(decoder: BrainDecoder) -> str:
    target = decoder.target_spec
    if target.task == "classification":
        return f"which of {', '.join(target.classes)} a window belongs to"
    return f"{target.dim} values per window ({target.task})"


def _score_lines(metrics: dict[str, Any], protocol: str | None) -> list[str]:
    if not metrics:
        return ["No score is recorded for this decoder.", ""]
    rows = [
        f"| {name} | {entry['value']:.3f} | {_interval(entry)} | {entry['chance']:.3f} | {_p_value(entry)} |"
        for name, entry in metrics.items()
        if entry.get("chance") is not None
    ]
    title = f"Scores ({protocol or 'protocol not stated'}; of decoders fitted without the scored windows):"
    return [title, "", "| metric | value | 95 % interval | chance | p |", "|---|---|---|---|---|", *rows, ""]


def _interval(entry: Mapping[str, Any]) -> str:
    """Return the interval with what it is about, or why there is none."""
    low, high = entry.get("ci95") or (None, None)
    if low is None or high is None:
        return f"none: {entry['ci95_reason']}" if entry.get("ci95_reason") else "none"
    return f"{low:.3f} to {high:.3f}" + (f" ({entry['ci95_about']})" if entry.get("ci95_about") else "")


def _p_value(entry: Mapping[str, Any]) -> str:
    """Return p with how it was made, or why there is none."""
    p = entry.get("p_permutation")
    if p is None:
        return f"none: {entry['p_reason']}" if entry.get("p_reason") else "none"
    return f"{max(p, entry.get('p_smallest') or 0.0):.2g}" + (
        f" ({entry['p_method']})" if entry.get("p_method") else ""
    )
