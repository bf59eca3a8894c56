"""Without coupling nothing can be decoded: scores are at chance, and p values are spread evenly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, mannwhitneyu
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brain_decode.simulation.pictures import draw_pictures
from brain_decode.simulation.pixel_features import pixel_features
from brain_decode.simulation.recordings import build_laboratory, build_participant, schedule, simulate_run
from brain_decode.simulation.settings import StudySettings
from brain_decode.simulation.ventral_stream import area_drive

Small = Callable[..., StudySettings]


def windows(data: np.ndarray, events: pd.DataFrame, rate_hz: float) -> np.ndarray:
    """Return (trial, channel x bin) means of 50 ms bins from 50 to 450 ms, less the mean before the onset."""
    starts = np.round(events["onset"].to_numpy() * rate_hz).astype(int)
    step = round(0.05 * rate_hz)
    after = data[:, starts[:, None] + np.arange(step, 9 * step)].swapaxes(0, 1)
    before = data[:, starts[:, None] + np.arange(-2 * step, 0)].swapaxes(0, 1).mean(axis=2, keepdims=True)
    bins = (after - before).reshape(*after.shape[:2], 8, step).mean(axis=3)
    return bins.reshape(len(starts), -1)


def category_p(settings: StudySettings) -> tuple[float, float]:
    """Return AUC and one-sided p of a linear discriminant trained on the training run, on the test run."""
    pictures = draw_pictures(
        settings.n_train_concepts, settings.n_exemplars, settings.n_test_concepts, seed=settings.seed
    )
    laboratory = build_laboratory(settings)
    participant = build_participant(laboratory, 0, area_drive(pictures, pixel_features(pictures.pixels)))
    sides = []
    for number, events in enumerate(schedule(pictures, settings, 0, 0)):
        run = simulate_run(laboratory, participant, events, subject=0, session=0, run=number)
        sides.append((windows(run.data["eeg"], events, settings.rate_hz), events["category"] == "organic"))
    (train, train_labels), (test, labels) = sides
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(train, train_labels)
    scores = model.decision_function(test)
    statistic, p = mannwhitneyu(scores[labels], scores[~labels], alternative="greater")
    return float(statistic / (labels.sum() * (~labels).sum())), float(p)


def test_uncoupled_responses_give_chance_and_uniform_p(small: Small) -> None:
    results = [
        category_p(small(seed=seed, coupling=0.0, n_bad_channels=0, n_train_concepts=40, n_test_concepts=10))
        for seed in range(20)
    ]
    scores, p = np.array(results).T
    standard_error = scores.std(ddof=1) / np.sqrt(len(scores))
    assert abs(scores.mean() - 0.5) < 3 * standard_error
    assert kstest(p, "uniform").pvalue > 0.01
    assert (p < 0.05).sum() <= 4


def test_coupled_responses_are_decoded(small: Small) -> None:
    score, p = category_p(
        small(seed=0, coupling=3.0, n_bad_channels=0, n_train_concepts=200, n_test_concepts=40, test_repetitions=5)
    )
    assert score > 0.65
    assert p < 1e-3


def test_uncoupled_pictures_all_cause_the_same_response(small: Small) -> None:
    settings = small(coupling=0.0)
    pictures = draw_pictures(16, 2, 6)
    drive = area_drive(pictures, pixel_features(pictures.pixels))
    amplitude = build_participant(build_laboratory(settings), 0, drive).amplitude
    np.testing.assert_array_equal(amplitude, np.broadcast_to(amplitude[0], amplitude.shape))


@pytest.mark.parametrize("run", [0, 1])
def test_the_same_numbers_give_the_same_samples(small: Small, run: int) -> None:
    settings = small()
    pictures = draw_pictures(16, 2, 6)
    laboratory = build_laboratory(settings)
    participant = build_participant(laboratory, 0, area_drive(pictures, pixel_features(pictures.pixels)))
    events = schedule(pictures, settings, 0, 0)[run]
    first, again = (
        simulate_run(laboratory, participant, events, subject=0, session=0, run=run).data["eeg"] for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
