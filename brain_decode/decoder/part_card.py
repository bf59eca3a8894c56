"""The card of a pretrained part."""

from __future__ import annotations

from brain_decode.nn.weights_folder import PretrainedPart

__all__ = ["part_card"]

_ROWS = {
    "source": "source of the weights",
    "sha256": "sha256 of the file they came from",
    "rotary": "rotary table in that file",
    "dataset": "trained on",
    "licence": "licence",
    "preprocessing_name": "preprocessing",
}


def part_card(part: PretrainedPart) -> str:
    """Return the README of pretrained weights: what they are, where from, under which licence, and what they lack."""
    told = part.provenance
    rows = [f"| {label} | {told[key]} |" for key, label in _ROWS.items() if told.get(key)]
    n_values = sum(tensor.numel() for tensor in part.tensors.values())
    lines = [
        f"# {told.get('name', part.architecture)}",
        "",
        f"A pretrained {part.kind}, `{part.architecture}` of brain_decode, {n_values:,} values.",
        "",
        "| what | value |",
        "|---|---|",
        *rows,
        f"| simulated recordings among them | {'yes' if told.get('simulated') else 'no'} |",
        "| trained for answers | no: heads are fitted later |",
        "",
    ]
    for name, entry in (told.get("metrics") or {}).items():
        interval = entry.get("ci95")
        about = f", {entry['ci95_about']}" if entry.get("ci95_about") else ""
        told_interval = f" [{interval[0]:.3f}, {interval[1]:.3f}{about}]" if interval and None not in interval else ""
        beside = f", most frequent code {entry['baseline']:.3f}" if entry.get("baseline") is not None else ""
        lines.append(f"- {name}: {entry['value']:.3f}{told_interval}{beside}, people kept out")
    if told.get("fitted_on"):
        lines += ["", f"Trained on {len(told['fitted_on'])} recordings; their content hashes are in `config.json`, and "
                  "decoders on top of these weights refuse to be scored on them."]  # fmt: skip
    return "\n".join([*lines, ""])
