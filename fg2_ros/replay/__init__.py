"""Localize the images of a recorded drive, with what the node does to them, but without DDS."""
