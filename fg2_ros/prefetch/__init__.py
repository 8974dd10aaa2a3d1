"""Filling a tile cache before a drive."""
