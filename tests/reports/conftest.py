"""Run folders as a finished run leaves them, with every part a report can show."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

MakeRun = Callable[..., Path]


P_METHOD = "labels exchanged (trials within runs) before fitting, decoder fitted again"
TOO_FEW = "1 subject was scored; a statement about new subjects takes 5"


def score(value: float, chance: float | None, n: int = 1174, p: float | None = 0.0005) -> dict[str, Any]:
    """A score of the people who were scored, as `score_classification` gives it; `p` is the smallest possible."""
    made = {} if p is None else {"p_method": P_METHOD, "n_permutations": round(1 / p) - 1, "p_smallest": p}
    return {
        "value": value,
        "ci95": [value - 0.03, value + 0.03],
        "ci95_about": "these subjects",
        "ci95_new_subjects": [None, None],
        "ci95_reason": f"new subjects: {TOO_FEW}",
        "chance": chance,
        "p_permutation": p,
        **made,
        "n": n,
    }


def class_names(n_classes: int) -> list[str]:
    names = ["face", "house", "animal", "tool", "food", "plant", "vehicle", "furniture"]
    return names[:n_classes] + [f"concept_{number:03d}" for number in range(len(names), n_classes)]


def evoked(classes: Sequence[str], n_channels: int, *, with_positions: bool = True) -> dict[str, Any]:
    """Two bumps in time with a smooth map over a half sphere, and noise."""
    rng = np.random.default_rng(0)
    times = np.arange(-13, 103) / 128
    turn, height = np.arange(n_channels) * 2.39996, 1 - 0.9 * (np.arange(n_channels) + 0.5) / n_channels
    radius = np.sqrt(1 - height**2)
    positions = 0.095 * np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)
    bump = np.exp(-(((times - 0.17) / 0.025) ** 2)) - 0.8 * np.exp(-(((times - 0.32) / 0.05) ** 2))
    gain = np.linspace(-1, 1, len(classes))[:, None, None] * np.cos(turn)[None, :, None]
    mean = 4e-6 * gain * bump + 1e-6 * bump + 2e-7 * rng.standard_normal((len(classes), n_channels, len(times)))
    areas = 0.5 + 0.12 * np.cos(turn)[:, None] * bump + 0.01 * rng.standard_normal((n_channels, len(times)))
    return {
        "times_s": times.tolist(),
        "channels": [f"E{number + 1}" for number in range(n_channels)],
        "channel_types": ["eeg"] * n_channels,
        "positions_m": positions.tolist() if with_positions else [None] * n_channels,
        "classes": list(classes),
        "mean": mean.tolist(),
        "sem": np.full_like(mean, 3e-7).tolist(),
        "unit": "V",
        "separability": areas.tolist(),
        "note": "Averages of the scored windows: a description of the data, not a test.",
    }


def group(level: str, number: int, metric: str, centre: float) -> dict[str, Any]:
    label = f"sub-{number:02d}" if level == "subject" else f"sub-01_run-{number:02d}"
    value = centre + 0.02 * (number % 7 - 3)
    return {
        "level": level,
        "label": label,
        "n": 195,
        "metrics": {metric: {"value": value, "ci95": [value - 0.06, value + 0.06]}},
    }


def receipt(folds: Sequence[str]) -> dict[str, Any]:
    return {
        "command": "train",
        "created": "2026-01-31T12:00:00+00:00",
        "duration_s": 12.3,
        "seed": 7,
        "versions": {"python": "3.11.7", "numpy": "2.4.6"},
        "git_commit": "abc123",
        "data": {"datasets": ["faces"], "content_hashes": {f"sub-01_{fold}": "0f" * 32 for fold in folds}},
        "split_hash": "5e" * 32,
        "test_openings": [{"time": "2026-01-31T12:00:01+00:00", "fold": fold, "reason": "score"} for fold in folds],
        "peak_memory_mb": 512.0,
        "machine": {"system": "Linux", "cores": 2},
    }


CONFIG: dict[str, Any] = {
    "datasets": {"name": "faces", "subjects": ["01"]},
    "window": {"start_s": -0.1, "stop_s": 0.8},
    "preprocessing": {
        "signal_steps": [{"step": "bandpass", "settings": {"low_hz": 1.0, "high_hz": 30.0}}],
        "window_steps": [{"step": "zscore", "settings": {}}],
        "rejection": {"peak_to_peak_v": 1e-4, "flat_v": None},
    },
    "candidates": {"xdawn_tangent": {}, "time_means": {}},
    "seed": 7,
}


def classification(n_classes: int, n_channels: int, *, with_positions: bool = True) -> dict[str, Any]:
    """Return the contents of every file of a classification run; without channels it has no signals."""
    classes, folds = class_names(n_classes), [f"run-{number:02d}" for number in range(1, 7)]
    counts = 5 + np.random.default_rng(1).integers(0, 12, (n_classes, n_classes)) + 60 * np.eye(n_classes, dtype=int)
    scores = {
        "auc": score(0.671, 0.5),
        "balanced_accuracy": score(0.5 if n_classes > 2 else 0.627, 1 / n_classes),
        "accuracy": score(0.631, 1 / n_classes),
        "ece": score(0.047, None, p=None),
    }
    metric = "auc" if n_classes == 2 else "balanced_accuracy"
    others = {
        name: {key: score(entry["value"] + 0.01 * place, entry["chance"]) for key, entry in scores.items()}
        for place, name in zip((0, -3, -15), ("xdawn_tangent", "time_means", "tangent_space"), strict=True)
    }
    levels = [group("subject", number, metric, scores[metric]["value"]) for number in (1, 2, 3)]
    levels += [group("run", number, metric, scores[metric]["value"]) for number in range(1, 7)]
    curve = [
        {
            "fold": fold,
            "epoch": epoch,
            "train_loss": 0.7 * 0.93**epoch,
            "validation_loss": 0.5 + 0.2 * 0.9**epoch,
            "validation_score": 0.65 - 0.15 * 0.85**epoch,
        }
        for fold in folds
        for epoch in range(20)
    ]
    bins = [{"confidence": 0.5 + 0.05 * i, "accuracy": 0.48 + 0.045 * i, "n": 200 - 20 * i} for i in range(9)]
    table = [
        {
            "dataset": "faces",
            "subject": "01",
            "session": "",
            "task": "view",
            "run": fold[-2:],
            "decoder": "nested_selection",
            "truth": classes[0],
            "predicted": classes[1],
        }
        for fold in folds
        for _ in range(3)
    ]
    return {
        "config": CONFIG,
        "receipt": receipt(folds),
        "predictions": table,
        "metrics": {
            "split": "test",
            "dataset": "faces",
            "simulated": False,
            "task": "classification",
            "protocol": "leave_run_out",
            "decoder": "nested_selection",
            "selected": "xdawn_tangent",
            "folds": [
                {
                    "name": fold,
                    "n_train": 977,
                    "n_test": 197,
                    "selected": "xdawn_tangent",
                    "selection_scores": {"xdawn_tangent": 0.68, "time_means": 0.65},
                }
                for fold in folds
            ],
            "metrics": scores,
            "metrics_without_rejection": {key: score(0.66, 0.5) for key in scores},
            "baselines": others,
        },
        "report_data": {
            "simulated": False,
            "datasets": [{"name": "faces", "citation": "A. Author, 2020", "licence": "CC0", "simulated": False}],
            "evoked": evoked(classes, n_channels, with_positions=with_positions) if n_channels else None,
            "groups": levels,
            "confusion": {"classes": classes, "counts": counts.tolist()},
            "calibration": {"bins": [*bins, {"confidence": None, "accuracy": None, "n": 0}], "ece": 0.047},
            "learning_curves": curve if n_channels else [],
            "rejection": {
                "rule": {"peak_to_peak_v": 1e-4, "flat_v": None},
                "n_rejected": 31,
                "n_total": 1205,
                "per_run": [{"run": fold, "n_rejected": 5, "n": 200} for fold in folds],
            },
            "exclusions": [
                {
                    "recording": "sub-01_run-06",
                    "event": 12,
                    "onset_s": 120.5,
                    "reason": "the window leaves the recording",
                }
            ],
            "oracle": None,
        },
    }


def retrieval(gallery_size: int) -> dict[str, Any]:
    """Return the contents of every file of a simulated retrieval run with an oracle."""
    run = classification(2, 4)
    ranks = np.floor(gallery_size * np.random.default_rng(2).beta(0.35, 2.5, 100))
    ks = [k for k in (2, 3, 4, 5, 10, 20, 50, 100, 200) if k <= gallery_size]
    run["metrics"] |= {
        "task": "retrieval",
        "dataset": "pictures",
        "decoder": "nice",
        "protocol": "official",
        "simulated": True,
        "metrics": {
            "top1": score(0.34, 1 / gallery_size, 100),
            "top5": score(0.72, 5 / gallery_size, 100),
            "2_way": score(0.93, 0.5, 100),
            "10_way": score(0.8, 0.1, 100),
        },
        "baselines": {"ridge": {"top1": score(0.2, 1 / gallery_size, 100)}},
        "metrics_without_rejection": None,
        "folds": [{"name": "official", "n_train": 16540, "n_test": 200, "selected": "nice"}],
        "oracle": {"top1": 0.81},
    }
    data = run["report_data"]
    for key in ("confusion", "calibration", "evoked", "rejection"):
        data[key] = None
    data |= {
        "simulated": True,
        "exclusions": [],
        "groups": [group("subject", number, "top1", 0.34) for number in range(1, 11)],
        "ranks": {"ranks": ranks.tolist(), "gallery_size": gallery_size, "gallery_type": "all_images"},
        "k_way": [
            {
                "k": k,
                "expected": 0.95 - 0.1 * np.log(k),
                "ci95": [0.9 - 0.1 * np.log(k), 1 - 0.1 * np.log(k)],
                "chance": 1 / k,
            }
            for k in ks
        ],
        "repetitions": [
            {"n": n, "top1": 0.05 + 0.06 * i, "top5": 0.2 + 0.1 * i, "ci95": [0.05 * i, 0.1 + 0.07 * i]}
            for i, n in enumerate((1, 2, 5, 10, 20, 80))
        ],
    }
    run["receipt"] = receipt(["official"])
    run["predictions"] = [row | {"decoder": "nice", "dataset": "pictures"} for row in run["predictions"]]
    return run


def write_run(folder: Path, contents: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("metrics", "receipt", "report_data"):
        (folder / f"{name}.json").write_text(json.dumps(contents[name]), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(contents["config"], sort_keys=False), encoding="utf-8")
    pd.DataFrame(contents["predictions"]).to_parquet(folder / "predictions.parquet", index=False)
    return folder


@pytest.fixture
def classification_run() -> Callable[..., dict[str, Any]]:
    return classification


@pytest.fixture
def retrieval_run() -> Callable[..., dict[str, Any]]:
    return retrieval


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write the contents of a run and return its folder."""
    return lambda contents: write_run(tmp_path / "run", contents)
