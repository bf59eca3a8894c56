"""Recordings, sensors, windows and batches: what every later stage works on."""
