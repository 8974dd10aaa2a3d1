"""Images with a table of their poses, or with poses in themselves, become drives of a data set."""
