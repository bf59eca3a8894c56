"""Training across sites."""
