"""Tokens on the disk to batches."""
