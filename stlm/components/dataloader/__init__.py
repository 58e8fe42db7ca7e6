"""Data loaders: how samples become the batch of a step."""
