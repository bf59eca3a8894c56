"""What a finished run says on the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["report_pretraining", "report_run"]


def report_run(folder: Path) -> None:
    """Write the report of a run folder and print its scores."""
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.certainty import missing_intervals, p_notes
    from brain_decode.reports.html import write_report
    from brain_decode.reports.sentences import headline_metric, metric_name

    report = write_report(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    simulated = " (simulated)" if metrics.get("simulated") else ""
    title = f"{metrics['dataset']}{simulated}, {metrics['protocol'].replace('_', ' ')}"
    title += ", transductive" if metrics.get("transductive") else ""
    title += ", with recordings vouched for by hand" if metrics.get("distinct_recordings") else ""
    table = Table(title=title, title_justify="left")
    headline = headline_metric(metrics)
    others = {name: scores[headline] for name, scores in metrics["baselines"].items()}
    for column in ("decoder", "metric", "value", _interval_column([*metrics["metrics"].values()]), "chance", "p"):
        table.add_column(column, overflow="fold")
    for metric, entry in metrics["metrics"].items():
        table.add_row(metrics["decoder"], metric_name(metric), *_cells(entry))
    for name, entry in others.items():
        table.add_row(name, metric_name(headline), *_cells(entry))
    console = Console()
    console.print(table)
    tested = {metrics["decoder"]: metrics["metrics"][headline], **others}
    lines = [*_two_statements(tested), *missing_intervals(tested), *p_notes(tested), f"Report: {report}"]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def report_pretraining(folder: Path) -> None:
    """Write the report of a pretraining run and print its scores."""
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.certainty import missing_intervals
    from brain_decode.reports.html import write_report

    report = write_report(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    simulated = " (with simulated recordings)" if metrics["simulated"] else ""
    vouched = ", recordings vouched for by hand" if metrics.get("distinct_recordings") else ""
    table = Table(title=f"{metrics['decoder']} on {metrics['dataset']}{simulated}, people kept out{vouched}")
    scores = metrics["metrics"]
    for column in ("measure", "value", _interval_column([*scores.values()]), "most frequent code"):
        table.add_column(column, overflow="fold")
    for name, entry in scores.items():
        value, ci95, *_ = _cells(entry)
        table.add_row(name.replace("_", " "), value, ci95, _number(entry.get("baseline")))
    console = Console()
    console.print(table)
    named = {name.replace("_", " "): entry for name, entry in scores.items()}
    for line in (*missing_intervals(named), f"Weights: {folder / 'checkpoint'}", f"Report: {report}"):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _interval_column(entries: Sequence[Mapping[str, Any]]) -> str:
    from brain_decode.reports.certainty import about

    statement = about(entries)
    return f"95 % interval,\n{statement}" if statement else "95 % interval"


def _two_statements(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the intervals about new subjects that stand beside those about these."""
    from brain_decode.reports.certainty import has_two_statements, interval

    told = [
        f"{name} {interval(entry, 'ci95_new_subjects')}" for name, entry in entries.items() if has_two_statements(entry)
    ]
    return [f"95 % interval, new subjects: {', '.join(told)}"] if told else []


def _cells(entry: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return value, interval, chance and p; a dash where a number is not given."""
    from brain_decode.reports.certainty import interval, number, p_cell

    return number(entry["value"]), interval(entry) or "–", number(entry.get("chance")), p_cell(entry)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
