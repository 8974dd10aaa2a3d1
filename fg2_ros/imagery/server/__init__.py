"""Tiles from servers, over HTTP."""
