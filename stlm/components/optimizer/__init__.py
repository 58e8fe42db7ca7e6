"""Optimizers: how a gradient changes the weights."""
