"""Physically grounded recordings with known ground truth."""
