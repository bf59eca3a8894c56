"""Units that recordings are stored in."""

from __future__ import annotations

__all__ = ["UNIT_FACTORS"]

# Against the SI unit of the sensor type: volt, tesla, tesla per metre; "1" for numbers without one.
UNIT_FACTORS = {
    "V": 1.0,
    "mV": 1e-3,
    "uV": 1e-6,
    "µV": 1e-6,
    "nV": 1e-9,
    "T": 1.0,
    "pT": 1e-12,
    "fT": 1e-15,
    "T/m": 1.0,
    "fT/cm": 1e-13,
    "1": 1.0,
}
