"""Simulated participants who look at drawn objects: a BIDS folder that is made when it is first read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError
from brain_decode.datasets.base import Facts
from brain_decode.datasets.bids import BidsDataset
from brain_decode.signals.recording import Recording
from brain_decode.simulation.forward import CAPS
from brain_decode.simulation.oracle import ORACLE_FILE
from brain_decode.simulation.settings import SENSOR_KINDS, StudySettings
from brain_decode.simulation.study import make_study

__all__ = ["SimulatedThings"]


class SimulatedThings(BidsDataset):
    """Recordings of a simulated study.

    Args:
        root: Folder of simulated studies; each lies in a folder named after its settings, so that other settings
            never read its files.
        study: See `StudySettings`.
        name: Name of the entry.
        datatype: "eeg" or "meg", or both as [eeg, meg], where the study has both; the first of the two where None.
        tasks, subjects, sessions, runs: Labels to keep.
        facts: What each recording must agree with.

    Raises:
        ConfigError: Sensors the study does not have, or a wrong setting.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        study: Mapping[str, Any] | None = None,
        name: str = "simulated_things",
        datatype: str | Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = StudySettings.from_config(study or {})
        kinds = SENSOR_KINDS[self.settings.sensors]
        chosen = (datatype,) if isinstance(datatype, str) else tuple(datatype or kinds[:1])
        for kind in chosen:
            if kind not in kinds:
                raise ConfigError(f"The simulated study has {' and '.join(kinds)}, not {kind}. Set study.sensors=both.")
        super().__init__(
            Path(root).expanduser() / self.settings.hash,
            name=name,
            datatype=chosen,
            tasks=tasks,
            subjects=subjects,
            sessions=sessions,
            runs=runs,
            montage=CAPS.get(self.settings.n_electrodes) if "eeg" in chosen else None,
            facts=facts,
        )

    def recordings(self) -> list[Recording]:
        """Return the recordings; the study is simulated first where its folder is absent."""
        make_study(self.root.parent, self.settings)
        return super().recordings()

    def oracle(self) -> dict[str, float] | None:
        """Return top-1 and top-5 of a decoder that knows how the signal was made; None for a part of it or two systems.

        It finds the exact picture among all test pictures from the average of all showings.
        """
        if len(self.datatypes) != 1 or any(labels is not None for labels in self.wanted.values()):
            return None
        scores = json.loads((self.root / ORACLE_FILE).read_text(encoding="utf-8"))[self.datatypes[0]]
        return {name: float(scores[name]) for name in ("top1", "top5")}
