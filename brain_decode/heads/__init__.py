"""Vectors to answers, each with its loss."""
