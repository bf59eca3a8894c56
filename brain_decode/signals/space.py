"""The space axis of a signal: sensors or voxels, which share what later stages ask of either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from brain_decode.signals.sensors import SENSOR_TYPES, Sensors
from brain_decode.signals.voxels import Voxels

__all__ = ["SPACE_TYPES", "Space", "space_from_json"]

Space = Sensors | Voxels
# What `SignalBatch.sensor_types` counts: at the end, so that the numbers of sensors stay what they were.
SPACE_TYPES = (*SENSOR_TYPES, "voxel")


def space_from_json(saved: Mapping[str, Any]) -> Space:
    """Rebuild sensors or voxels from their `to_json`."""
    return Voxels.from_json(saved) if saved.get("kind") == "voxels" else Sensors.from_json(dict(saved))
