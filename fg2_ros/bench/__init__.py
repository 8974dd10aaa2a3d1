"""How long things take: this package against itself and against a naive way."""
