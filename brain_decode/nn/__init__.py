"""Layers and mixins shared by several models."""
