"""Feed-forward networks: what a position does by itself."""
