"""Vectors to pictures or text."""
