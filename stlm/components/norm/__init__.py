"""Norms: what stands at the entrance of a block."""
