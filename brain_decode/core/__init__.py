"""Errors, resources, seeding, logging, progress: nothing scientific."""
