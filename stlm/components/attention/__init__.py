"""Attention: how a position learns from others."""
