"""The processes of `fg2 demo`: children, tile server, player and recorder."""
