"""What intervals and p-values of scores say, and the reason where one is not given."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from brain_decode.evaluation.intervals import NEW_SUBJECTS, THESE_SUBJECTS

__all__ = [
    "about",
    "has_interval",
    "has_two_statements",
    "interval",
    "interval_notes",
    "missing_intervals",
    "number",
    "p_cell",
    "p_notes",
    "p_value",
    "scored",
    "stated_p",
    "untested_reason",
]

Entry = Mapping[str, Any]
_STATEMENT = re.compile(f"(?:^|; )({THESE_SUBJECTS}|{NEW_SUBJECTS}): ")
_MEANINGS = {
    THESE_SUBJECTS: "the 95 % interval says what to expect of more data of the people who were scored",
    NEW_SUBJECTS: "the 95 % interval says what to expect of other people",
}
_SMALL = 0.001


def number(value: Any, digits: int = 3) -> str:
    """Return a number for a table, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def has_interval(entry: Entry, key: str = "ci95") -> bool:
    """Return whether an interval is given."""
    low, high = entry.get(key) or (None, None)
    return low is not None and high is not None


def interval(entry: Entry, key: str = "ci95") -> str:
    """Return `0.646 to 0.696`, nothing where no interval is given."""
    return f"{number(entry[key][0])} to {number(entry[key][1])}" if has_interval(entry, key) else ""


def scored(entry: Entry) -> str:
    """Return `0.671 [0.646, 0.696]`."""
    given = f" [{number(entry['ci95'][0])}, {number(entry['ci95'][1])}]" if has_interval(entry) else ""
    return number(entry["value"]) + given


def about(entries: Sequence[Entry]) -> str:
    """Return what the intervals of these scores are about; nothing where none is given or none says."""
    told = [str(entry["ci95_about"]) for entry in entries if has_interval(entry) and entry.get("ci95_about")]
    return " or ".join(dict.fromkeys(told))


def has_two_statements(entry: Entry) -> bool:
    """Return whether a score has an interval about new subjects beside the one about these."""
    return entry.get("ci95_about") != NEW_SUBJECTS and has_interval(entry) and has_interval(entry, "ci95_new_subjects")


def interval_notes(entries: Mapping[str, Entry]) -> list[str]:
    """Return what the intervals of a table mean, and once each why a statement is missing.

    Args:
        entries: Scores by the name that the table gives them.
    """
    meanings = [f"About {what}: {meaning}." for what, meaning in _MEANINGS.items() if _is_stated(what, entries)]
    if any(has_interval(entry) and entry.get("ci95_same_stimuli") for entry in entries.values()):
        meanings.append("It is about more showings of the same stimuli, not about other ones: the folds share them.")
    return [*meanings, *missing_intervals(entries)]


def missing_intervals(entries: Mapping[str, Entry]) -> list[str]:
    """Return why a statement is missing, each reason once, with the scores it holds for where others have it."""
    missing: dict[tuple[str, str], list[str]] = {}
    for name, entry in entries.items():
        for statement in _reasons(entry):
            missing.setdefault(statement, []).append(name)
    notes = []
    for (what, reason), names in missing.items():
        where = "" if len(names) == len(entries) else f" ({_listed(names)})"
        notes.append(f"No interval{f' about {what}' if what else ''}{where}: {reason}.")
    return notes


def _is_stated(what: str, entries: Mapping[str, Entry]) -> bool:
    if what == NEW_SUBJECTS and any(has_interval(entry, "ci95_new_subjects") for entry in entries.values()):
        return True
    return any(has_interval(entry) and entry.get("ci95_about") == what for entry in entries.values())


def _reasons(entry: Entry) -> list[tuple[str, str]]:
    """Return (statement, reason) pairs; the statement is empty where the reason holds for any."""
    told = str(entry.get("ci95_reason") or "")
    before, *parts = _STATEMENT.split(told)
    found = list(zip(parts[::2], parts[1::2], strict=True))
    return [*([("", before)] if before else []), *found]


def stated_p(entry: Entry) -> float | None:
    """Return the p-value, never below the smallest one that was possible."""
    p = entry.get("p_permutation")
    return None if p is None else max(p, entry.get("p_smallest") or 0.0)


def p_cell(entry: Entry) -> str:
    """Return p for a table, a dash where there is none; rounding never brings it below what it is at least."""
    p = stated_p(entry)
    return "–" if p is None else _smallest_number(p) if _is_smallest(entry) else _rounded(p)


def p_value(entry: Entry) -> str:
    """Return `p = 0.012`, `p = 0.005 (the smallest possible)`, `p < 0.001` only where it is, or that there is none."""
    p = stated_p(entry)
    if p is None:
        return "no p-value"
    if _is_smallest(entry):
        return f"p = {_smallest_number(p)} (the smallest possible)"
    return f"p < {_SMALL}" if p < _SMALL else f"p = {p:.3f}"


def _is_smallest(entry: Entry) -> bool:
    p, smallest = stated_p(entry), entry.get("p_smallest")
    return p is not None and smallest is not None and p <= smallest * (1 + 1e-9)


def _smallest_number(p: float) -> str:
    """Return two digits that are not below p: 1 / 7 becomes 0.15."""
    places = max(1 - math.floor(math.log10(p)), 0)
    return f"{math.ceil(round(p * 10**places, 6)) / 10**places:.{places}f}".rstrip("0").rstrip(".")


def _rounded(p: float) -> str:
    return f"<{_SMALL}" if p < _SMALL else f"{p:.3f}"


def p_notes(entries: Mapping[str, Entry]) -> list[str]:
    """Return how the p-values of a table were made, with the smallest possible one, and why others are missing."""
    made: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for name, entry in entries.items():
        if stated_p(entry) is not None:
            made.setdefault(str(entry.get("p_method") or ""), []).append(name)
        else:
            missing.setdefault(str(entry.get("p_reason") or ""), []).append(name)
    n_tested = sum(map(len, made.values()))
    notes = []
    for method, names in made.items():
        if method:
            which = "" if len(names) == n_tested else f" of {_listed(names)}"
            notes.append(f"p{which}: {method}{_extent([entries[name] for name in names])}.")
    for reason, names in missing.items():
        where = "" if len(names) == len(entries) else f" for {_listed(names)}"
        notes.append(f"No p{where}: {reason}." if reason else f"No p was made{where}.")
    return notes


def _extent(entries: Sequence[Entry]) -> str:
    """Return how many permutations were drawn, and the smallest p that they could give."""
    counts = sorted(entry["n_permutations"] for entry in entries if entry.get("n_permutations") is not None)
    smallest = sorted(entry["p_smallest"] for entry in entries if entry.get("p_smallest") is not None)
    drawn = f"; {_range(counts)} permutations" if counts else ""
    stopped = any(map(_is_stopped, entries))
    early = " (it stops when it is clear that there is nothing)" if drawn and stopped else ""
    least = f"; smallest possible p {_range([_smallest_number(p) for p in smallest])}" if smallest else ""
    return f"{drawn}{early}{least}"


def _is_stopped(entry: Entry) -> bool:
    """Return whether fewer permutations were drawn than the smallest possible p takes."""
    drawn, smallest = entry.get("n_permutations"), entry.get("p_smallest")
    return drawn is not None and smallest is not None and drawn < round(1 / smallest) - 1


def _range(ordered: Sequence[object]) -> str:
    return f"{ordered[0]}" if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


def untested_reason(entry: Entry) -> str:
    """Return why a score has neither interval nor p, as a sentence; nothing where no reason is known."""
    reasons = [f"no interval about {what}: {reason}" if what else reason for what, reason in _reasons(entry)]
    reasons += [f"no p: {entry['p_reason']}"] if entry.get("p_reason") else []
    text = "; ".join(reasons)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
