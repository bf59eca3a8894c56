"""Recordings from their official hosts: whole, checked, and from where the last attempt ended."""
