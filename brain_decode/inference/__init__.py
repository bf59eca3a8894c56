"""Answers from saved decoders."""
