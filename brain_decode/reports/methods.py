"""The methods paragraph of a run, written from its configuration, scores and receipt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from brain_decode.evaluation.intervals import NEW_SUBJECTS, THESE_SUBJECTS
from brain_decode.reports.certainty import has_interval, p_notes, stated_p
from brain_decode.reports.sentences import is_picture_metric, metric_name

__all__ = ["method_sentences", "protocol_name", "quantity"]

_PROTOCOLS = {
    "leave_run_out": "each run was scored by decoders fitted on the other runs",
    "leave_session_out": "each session was scored by decoders fitted on the other sessions",
    "leave_subject_out": "each person was scored by decoders fitted on the other people",
    "leave_subject_out_zero_shot": (
        "each person was scored on the dataset's test pictures by decoders fitted on the other people's training "
        "pictures; nobody's response to a test picture was trained on"
    ),
    "leave_concept_out": "each group of concepts was scored by decoders that never met them",
    "contiguous_kfold": "each contiguous block of a recording was scored by decoders fitted on the other blocks",
    "official": "the training and test parts are those the dataset prescribes",
    "score_only": "nothing was fitted; the given vectors were scored as they are",
    "held-out recordings": "a finished decoder was scored on recordings it was not fitted on",
}
_MOST_LISTED = 24  # names in one sentence
_UNITS = {"hz": "Hz", "s": "s"}
_SCALED = {"v": ((1.0, "V"), (1e-3, "mV"), (1e-6, "µV"), (1e-9, "nV")), "t": ((1e-12, "pT"), (1e-15, "fT"))}


def protocol_name(protocol: object) -> str:
    """Return `leave run out` for `leave_run_out`."""
    return str(protocol).replace("_", " ")


def method_sentences(
    config: Mapping[str, Any], metrics: Mapping[str, Any], receipt: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return (what, sentences) pairs: data, windows, preprocessing, protocol, decoder, statistics."""
    pairs = [
        ("Data", _data(config, metrics)),
        ("Windows", _windows(config)),
        ("Preprocessing", _preprocessing(config)),
        ("Protocol", f"{_protocol(metrics)} {_openings(metrics, receipt)}".strip()),
        ("Decoder", _decoder(config, metrics)),
        ("Statistics", _statistics(metrics)),
    ]
    return [(what, text) for what, text in pairs if text]


def quantity(key: str, value: Any) -> str:
    """Return a setting with its unit: `peak_to_peak_v`, 1e-4 becomes `peak to peak 100 µV`."""
    words, _, suffix = key.rpartition("_")
    if isinstance(value, Mapping):
        return ", ".join(f"{quantity(key, entry)} ({name})" for name, entry in value.items())
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if words and is_number and suffix in _SCALED:
        factor, unit = next(((f, u) for f, u in _SCALED[suffix] if abs(value) >= f), _SCALED[suffix][-1])
        return f"{words.replace('_', ' ')} {value / factor:g} {unit}"
    if words and is_number and suffix in _UNITS:
        return f"{words.replace('_', ' ')} {value:g} {_UNITS[suffix]}"
    return f"{key.replace('_', ' ')} {f'{value:g}' if is_number else value}"


def _data(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    entry = _mapping(config.get("datasets"))
    subjects = entry.get("subjects")
    named = list(subjects) if isinstance(subjects, list) else []
    people = f", {'person' if len(named) == 1 else 'people'} {_listed(named)}" if named else ""
    target = _mapping(entry.get("target"))
    classes = _mapping(target.get("classes"))
    answered = f" The decoder answers {_listed(list(classes), 'or')}." if classes else ""
    return f"{metrics.get('dataset')}{' (simulated)' if metrics.get('simulated') else ''}{people}.{answered}"


def _windows(config: Mapping[str, Any]) -> str:
    window = _mapping(config.get("window") or _mapping(config.get("datasets")).get("window"))
    if window.get("start_s") is None or window.get("stop_s") is None:
        return ""
    lag_s = window.get("lag_s") or 0.0
    return f"From {window['start_s'] + lag_s:g} s to {window['stop_s'] + lag_s:g} s around each event."


def _preprocessing(config: Mapping[str, Any]) -> str:
    if "checkpoint" in config:
        return "That of the decoder, which its checkpoint lists."
    steps = _mapping(config.get("preprocessing"))
    named = [_step(_mapping(step)) for key in ("signal_steps", "window_steps") for step in steps.get(key) or []]
    text = f"{', then '.join(named)}." if named else "None."
    rules = [quantity(key, value) for key, value in _mapping(steps.get("rejection")).items() if value is not None]
    rejection = f" Windows were rejected beyond {' or '.join(rules)}, fixed beforehand." if rules else ""
    return f"{text[0].upper()}{text[1:]}{rejection}"


def _step(step: Mapping[str, Any]) -> str:
    given = [quantity(str(key), value) for key, value in _mapping(step.get("settings")).items() if value is not None]
    settings = f" ({', '.join(given)})" if given else ""
    return f"{str(step.get('step', '?')).replace('_', ' ')}{settings}"


def _protocol(metrics: Mapping[str, Any]) -> str:
    folds = len(metrics.get("folds") or [])
    meaning = _PROTOCOLS.get(str(metrics.get("protocol")), "")
    count = f", {folds} {'fold' if folds == 1 else 'folds'}" if folds else ""
    name = protocol_name(metrics.get("protocol"))
    return f"{name[0].upper()}{name[1:]}{count}{f': {meaning}' if meaning else ''}.{_gap(metrics)}"


def _gap(metrics: Mapping[str, Any]) -> str:
    """Say what was kept free between training and test windows of one recording, and what it cost."""
    folds = [fold for fold in metrics.get("folds") or [] if "n_in_gap" in fold]
    if not folds:
        return ""
    seconds, trials = folds[0].get("gap_s"), folds[0].get("gap_trials")
    free = [f"{seconds:g} s"] if seconds is not None else []
    free += [f"{trials:g} {'trial' if trials == 1 else 'trials'}"] if trials is not None else []
    unknown = " Filters from before the trials were cut are not known, and may reach further."
    return (
        f" Training windows within {' or '.join(free)} of a test window were left out, "
        f"{max(fold['n_in_gap'] for fold in folds)} at most in one fold."
        f"{unknown if any(fold.get('filters_before_cutting') == 'unknown' for fold in folds) else ''}"
    )


def _openings(metrics: Mapping[str, Any], receipt: Mapping[str, Any]) -> str:
    """Say what the receipt records about looking at test parts, and name the parts looked at more than once."""
    counts = Counter(str(opening.get("fold")) for opening in receipt.get("test_openings") or [])
    if not counts:
        return "The receipt records no opening of a test part."
    repeated = [f"{fold} ({count} times)" for fold, count in counts.items() if count > 1]
    if repeated:
        return f"Attention: test parts were opened more than once: {', '.join(repeated)}."
    return (
        "The test part was opened once." if len(counts) == 1 else f"Each of {len(counts)} test parts was opened once."
    )


def _decoder(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    name = str(metrics.get("decoder"))
    candidates = list(_mapping(config.get("candidates")))
    if name == "nested_selection":
        among = f" among {_listed(candidates)}" if candidates else ""
        text = f"Chosen{among} by validation inside the training part of each fold, never by a test score."
    else:
        text = f"{name}, fixed beforehand."
    compared = [other for other in metrics.get("baselines") or {} if other not in candidates]
    return text + (f" Compared on the same folds with {_listed(compared)}." if compared else "")


def _statistics(metrics: Mapping[str, Any]) -> str:
    """Say how the intervals and p-values of the run's own decoder were made, from what its scores say of themselves."""
    entries = {metric_name(name): entry for name, entry in metrics["metrics"].items() if not is_picture_metric(name)}
    n_folds = len(metrics.get("folds") or [])
    sentences = [_intervals(metrics, list(entries.values()), n_folds), _pooling(metrics, n_folds)]
    tested = {name: entry for name, entry in entries.items() if stated_p(entry) is not None}
    sentences += p_notes(tested or {name: entry for name, entry in entries.items() if entry.get("p_reason")})
    return " ".join(sentence for sentence in sentences if sentence)


def _intervals(metrics: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], n_folds: int) -> str:
    """Say what the intervals leave out, and what widens them."""
    over = _left_out_units(str(metrics.get("task")), n_folds)
    units = [over[what] for what in over if any(_says(entry, what) for entry in entries)]
    if not units:
        return "No interval is given."
    shared = ", widened for the training windows that folds share (Nadeau and Bengio 2003)" if n_folds > 1 else ""
    return (
        f"95 % intervals: a jackknife that leaves out one of the {' or '.join(units)} at a time, with the quantile of "
        f"Student's t, and nowhere narrower than one over single windows{shared}."
    )


def _left_out_units(task: str, n_folds: int) -> dict[str, str]:
    """Return what an interval leaves out, by what it is about."""
    one_test_set = "shown pictures" if task == "retrieval" else "runs, blocks of equal labels or windows"
    return {
        THESE_SUBJECTS: f"{'folds' if n_folds > 1 else one_test_set} ({THESE_SUBJECTS})",
        NEW_SUBJECTS: f"people ({NEW_SUBJECTS})",
    }


def _says(entry: Mapping[str, Any], what: str) -> bool:
    if what == NEW_SUBJECTS and has_interval(entry, "ci95_new_subjects"):
        return True
    return has_interval(entry) and entry.get("ci95_about") == what


def _pooling(metrics: Mapping[str, Any], n_folds: int) -> str:
    """Say how scores that folds with different offsets would blur are put together."""
    scores = metrics["metrics"]
    if n_folds < 2:
        return ""
    if "pearson" in scores:
        return "Pearson r is of values centred within folds."
    if "auc" not in scores:
        return ""
    if (scores["auc"] or {}).get("pooling"):
        return "AUC compares windows of different folds, because a class shares no fold with another."
    return "AUC compares windows of one fold with each other."


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(names: Sequence[object], last: str = "and") -> str:
    words = [str(name) for name in names[:_MOST_LISTED]] + (["others"] if len(names) > _MOST_LISTED else [])
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
