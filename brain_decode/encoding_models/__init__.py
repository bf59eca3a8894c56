"""Stimulus to brain."""
