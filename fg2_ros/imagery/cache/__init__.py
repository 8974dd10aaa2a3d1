"""A tile cache on disk."""
