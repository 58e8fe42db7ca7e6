"""Cores that use their weights several times."""
