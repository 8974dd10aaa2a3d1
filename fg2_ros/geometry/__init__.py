"""Conventions and coordinate maths: planar poses, BEV grids, map frame, Mercator, panoramas."""
