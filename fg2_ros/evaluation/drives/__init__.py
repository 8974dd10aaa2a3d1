"""Simulated drives, what can go wrong on them, and how far the poses can be trusted then."""
