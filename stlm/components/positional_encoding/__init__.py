"""Positional encodings: how the network knows where a token stands."""
