"""p-values of cross-validations with nothing to decode, and what they find where there is a little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from calibration.designs import Draw, Experiment

from brain_decode.evaluation.exchangeability import label_exchange
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.training.permuting import sequential_p_values

LEVELS = (0.05, 0.01, 0.005)
N_DRAWS, _PERMUTATIONS = 1000, 199
SETTINGS = {
    "leave run out, 8 runs x 20, 4 features": Experiment(),
    "leave run out, 2 runs x 50, 20 features": Experiment(runs=2, trials=50, features=20),
    "leave subject out, 6 people x 40": Experiment(people=6, runs=1, trials=40, folds="subject"),
    "contiguous 5-fold, 100 trials": Experiment(runs=1, trials=100, folds=5),
    "contiguous 5-fold, 40 trials": Experiment(runs=1, trials=40, folds=5),
    "leave run out, 20 stimuli shown in each of 8 runs": Experiment(stimuli=20),
    "leave run out, 20 stimuli in 8 runs, one name missing": Experiment(stimuli=20, slips=1),
    "leave run out, 8 x 20, one order for all, drift": Experiment(order="shared", drift=1.0),
    "leave run out, 8 x 20, two blocks of one order, drift": Experiment(order="shared", block=10, drift=1.0),
    "leave run out, 12 x 20, one label a session, offsets": Experiment(runs=12, order="session", drift=1.0),
    "leave run out, 8 x 20, a class becomes rarer, drift": Experiment(order="rarer", drift=2.0),
    "leave run out, 8 x 20, blocks of 10, AR .95": Experiment(block=10, memory=0.95),
    "contiguous 5-fold, 200, blocks of 20, AR .98": Experiment(runs=1, trials=200, folds=5, block=20, memory=0.98),
    "contiguous 5-fold, 4 x 100, blocks of 20, AR .98": Experiment(runs=4, trials=100, folds=5, block=20, memory=0.98),
    "contiguous 5-fold, 160, blocks of 80, AR .98": Experiment(runs=1, trials=160, folds=5, block=80, memory=0.98),
}
POWER = {
    "leave run out, 8 x 20, d' 0.3": Experiment(effect=0.3),
    "leave run out, 8 x 80, d' 0.3": Experiment(trials=80, effect=0.3),
    "leave subject out, 6 x 40, d' 0.3": Experiment(people=6, runs=1, trials=40, folds="subject", effect=0.3),
}


def measure(n_draws: int = N_DRAWS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield {"setting", "promised", "measured", "n"}: how often p is at most a level."""
    for name, experiment in (SETTINGS | POWER).items():
        rng = np.random.default_rng([seed, len(name)])
        draws = [experiment.draw(rng) for _ in range(n_draws)]
        new = [_p(draw, number) for number, draw in enumerate(draws)]
        old = np.array([_p_of_fixed_decoders(draw, rng) for draw in draws])
        given = np.array([p for p in new if p is not None])
        if len(given) < n_draws:
            yield {"setting": f"{name}: p is given", "promised": "", "measured": len(given) / n_draws, "n": n_draws}
        for level in LEVELS if name in SETTINGS else LEVELS[:1]:
            promised: Any = level if name in SETTINGS else "(power)"
            for label, p_values in (("", given), (", labels permuted after fitting (given up)", old)):
                if len(p_values):
                    measured = float(np.mean(p_values <= level))
                    told = f"{name}: p <= {level:g}{label}"
                    yield {"setting": told, "promised": promised, "measured": measured, "n": len(p_values)}


def _p(draw: Draw, seed: int) -> float | None:
    exchange = label_exchange(draw.table, draw.labels)
    if isinstance(exchange, Unavailable):
        return None
    found = sequential_p_values({"lda": draw.scores}, {"lda": ("lda",)}, draw.labels, exchange, _PERMUTATIONS, seed)
    return found["lda"]["auc"].p


def _p_of_fixed_decoders(draw: Draw, rng: np.random.Generator) -> float:
    """Return p as it was made before: pooled answers, whose labels are permuted within runs after fitting."""
    ranks = draw.odds(draw.labels[None])[0].argsort().argsort()
    within = draw.table["recording"].to_numpy()
    order = np.argsort(within, kind="stable").reshape(int(within.max()) + 1, -1)
    permuted = np.empty((_PERMUTATIONS, len(ranks)), dtype=int)
    for members in order:
        permuted[:, members] = draw.labels[rng.permuted(np.tile(members, (_PERMUTATIONS, 1)), axis=1)]
    return float((1 + (permuted @ ranks >= draw.labels @ ranks).sum()) / (1 + _PERMUTATIONS))
