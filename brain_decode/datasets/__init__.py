"""Loaders, splits, the leakage guard and the signal store."""
