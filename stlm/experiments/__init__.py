"""Experiments: runs as values, to be made, found, loaded and compared."""
