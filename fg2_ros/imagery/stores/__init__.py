"""Imagery in local files."""
