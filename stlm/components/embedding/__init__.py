"""Embedders: from token ids to the residual stream."""
