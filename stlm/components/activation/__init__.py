"""Activations: the elementwise function inside a feed-forward network."""
