"""Kinds of attention beside the plain one: windows, biases, running states, differences, latent caches."""
