"""Losses: how far the predictions for a batch are from its targets."""
