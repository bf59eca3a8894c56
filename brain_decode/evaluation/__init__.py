"""Metrics with chance levels, statistics and the predictions table."""
