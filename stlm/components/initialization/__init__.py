"""Initialization: how weights start."""
