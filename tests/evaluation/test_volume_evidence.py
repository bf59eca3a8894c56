"""The map of where voxels tell classes apart finds the voxels that do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brain_decode.evaluation import volume_evidence
from brain_decode.evaluation.evidence import evoked_evidence
from brain_decode.reports.signal_figures import evoked_figure
from brain_decode.reports.volume_figures import volume_map_figure
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

VOXELS = Voxels(np.ones((5, 4, 3), dtype=bool), np.diag([3.0, 3.0, 4.0, 1.0]))
INFORMATIVE = 17


def windows(n: int = 40) -> Windows:
    labels = np.tile(["face", "house"], n // 2)
    data = np.random.default_rng(0).standard_normal((n, len(VOXELS), 6))
    data[labels == "house", INFORMATIVE] += 3
    return Windows(data.astype(np.float32), 0.5, 5.0, VOXELS, pd.DataFrame({"label": labels}))


def test_the_informative_voxel_has_the_largest_value_on_the_map() -> None:
    found = evoked_evidence(windows(), ["face", "house"])["volume_map"]
    assert int(np.argmax(found["values"])) == INFORMATIVE and found["values"][INFORMATIVE] == 1.0
    assert found["shape"] == [5, 4, 3] and found["sizes_mm"] == [3.0, 3.0, 4.0]
    assert found["indices"][INFORMATIVE] == VOXELS.grid_indices[INFORMATIVE].tolist()


def test_blocks_of_voxels_give_the_same_map(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    whole = volume_evidence.strongest_voxels(windows(), VOXELS, ["face", "house"])[0]
    monkeypatch.setattr(volume_evidence, "_BLOCK_VALUES", 7 * 40)
    assert volume_evidence.strongest_voxels(windows(), VOXELS, ["face", "house"])[0] == whole


def test_only_the_strongest_voxels_are_followed_over_time(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(volume_evidence, "MOST_VOXELS", 8)
    evidence = evoked_evidence(windows(), ["face", "house"])
    assert len(evidence["channels"]) == 8 and VOXELS.names[INFORMATIVE] in evidence["channels"]
    assert len(evidence["volume_map"]["values"]) == len(VOXELS)
    assert evidence["unit"] == "" and set(evidence["channel_types"]) == {"voxel"}


def test_windows_of_many_seconds_are_drawn_in_seconds() -> None:
    slow, fast = evoked_evidence(windows(), ["face", "house"]), evoked_evidence(windows(), ["face", "house"])
    slow["times_s"] = [5.0 + 2.5 * volume for volume in range(6)]
    fast["times_s"] = [0.1 * sample for sample in range(6)]
    assert ">s after the event<" in str(evoked_figure(slow))
    assert ">ms after the event<" in str(evoked_figure(fast))


def test_the_slices_with_most_of_it_are_drawn() -> None:
    found = evoked_evidence(windows(), ["face", "house"])["volume_map"]
    drawn = volume_map_figure(found, 2)
    assert drawn.startswith("<svg") and "on slices 0, 1, 2" in drawn
    assert "60 voxels" in drawn
