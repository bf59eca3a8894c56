"""The reach of a run's filters, which gaps within recordings have to cover."""

from __future__ import annotations

import logging
from dataclasses import replace

from brain_decode.datasets.splits import ContiguousKFold
from brain_decode.preprocessing.reach import reach_of
from brain_decode.training.crossvalidation import Protocol
from brain_decode.training.recipes import Plan
from brain_decode.training.trials import Trials

__all__ = ["over_filters"]

_LOG = logging.getLogger(__name__)


def over_filters(protocol: Protocol, plan: Plan, trials: Trials) -> Protocol:
    """Return the protocol whose gaps within recordings cover the steps of every recipe of the plan.

    Raises:
        ConfigError: The split holds out parts of recordings, and a step uses the whole recording.
    """
    pipelines = [recipe.build_preprocessing().signal_steps for recipe in plan.recipes]
    reach = reach_of(pipelines, (recording.rate_hz for recording in trials.recordings if recording.continuous))
    split = protocol.split.over(reach)
    if split != protocol.split:
        _LOG.info("The gap of %s is %.4g s, because the filters reach that far.", split.name, reach.seconds)
    if isinstance(split, ContiguousKFold) and not all(recording.continuous for recording in trials.recordings):
        _LOG.warning(
            "Trials were cut before they came here; how far the filters before that reach is not known, so the gap is "
            "%g s or %g trials as set (split.gap_s, split.gap_trials).",
            split.gap_s,
            split.gap_trials,
        )
    return replace(protocol, split=split, reach=reach)
