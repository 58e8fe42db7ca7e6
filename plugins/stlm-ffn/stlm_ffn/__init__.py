"""Feed-forward networks for stlm: gated ones, and the squared ReLU."""
