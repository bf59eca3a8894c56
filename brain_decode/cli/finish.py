"""What a finished run says on the terminal."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["report_pretraining", "report_run"]


def report_run(folder: Path) -> None:
    """Write the report of a run folder and print its scores."""
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.html import write_report
    from brain_decode.reports.sentences import headline_metric, metric_name

    report = write_report(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    simulated = " (simulated)" if metrics.get("simulated") else ""
    title = f"{metrics['dataset']}{simulated}, {metrics['protocol'].replace('_', ' ')}"
    title += ", transductive" if metrics.get("transductive") else ""
    table = Table(title=title, title_justify="left")
    for column in ("decoder", "metric", "value", "95 % interval", "chance", "p"):
        table.add_column(column, overflow="fold")
    for metric, entry in metrics["metrics"].items():
        table.add_row(metrics["decoder"], metric_name(metric), *_cells(entry))
    headline = headline_metric(metrics)
    for name, scores in metrics["baselines"].items():
        table.add_row(name, metric_name(headline), *_cells(scores[headline]))
    console = Console()
    console.print(table)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def report_pretraining(folder: Path) -> None:
    """Write the report of a pretraining run and print its scores."""
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.html import write_report

    report = write_report(folder)
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    simulated = " (with simulated recordings)" if metrics["simulated"] else ""
    table = Table(title=f"{metrics['decoder']} on {metrics['dataset']}{simulated}, people kept out")
    for column in ("measure", "value", "95 % interval", "most frequent code"):
        table.add_column(column, overflow="fold")
    for name, entry in metrics["metrics"].items():
        value, ci95, *_ = _cells(entry)
        table.add_row(name.replace("_", " "), value, ci95, _number(entry.get("baseline")))
    console = Console()
    console.print(table)
    console.print(f"Weights: {folder / 'checkpoint'}", highlight=False, soft_wrap=True)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _cells(entry: dict[str, object]) -> tuple[str, str, str, str]:
    interval = entry.get("ci95")
    return (
        _number(entry.get("value")),
        f"{_number(interval[0])} to {_number(interval[1])}" if isinstance(interval, list) else "",
        _number(entry.get("chance")),
        _p_value(entry.get("p_permutation")),
    )


def _p_value(value: object) -> str:
    return "<0.001" if isinstance(value, float) and value < 0.001 else _number(value)


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else ""
