"""Runs: building, cross-validation, Lightning, scikit-learn."""
