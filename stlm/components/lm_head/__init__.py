"""Language-model heads: from the residual stream to the vocabulary."""
