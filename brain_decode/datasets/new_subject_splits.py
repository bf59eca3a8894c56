"""Retrieval for a person nobody was trained on, of pictures nobody was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, listed
from brain_decode.datasets.splits import Fold, Split, require_rows, text_column, unit_codes

__all__ = ["LeaveSubjectOutZeroShot"]


@dataclass(frozen=True)
class LeaveSubjectOutZeroShot(Split):
    """Each participant's official test part is scored by decoders fitted on the training part of the others.

    What the left-out participant saw in training, and what the others saw in the test, is used on neither side: the
    test pictures are the same for everybody, so anybody's response to them would give them away. "validation" rows
    belong to the training side.

    Source: the leave-one-subject-out protocol of THINGS-EEG2 retrieval (Song et al. 2024), with a new decoder for each
    participant.
    """

    name = "leave_subject_out_zero_shot"
    forbids = ("subject",)
    zero_shot = True

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return one fold per subject.

        Raises:
            DataError: Fewer than two subjects, or a subject without a training or test part.
        """
        require_rows(table, self.name)
        codes, names = unit_codes(table, "subject")
        if len(names) < 2:
            raise DataError(
                f"{self.name} needs at least 2 subjects, the table has {len(names)} ({', '.join(names)}). "
                "Add subjects, or use split=official."
            )
        learns, scored = self._parts(table)
        for part, what in ((learns, "training"), (scored, "test")):
            without = [name for code, name in enumerate(names) if not part[codes == code].any()]
            if without:
                raise DataError(
                    f"{self.name} needs an official training and test part of every subject; {listed(without)} has no "
                    f"{what} windows. Set target.partition_column, or leave the subject out with datasets.subjects."
                )
        return [
            Fold(name, np.flatnonzero(learns & (codes != code)), np.flatnonzero(scored & (codes == code)))
            for code, name in enumerate(names)
        ]

    def final_rows(self, table: pd.DataFrame) -> np.ndarray:
        """Return the training part of everybody, so that the saved decoder has not met the test pictures."""
        return np.flatnonzero(self._parts(table)[0])

    def _parts(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        partition = text_column(table, "partition")
        return np.isin(partition, ["train", "validation"]), partition == "test"
